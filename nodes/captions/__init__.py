"""Nodes that put a picture, a video or a sound into words."""
