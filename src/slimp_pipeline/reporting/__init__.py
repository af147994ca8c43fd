"""Reporting: figures and the page."""
