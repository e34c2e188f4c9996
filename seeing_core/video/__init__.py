"""Video models that the aligner can guide."""
