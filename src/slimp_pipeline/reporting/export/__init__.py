"""Figures as PNG and SVG, by a browser that reaches no network."""
