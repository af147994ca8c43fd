"""Housekeeping: which artifacts of earlier runs are needed still, and which may go."""
