"""What the results rest on."""
