"""PE-AV from a folder in the layout of its page on the Hub: config, processor, tokenizer, safetensors."""

from __future__ import annotations

import importlib.util
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from ..binders.pe_av import Inputs, PeAv
from ..binders.phrases import vocabulary_of
from ..errors import InputError
from .checking import check_finite, raise_mismatch
from .files import UNREADABLE, check_folder_files, first_line

VOCABULARY = "vocabulary.txt"


def load_pe_av(folder: Path | str, *, dtype: torch.dtype = torch.float32) -> PeAv:
    """PE-AV's encoders of video, audio and text from a folder on this machine, frozen; nothing is fetched.

    A file vocabulary.txt in it holds its vocabulary, one phrase a line, in place of the pack's own list.
    Raises InputError when anything does not fit, and when transformers or timm are too old or missing.
    """
    folder, where = Path(folder), f"PE-AV folder '{folder}'"
    _check(where, folder)
    check_folder_files(where, folder)
    from transformers import AutoProcessor, PeAudioVideoModel

    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = AutoProcessor.from_pretrained(folder, **options)
        # Missing and misshapen weights would keep a random start; the loading report is what makes the load strict.
        with redirect_stdout(StringIO()):  # transformers prints a complaint about its own docstrings
            model, report = PeAudioVideoModel.from_pretrained(
                folder, **options, dtype=dtype, weights_only=True, output_loading_info=True, ignore_mismatched_sizes=True
            )
        inputs = _inputs(processor)
    except UNREADABLE as error:
        raise InputError(
            where, f"files that cannot be read ({first_line(error)})", "a whole, undamaged model folder", "Download it again."
        ) from error
    raise_mismatch(where, report["missing_keys"], report["unexpected_keys"], report["mismatched_keys"])
    check_finite(where, model.state_dict())
    return PeAv(model, processor.tokenizer, inputs, vocabulary_of(folder / VOCABULARY))


def _check(where: str, folder: Path) -> None:
    """Raises InputError when the folder is another model, or what it needs is not installed."""
    from transformers import CONFIG_MAPPING, __version__

    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = None
    if kind != "pe_audio_video":
        found = f"a model of type '{kind}'" if kind else "no readable config.json"
        raise InputError(where, found, "a folder of facebook/pe-av-small or its like, of type 'pe_audio_video'")
    if kind not in CONFIG_MAPPING:
        raise InputError("transformers", f"version {__version__}", "version 5 or later, which knows PE-AV")
    if importlib.util.find_spec("timm") is None:
        raise InputError("PE-AV", "no package 'timm'", "the package that its image tower is made of", "Run: pip install timm")


def _inputs(processor: Any) -> Inputs:
    video, audio = processor.video_processor, processor.feature_extractor
    return Inputs(
        side=video.size["height"],
        mean=tuple(video.image_mean),
        std=tuple(video.image_std),
        frames=(video.num_frames or 0) if video.do_sample_frames else 0,
        rate_hz=audio.sampling_rate,
        hop=audio.hop_length,
    )
