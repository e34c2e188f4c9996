"""An image on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import InputError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def read_image(path: Path | str) -> Tensor:
    """(3, H, W), 0..1, upright; what is transparent becomes black. Raises InputError when it cannot be read."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGBA")
            flat = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright).convert("RGB")
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"image file '{path}'", f"something that cannot be read ({error})", "an image") from error
    return torch.from_numpy(np.array(flat)).permute(2, 0, 1).float() / 255
