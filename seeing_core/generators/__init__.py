"""Audio and video generators that the aligner can guide: one protocol, one file a family."""
