"""What a classifier sees of a target: embeddings and feature sets."""
