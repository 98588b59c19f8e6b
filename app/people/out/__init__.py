"""What goes out of a person: which documents, in which form."""
