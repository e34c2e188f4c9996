"""Binders, models with one embedding space for vision, audio and text: one protocol, one file each."""
