"""Glue to ComfyUI: memory, types, players."""
