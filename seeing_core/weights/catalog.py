"""Well-known models: their names, homes, sizes, checksums and licences. Nothing here is fetched unless a user asks.

A checksum stands here where its authors or several independent users have published it; where none is given, the one
that the server names is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HUB = "https://huggingface.co"
NON_COMMERCIAL = "CC BY-NC-SA 4.0, not for commercial use"
GB = 1_000_000_000


@dataclass(frozen=True)
class Checksum:
    """size: bytes.  sha256: lower-case hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class RemoteModel:
    """A model as loaders list it.

    name: of its file or folder.  folder: ComfyUI's model folder.  source: a repository on the Hub ("owner/name"), or
    the URL of a file.  file: the one file of the repository; empty: all that belongs to the model.  parts: the
    folders of the repository that belong to it; empty: its root.  size: bytes, about; 0: not known.  page: where people find it.
    """

    name: str
    folder: str
    source: str
    size: int
    licence: str
    page: str
    file: str = ""
    parts: tuple[str, ...] = ()
    checksums: Mapping[str, Checksum] = field(default_factory=dict)

    @property
    def facts(self) -> str:
        """Size and licence in a few words."""
        return f"{self.size / GB:.1f} GB, {self.licence}" if self.size else self.licence


def _audioldm(name: str, size: int, checksums: Mapping[str, Checksum] | None = None) -> RemoteModel:
    return RemoteModel(
        name,
        "audioldm",
        f"cvssp/{name}",
        size,
        NON_COMMERCIAL,
        f"{HUB}/cvssp/{name}",
        parts=("unet", "vae", "vocoder", "text_encoder", "tokenizer", "scheduler"),
        checksums=checksums or {},
    )


def _motion(name: str, size: int, checksum: Checksum | None = None) -> RemoteModel:
    return RemoteModel(
        name,
        "animatediff_models",
        "guoyww/animatediff",
        size,
        "Apache 2.0",
        f"{HUB}/guoyww/animatediff",
        file=name,
        checksums={name: checksum} if checksum else {},
    )


AUDIOLDM = (
    _audioldm(
        "audioldm-s-full-v2",
        1_684_421_188,
        {
            "unet/diffusion_pytorch_model.bin": Checksum(
                740_429_981, "d30778d539a99dd15d24e922116a0303ba4c81ffb49f392b69d47cb6e1f7aee6"
            ),
            "vae/diffusion_pytorch_model.bin": Checksum(
                221_586_505, "e3fc8ccecb1849c8a23cd4f9dd959eb7aaa203cc010386288418dbc551cdaaf7"
            ),
            "vocoder/pytorch_model.bin": Checksum(
                221_120_349, "f9fbefc2b31c85d1dabe98e53d09ac88039af411162a7e641040a9c2b5f62364"
            ),
            "text_encoder/pytorch_model.bin": Checksum(
                501_284_353, "0292e65e99024f2d21f0a59b718f0e4914546e4287e2dabdd2d7e4a95c169f7b"
            ),
        },
    ),
    _audioldm("audioldm-m-full", 2_600_000_000),
    _audioldm("audioldm-l-full", 3_900_000_000),
)
TOKENIZER = RemoteModel(
    "audioldm-tokenizer",
    "audioldm",
    "cvssp/audioldm-s-full-v2",
    2_000_000,
    NON_COMMERCIAL,
    f"{HUB}/cvssp/audioldm-s-full-v2",
    parts=("tokenizer",),
)
IMAGEBIND = (
    RemoteModel(
        "imagebind_huge.pth",
        "imagebind",
        "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
        4_803_584_173,
        NON_COMMERCIAL,
        "https://github.com/facebookresearch/ImageBind",
        checksums={
            "imagebind_huge.pth": Checksum(4_803_584_173, "d6f6c22bedcc90708448d5d2fbb7b2db9c73f505dc89bd0b2e09b23af1b62157")
        },
    ),
)
PE_AV = tuple(
    RemoteModel(name, "pe_av", f"facebook/{name}", 0, "Apache 2.0", f"{HUB}/facebook/{name}")
    for size in ("small", "base", "large")
    for name in (f"pe-av-{size}", f"pe-av-{size}-16-frame")
)
BASE = (
    RemoteModel(
        "v1-5-pruned-emaonly.safetensors",
        "checkpoints",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        4_265_146_304,
        "CreativeML OpenRAIL-M",
        f"{HUB}/stable-diffusion-v1-5/stable-diffusion-v1-5",
        file="v1-5-pruned-emaonly.safetensors",
        checksums={
            "v1-5-pruned-emaonly.safetensors": Checksum(
                4_265_146_304, "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"
            )
        },
    ),
)
MOTION = (
    _motion(
        "mm_sd_v15_v2.ckpt",
        1_817_888_431,
        Checksum(1_817_888_431, "69ed0f5fef82b110aca51bcab73b21104242bc65d6ab4b8b2a2a94d31cad1bf0"),
    ),
    _motion("v3_sd15_mm.ckpt", 1_700_000_000),
    RemoteModel(
        "animatediff-motion-adapter-v1-5-2",
        "animatediff_models",
        "guoyww/animatediff-motion-adapter-v1-5-2",
        1_800_000_000,
        "Apache 2.0",
        f"{HUB}/guoyww/animatediff-motion-adapter-v1-5-2",
    ),
)
