"""The console: what went wrong, in words that a person can act on."""
