"""Where captioners lie, and how one is borrowed: loaded, asked, and gone from memory before the next node runs."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management as management
import folder_paths
from comfy.utils import ProgressBar

from ...seeing_core.captions.captioner import Captioner
from ...seeing_core.errors import InputError
from ...seeing_core.media.types import Waveform
from ...seeing_core.weights.catalog import GB, HUB, RemoteModel
from ..comfy.memory import ModelHandle, on_device
from ..loaders.downloads import fetch_here
from ..loaders.model_folders import DEPTH, hub_cache, hub_cached, model_config

ROOTS = ("LLM", "diffusers")
CAPTION_BYTES = 2 * 2**30  # activations: a picture of a megapixel, or 30 s of sound, and the words
SILENCE = 1e-4  # peak
WRITES_TEXT = ("ForConditionalGeneration", "ForCausalLM")


@dataclass(frozen=True)
class CaptionerKind:
    """A kind of captioner.  catalog: those on huggingface.co, best first."""

    name: str
    fits: Callable[[dict[str, Any]], bool]
    catalog: tuple[RemoteModel, ...]

    @property
    def known_names(self) -> list[str]:
        return [one.source for one in self.catalog]


def _sees(config: dict[str, Any]) -> bool:
    own_code = "AutoModelForImageTextToText" in (config.get("auto_map") or {})
    writes = any(str(name).endswith(WRITES_TEXT) for name in config.get("architectures") or [])
    return own_code or ("vision_config" in config and writes)


def _captioner(name: str, size_gb: float, facts: str) -> RemoteModel:
    return RemoteModel(name.rpartition("/")[2], "LLM", name, int(size_gb * GB), facts, f"{HUB}/{name}")


IMAGE = CaptionerKind(
    "image captioner",
    _sees,
    (
        _captioner("Qwen/Qwen2-VL-2B-Instruct", 4.4, "Apache-2.0"),
        _captioner("Qwen/Qwen3-VL-2B-Instruct", 4.3, "Apache-2.0, needs transformers 4.57"),
        _captioner("Qwen/Qwen2.5-VL-7B-Instruct", 16.6, "Apache-2.0"),
        _captioner("Salesforce/blip-image-captioning-base", 1.0, "BSD-3-Clause"),
        _captioner("Salesforce/blip-image-captioning-large", 1.9, "BSD-3-Clause"),
    ),
)
AUDIO = CaptionerKind(
    "audio captioner",
    lambda config: config.get("model_type") == "qwen2_audio",
    (_captioner("Qwen/Qwen2-Audio-7B-Instruct", 16.8, "Apache-2.0"),),
)


def choices(kind: CaptionerKind) -> list[str]:
    """What lies on this machine, then the well-known names that do not."""
    found = sorted(_found(kind))
    return [*found, *(name for name in kind.known_names if name not in found)]


def folder_of(kind: CaptionerKind, choice: str, download_if_missing: bool = False) -> Path:
    """The folder of a choice; a well-known name also finds a folder that is called by its last part.

    One that is absent is fetched when that is allowed. Raises InputError naming the folders looked in, and where to get the
    model, when there is none.
    """
    found = _found(kind)
    named = {name.rpartition("/")[2]: path for name, path in found.items()}
    wanted = next((one for one in kind.catalog if one.source == choice), None)
    folder = found.get(choice) or (named.get(wanted.name) if wanted else None)
    if folder is not None:
        return folder
    if wanted and download_if_missing:
        return fetch_here(wanted, Path(folder_paths.get_folder_paths(wanted.folder)[0]))
    listed = "; ".join(f"{one.source} ({one.facts})" for one in kind.catalog)
    roots = ", ".join([*_roots(), str(hub_cache())])
    example = wanted or kind.catalog[0]
    raise InputError(
        kind.name,
        f"'{choice}', which is not on this machine",
        f"a model folder in {roots}",
        f"Switch on download_if_missing, or put all files of {example.page} into models/LLM/{example.name} and press R "
        f"in the editor. Well-known ones: {listed}.",
    )


def ask(load: Callable[[], Captioner], question: Callable[[Captioner], list[str]]) -> list[str]:
    """Loads a captioner, asks it, and lets it go: nothing of it is left on the device, in memory or in the graph's cache."""
    try:
        return _ask(load, question)
    finally:  # `_ask` held the only references
        gc.collect()
        management.soft_empty_cache()


def _ask(load: Callable[[], Captioner], question: Callable[[Captioner], list[str]]) -> list[str]:
    captioner = ModelHandle.load(load)
    with on_device(captioner, activations_bytes=CAPTION_BYTES):
        return question(captioner.model)


class TokenProgress:
    """Moves the node's bar with each token; stops on cancel."""

    def __init__(self) -> None:
        self.bar = ProgressBar(1)

    def __call__(self, written: int, most: int) -> None:
        management.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(written, most)


def warn_if_silent(node: str, sound: Waveform) -> None:
    """A note in the server's log when there is nothing to hear."""
    if sound.samples.abs().max() < SILENCE:
        logging.warning("%s: the sound is silent, so there is nothing to describe", node)


def _roots() -> list[str]:
    return [root for name in ROOTS for root in folder_paths.get_folder_paths(name)]


def _found(kind: CaptionerKind) -> dict[str, Path]:
    """Every folder of this kind below the model roots and in the Hugging Face cache, by its name."""
    found: dict[str, Path] = {}
    for root in _roots():
        for folder, below, files in os.walk(root, followlinks=True):
            inside = Path(folder).relative_to(root)
            if "config.json" in files:
                below.clear()
                if kind.fits(model_config(Path(folder))):
                    found.setdefault(inside.as_posix(), Path(folder))
            elif "model_index.json" in files or len(inside.parts) >= DEPTH:
                below.clear()  # the parts of a diffusers folder are no captioners
    for name, folder in hub_cached():
        if kind.fits(model_config(folder)):
            found.setdefault(name, folder)
    return found
