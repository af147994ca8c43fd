"""Cohorts: their specification, their raw files, and cohorts fabricated for demonstrations."""
