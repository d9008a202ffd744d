"""The `pagewire` command: add PDFs, ask, and list documents, against any gateway."""
