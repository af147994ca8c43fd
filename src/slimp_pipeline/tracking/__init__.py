"""Tracking: what goes from a run into MLflow."""
