"""Hooks: what surrounds the computation. Nodes know nothing of tracking, timing or the console."""
