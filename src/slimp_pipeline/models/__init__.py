"""Models: image encoder, metadata encoder, phenotype, and the nested whole."""
