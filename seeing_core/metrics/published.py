"""Published feature extractors, through their own packages (requirements-eval.txt) and from weight files on this disk.

Nothing is downloaded. The weights were not at hand when this was written: the classes, shapes and loading were run on
random weights in the same layout; numbers of the published weights have not been compared with published tables.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..media.resample import mono
from ..media.types import Video, Waveform, fit_length
from .features import Features, SoundExtractor, VideoExtractor

RATE_HZ = 16000
VGGISH_SHORTEST = 15600  # samples of one example of 0.96 s
PANNS = {
    "sample_rate": RATE_HZ,
    "window_size": 512,
    "hop_size": 160,
    "mel_bins": 64,
    "fmin": 50,
    "fmax": 8000,
    "classes_num": 527,
}
I3D_FRAMES = 16
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError, zipfile.BadZipFile)


def vggish(path: Path | str) -> SoundExtractor:
    """VGGish, rows (n, 128) of 0.96 s each before the last activation: what FAD is taken on (Kilgour et al., 2019).

    path: vggish-10086976.pth of github.com/harritaylor/torchvggish, release v0.1 (package torchvggish).
    """
    network = _module("torchvggish", "torchvggish")
    examples = _module("torchvggish", "vggish_input").waveform_to_examples
    model = _filled(lambda: network.VGG(network.make_layers(), postprocess=False), path, lambda file: file)
    model.embeddings = model.embeddings[:-1]

    @torch.no_grad()
    def extract(sound: Waveform) -> Features:
        samples = mono(sound, RATE_HZ)
        samples = fit_length(samples, max(len(samples), VGGISH_SHORTEST))
        return Features(model(examples(samples.cpu().double().numpy(), RATE_HZ)))

    return extract


def panns(path: Path | str) -> SoundExtractor:
    """PANNs Cnn14 at 16 kHz, rows (1, 2048) and 527 AudioSet logits: what FD, KL and ISc of audio papers are taken on.

    path: Cnn14_16k_mAP=0.438.pth of zenodo.org/records/3987831 (Kong et al., TASLP 2020; package panns-inference).
    """
    network = _module("panns_inference", "models")
    model = _filled(lambda: network.Cnn14(**PANNS), path, lambda file: file["model"])

    @torch.no_grad()
    def extract(sound: Waveform) -> Features:
        samples = mono(sound, RATE_HZ)
        samples = fit_length(samples, max(len(samples), RATE_HZ))
        embedding = model(samples[None])["embedding"]
        return Features(embedding, model.fc_audioset(embedding)[0])

    return extract


def i3d(path: Path | str) -> VideoExtractor:
    """I3D, rows (n, 400) of 16 frames each: what FVD and KVD are taken on (Unterthiner et al., 2018).

    path: i3d_pretrained_400.pt of github.com/songweige/TATS (package cd-fvd). Rows follow one another without overlap;
    frames that do not fill a row are left out, except that a video of fewer than 16 repeats its last.
    """
    network, tools = (_module("cdfvd", f"third_party.i3d.{name}") for name in ("pytorch_i3d", "utils"))
    model = _filled(lambda: network.InceptionI3d(400, in_channels=3), path, lambda file: file)

    @torch.no_grad()
    def extract(video: Video) -> Features:
        count = len(video.times_s)
        frames, rows = [], []
        for frame in video.frames(range(count)):
            frames.append((frame.clamp(0, 1) * 255).round().byte().movedim(0, -1))
            if len(frames) == I3D_FRAMES or (count < I3D_FRAMES and len(frames) == count):
                frames += [frames[-1]] * (I3D_FRAMES - len(frames))
                rows.append(model(tools.preprocess_i3d(torch.stack(frames)[None].numpy())))
                frames = []
        return Features(torch.cat(rows))

    return extract


def _module(package: str, name: str) -> ModuleType:
    """`package.name`, without running the package's `__init__`: that of panns_inference downloads a file."""
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                "features",
                f"no package '{package}'",
                "the packages in requirements-eval.txt",
                "Run: pip install -r requirements-eval.txt",
            )
        bare = ModuleType(package)
        bare.__path__, bare.__spec__ = list(spec.submodule_search_locations), spec
        sys.modules[package] = bare
    return importlib.import_module(f"{package}.{name}")


def _filled(build: Callable[[], nn.Module], path: Path | str, state_of: Any) -> nn.Module:
    """What `build` makes, with a file's weights, in evaluation mode. Raises InputError when the file is absent or does not fit."""
    where = f"weight file '{path}'"
    if not Path(path).is_file():
        raise InputError(
            where,
            "no such file",
            "weights on this disk; nothing is downloaded",
            "seeing_core/metrics/published.py says where they are published.",
        )
    model = build()
    try:
        state: Mapping[str, Tensor] = state_of(torch.load(path, map_location="cpu", weights_only=True))
        model.load_state_dict(state, strict=True)
    except UNREADABLE as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(where, f"a file that does not fit ({first})", f"weights of {type(model).__name__}") from error
    return model.eval().requires_grad_(False)
