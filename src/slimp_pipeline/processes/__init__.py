"""What a process owes to those beside it: whole files, locks, its identity, how it is stopped, where it works."""
