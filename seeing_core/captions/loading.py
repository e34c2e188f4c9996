"""Captioners from a folder on this machine: no contact with the Hub, no code from the folder unless it is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import InputError
from ..weights.checking import check_finite
from ..weights.files import UNREADABLE, abbreviate, check_folder_files, first_line
from .captioner import AudioCaptioner, ImageCaptioner

DESCRIBES_UNASKED = ("blip",)


def load_image_captioner(folder: Path | str, *, remote_code: bool = False) -> ImageCaptioner:
    """A vision-language model that transformers knows: Qwen2-VL, Qwen2.5-VL, Qwen3-VL and other chat models, or BLIP.

    remote_code: run the Python files of the folder, for a model that transformers does not know.
    Raises InputError naming what is missing, damaged, of another kind, or wants to run code.
    """
    from transformers import AutoModelForImageTextToText

    where = f"image captioner '{folder}'"
    captioner = ImageCaptioner(*_load(where, Path(folder), AutoModelForImageTextToText, remote_code))
    if captioner.chat_form is None and captioner.network.config.model_type not in DESCRIBES_UNASKED:
        raise InputError(where, "a model without a chat template", "one with a chat template, or BLIP")
    return captioner


def load_audio_captioner(folder: Path | str) -> AudioCaptioner:
    """An audio-language model that transformers knows: Qwen2-Audio. Raises InputError as `load_image_captioner`."""
    from transformers import AutoModelForSeq2SeqLM

    where = f"audio captioner '{folder}'"
    captioner = AudioCaptioner(*_load(where, Path(folder), AutoModelForSeq2SeqLM, remote_code=False))
    if captioner.chat_form is None:
        raise InputError(where, "a model without a chat template", "one that is asked, such as Qwen2-Audio")
    return captioner


def _load(where: str, folder: Path, model_class: Any, remote_code: bool) -> tuple[nn.Module, Any]:
    from transformers import AutoProcessor, ProcessorMixin

    _check_code(where, folder, remote_code)
    check_folder_files(where, folder)
    options = {"local_files_only": True, "trust_remote_code": remote_code}
    try:
        processor = AutoProcessor.from_pretrained(folder, **options)
        # Missing and misshapen weights would keep a random start; the loading report is what makes the load strict.
        network, report = model_class.from_pretrained(
            folder, **options, weights_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except UNREADABLE as error:
        raise InputError(
            where, f"files that cannot be read ({first_line(error)})", "a whole, undamaged model folder", "Download it again."
        ) from error
    if not isinstance(processor, ProcessorMixin) or not _reads(processor.tokenizer):
        raise InputError(
            where,
            "a folder that lacks the processor's or the tokenizer's files",
            "preprocessor_config.json, tokenizer.json and all other small files of the model's page",
        )
    _check_weights(where, network, report)
    return network, processor


def _check_code(where: str, folder: Path, remote_code: bool) -> None:
    """Raises InputError when the folder is no model, or one that only its own code could run and may not."""
    from transformers import CONFIG_MAPPING, __version__

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, brings_code = config.get("model_type"), "auto_map" in config
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            where, f"no readable config.json ({first_line(error)})", "a whole model folder", "Download it again."
        ) from error
    if kind in CONFIG_MAPPING:
        return
    if not brings_code:
        raise InputError(
            where,
            f"a model of type '{kind}'",
            f"a type that transformers {__version__} knows",
            "A newer transformers may know it.",
        )
    if not remote_code:
        raise InputError(
            where,
            "a model that only runs with Python code of its own",
            "a model that transformers knows",
            "If you have read that code and trust it, switch on trust_remote_code.",
        )


def _reads(tokenizer: Any) -> bool:
    """False for a tokenizer whose files are missing: transformers goes on with one that knows no letter."""
    return tokenizer.decode(tokenizer("a", add_special_tokens=False)["input_ids"]).strip() == "a"


def _check_weights(where: str, network: nn.Module, report: Mapping[str, Any]) -> None:
    """Raises InputError on missing or misshapen weights and on NaN. Weights of further heads may lie beside them."""
    wrong = {key for key, *_ in report["mismatched_keys"]}
    for what, keys in (("missing", report["missing_keys"]), ("wrong shape", wrong)):
        if keys:
            raise InputError(
                where,
                f"weights that do not fit: {len(keys)} {what} ({abbreviate(sorted(keys))})",
                "this model's weights",
                "Download it again.",
            )
    check_finite(where, network.state_dict())
