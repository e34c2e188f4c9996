"""Nodes for media: mux, key frames."""
