"""Satchel measured against a bare handler that does the same queries, on one database in one
run."""
