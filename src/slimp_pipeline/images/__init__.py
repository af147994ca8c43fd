"""Images: checked, packed into one store, decoded and augmented."""
