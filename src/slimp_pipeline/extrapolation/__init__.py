"""Metadata extrapolation: what a cohort of images alone borrows from its nearest reference lesions, and how well."""
