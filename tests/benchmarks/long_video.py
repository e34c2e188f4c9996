"""Memory does not grow with the length of a video: video to audio on a short and on a long file, each in a process of its own.

    python -m tests.benchmarks.long_video                    1 and 20 minutes of 10 fps, pocket models, preset `balanced`
    python -m tests.benchmarks.long_video --minutes 1 60

Printed for each: seconds, and the peak of the process's resident memory. What has to grow is what is made: the latent, the log-mel
and the waveform, together about 0.4 MB a second.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import torch

from seeing_core.guidance.settings import AUDIO_PRESETS
from seeing_core.media.video_file import VideoFile
from seeing_core.tasks import RunConfig, video_to_audio
from tests.benchmarks.sizes import pocket

FPS, WIDTH, HEIGHT = 10, 320, 240


def write_video(path: Path, minutes: float) -> None:
    """A white square that jumps twice a second, over noise that does not compress away."""
    noise = np.random.default_rng(0).integers(0, 80, (HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(minutes * 60 * FPS)):
            picture = noise.copy()
            left = number // (FPS // 2) * 37 % (WIDTH - 60)
            picture[90:150, left : left + 60] = 255
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


def measure(path: Path, steps: int) -> None:
    torch.set_num_threads(2)
    models = pocket()
    started = time.monotonic()
    run = RunConfig(steps=steps, settings=AUDIO_PRESETS["balanced"])
    [waveform] = video_to_audio(models.audio, models.binder, VideoFile(str(path)), run).waveforms
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{waveform.duration_s:.0f} s of audio: {time.monotonic() - started:.0f} s, peak {peak:.0f} MB", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, nargs="+", default=[1, 20])
    options.add_argument("--steps", type=int, default=2, help="denoise steps; memory does not depend on them")
    options.add_argument("--file", type=Path, help="measure this file in this process")
    chosen = options.parse_args()
    if chosen.file:
        measure(chosen.file, chosen.steps)
        return
    with TemporaryDirectory() as folder:
        for minutes in chosen.minutes:
            path = Path(folder) / f"{minutes:g}.mp4"
            write_video(path, minutes)
            command = [sys.executable, "-m", "tests.benchmarks.long_video", "--file", str(path), "--steps", str(chosen.steps)]
            # glibc would keep freed blocks of growing size: with a fixed threshold they go back, and what is left is in use.
            subprocess.run(command, check=True, env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"})


if __name__ == "__main__":
    main()
