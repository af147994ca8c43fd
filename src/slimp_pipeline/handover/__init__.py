"""What is handed on: an encoder in formats of others, with what it knows of lesions that it has met."""
