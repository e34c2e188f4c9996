"""Seeing & Hearing for ComfyUI."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """ComfyUI's way in (V3)."""
    from .nodes.extension import SeeingHearing

    return SeeingHearing()
