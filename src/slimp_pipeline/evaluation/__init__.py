"""Evaluation: embeddings, probes, metrics and their intervals."""
