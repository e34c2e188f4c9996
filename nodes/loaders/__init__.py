"""Nodes that load models, and where models are found."""
