"""One's own pictures, embedded by an exported encoder and held against what it knows."""
