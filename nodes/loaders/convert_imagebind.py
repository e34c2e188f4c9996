"""Make ImageBind Smaller: a half-precision copy with the three towers that are used."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..sockets import CATEGORY
from . import model_folders as folders


class ConvertImageBind(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_ConvertImageBind",
            display_name="Make ImageBind Smaller",
            category=CATEGORY + "/loaders",
            description="Writes a .safetensors copy of an ImageBind file with the three towers that are used, in half "
            "precision: the 4.8 GB of imagebind_huge.pth become about 2 GB. The original is left as it is.",
            search_aliases=["convert imagebind", "imagebind fp16", "safetensors"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=folders.choices(folders.IMAGEBIND),
                    default=folders.POCKET,
                    tooltip="The ImageBind file to copy, found in models/imagebind.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["fp16", "bf16", "fp32"],
                    default="fp16",
                    tooltip="Of the copy. fp16 keeps most digits at half the size; fp32 only leaves the unused towers out.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "file", tooltip="The name of the copy, beside the original. Press R, then choose it in Load ImageBind."
                )
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model: str, precision: str) -> io.NodeOutput:
        from ...seeing_core.weights import convert_imagebind
        from ..comfy.memory import DTYPES

        source = folders.path_of(folders.IMAGEBIND, model)
        target = _free_name(source, precision)
        convert_imagebind(source, target, dtype=DTYPES[precision])
        return io.NodeOutput(target.name)


def _free_name(source: Path, precision: str) -> Path:
    """Beside the original; the built-in model's copy goes where all others lie."""
    folder = Path(folders.IMAGEBIND.roots[0]) if source == folders.IMAGEBIND.pocket else source.parent
    folder.mkdir(parents=True, exist_ok=True)
    stem, number = f"{source.stem}_{precision}", 1
    target = folder / f"{stem}.safetensors"
    while target.exists():
        number += 1
        target = folder / f"{stem}_{number}.safetensors"
    return target
