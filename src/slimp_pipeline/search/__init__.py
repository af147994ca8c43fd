"""Settings chosen by a search, on inner validation patients of training rows alone."""
