"""What the owner of a PDF is told that cannot be read: why, and what to do."""

ENCRYPTED = "The PDF is protected with a password or a certificate. Upload a copy that opens without one."
DAMAGED = "The file starts like a PDF but cannot be read. Open it in a viewer, save a new copy and upload that."
NO_PAGES = "The PDF has no pages. Check that the file is complete and upload it again."
TOO_MANY_PAGES = "The PDF has {pages} pages, the limit is {limit}. Split it and upload the parts."
TOO_COSTLY = "Reading the PDF takes more memory or time than is allowed. Save a simpler copy, or split it."
CRASHED = "The PDF makes the reader crash. Open it in a viewer, save a new copy and upload that."

OUT_OF_MEMORY = 3
"""The exit status of a child that got no more memory."""
NO_RESOURCES = 4
"""The exit status of a child that could not start the engine that reads pictures."""
