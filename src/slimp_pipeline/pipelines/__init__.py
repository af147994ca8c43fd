"""Kedro pipelines: nodes that call the domain, and how they are wired."""
