"""Half-precision models between single-precision latents, audio and embeddings."""

from __future__ import annotations

import torch
from torch import Tensor


def to_fp32(x: Tensor) -> Tensor:
    """x in single precision if it has less (float16, bfloat16); float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
