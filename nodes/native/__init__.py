"""The guidance as a patch for ComfyUI's own models, whatever samples them."""
