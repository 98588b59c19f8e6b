"""`bench-nothing-missed`: writers, pollers and faults, and what the pollers missed."""
