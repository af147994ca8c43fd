"""How a run begins: its configuration is checked, its options are read, nothing calls home."""
