"""Pictures of Pillow's from tensors and back, and rows of them one above the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_image(frame: Tensor) -> Image.Image:
    """(3, H, W), about 0..1."""
    return Image.fromarray((frame.float().clamp(0, 1) * 255).byte().permute(1, 2, 0).cpu().numpy())


def to_frame(image: Image.Image) -> Tensor:
    """The pixels, (3, H, W), 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def stacked(rows: Sequence[Image.Image], paper: str | tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """One above the other, as wide as the widest.  paper: the colour beside narrower ones."""
    whole = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), paper)
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    return whole
