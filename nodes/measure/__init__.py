"""Nodes that measure, compare and choose."""
