"""What documents are called, in the form in which cards and questions are compared."""
