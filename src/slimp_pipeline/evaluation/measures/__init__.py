"""Metrics with their intervals, and what is written of them."""
