"""What the tables say: rows for pages and lines for the console."""
