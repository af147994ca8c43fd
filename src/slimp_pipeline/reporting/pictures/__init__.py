"""Pictures of lesions, small and inline."""
