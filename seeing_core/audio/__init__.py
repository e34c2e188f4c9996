"""Audio models that the aligner can guide."""
