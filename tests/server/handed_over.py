"""Run by a test in a process of its own: what the pack makes of media as ComfyUI's nodes and other packs hand them over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from own_process import import_pack, nodes_of, report

pack = import_pack()
BASE = Path(sys.argv[-1])  # the models' folder, which is the last argument


def main(nodes: dict[str, Any]) -> dict[str, Any]:
    import av
    import torch
    from comfy_api.latest import InputImpl, Types
    from pack.nodes.comfy.convert import images_from, own_track, video_from, waveform_from
    from pack.seeing_core.errors import InputError
    from pack.seeing_core.media.mux import mux
    from pack.seeing_core.media.types import VideoFrames, Waveform
    from pack.seeing_core.media.video_file import VideoFile

    class Lazy(Mapping[str, Any]):
        """A sound that is only loaded when somebody asks for it, as the most used video pack hands it out."""

        def __init__(self, load: Callable[[], dict[str, Any]]) -> None:
            self.load, self.loaded = load, None

        def _all(self) -> dict[str, Any]:
            self.loaded = self.loaded or self.load()
            return self.loaded

        def __getitem__(self, key: str) -> Any:
            return self._all()[key]

        def __iter__(self) -> Iterator[str]:
            return iter(self._all())

        def __len__(self) -> int:
            return len(self._all())

    class Cropped(InputImpl.VideoFromFile):
        """What a newer ComfyUI hands out after its Crop Video: a file of which a part is shown."""

        def get_dimensions(self) -> tuple[int, int]:
            return (32, 24)

        def get_components(self) -> Types.VideoComponents:
            whole = super().get_components()
            return Types.VideoComponents(images=whole.images[:, :24, :32], audio=whole.audio, frame_rate=whole.frame_rate)

    class Looped:
        """A pack's own video: nothing but the interface."""

        def __init__(self, video: Any) -> None:
            self.video = video

        def get_components(self) -> Types.VideoComponents:
            once = self.video.get_components()
            return Types.VideoComponents(images=once.images.repeat(2, 1, 1, 1), audio=None, frame_rate=once.frame_rate)

    def refusal(work: Callable[[], Any]) -> str:
        try:
            return f"no error, but {work()}"
        except InputError as error:
            return str(error)

    stereo = {"waveform": torch.stack([torch.full((8000,), 0.2), torch.full((8000,), -0.5)])[None], "sample_rate": 8000}
    pixels = torch.linspace(0, 1, 8).view(8, 1, 1, 1).expand(8, 3, 48, 64)
    path = mux(VideoFrames(pixels, 8), Waveform(stereo["waveform"][0], 8000), BASE / "file.mp4")
    file = InputImpl.VideoFromFile(str(path))
    components = InputImpl.VideoFromComponents(
        Types.VideoComponents(images=pixels.movedim(1, -1), audio=stereo, frame_rate=Fraction(8))
    )
    silent = InputImpl.VideoFromComponents(
        Types.VideoComponents(images=pixels.movedim(1, -1), audio=None, frame_rate=Fraction(8))
    )
    grey = torch.rand(2, 8, 8, 1)
    strange = torch.tensor([-0.5, 0.5, 1.5]).half().expand(1, 4, 4, 3)

    def shown(media: Any) -> list[Any]:
        video = video_from(media, 1.0)
        frame = next(video.frames([0]))
        return [type(video).__name__, *frame.shape, len(video.times_s), round(video.duration_s, 3)]

    def muxed(media: Any, mode: str, **more: Any) -> dict[str, Any]:
        new = {"waveform": torch.full((1, 1, 8000), 0.1), "sample_rate": 8000}
        values = {"level": 0.0, "offset_ms": 0.0, "fade_in": 0.0, "fade_out": 0.0, "loudness": "as it is", "fps": 8.0}
        values |= {"fit": "fit to picture", "copies": "what every browser plays"} | more
        given = {"sound": mode, "own_level": 0.0, "ducking": 0.0}
        made = nodes["MuxAudioIntoVideo"].execute(media, new, given, **values).args[0].get_stream_source()
        with av.open(made) as container:
            streams = [len(stream.layout.channels) for stream in container.streams.audio]
            size = [container.streams.video[0].width, container.streams.video[0].height]
        middle = own_track(None, VideoFile(made)).samples[:, 3000:5000].mean(1)
        return {"tracks": streams, "size": size, "middle": [round(float(value), 1) for value in middle]}

    empty = {"waveform": torch.zeros(1, 1, 0), "sample_rate": 8000}
    no_channels = {"waveform": torch.zeros(1, 0, 100), "sample_rate": 8000}
    describe = nodes["Describe"]
    bang = torch.zeros(1, 1, 16000)
    bang[..., 8000:8200] = 0.5
    flash = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0)).repeat(16, 1, 1, 1)
    flash[9:] = flash[9:].roll(3, 2)

    def events(media: Any, **more: float) -> list[Any]:
        values = {"sensitivity": 1.0, "minimum_gap": 0.0, "start": 0.0, "end": 0.0, "fps": 8.0} | more
        text, times, plot = nodes["EventTimes"].execute(media, **values).args
        return [text, [round(time_s, 3) for time_s in times], list(plot.shape)]

    return {
        "lazy": [waveform_from(Lazy(lambda: stereo)).rate_hz, *waveform_from(Lazy(lambda: stereo)).samples.shape],
        "lazy described": refusal(lambda: describe.execute(None, Lazy(lambda: empty), "", 1, "instead of the built-in list")),
        "nothing described": refusal(lambda: describe.execute(None, None, "", 1, "instead of the built-in list")),
        "none": refusal(lambda: waveform_from(None)),
        "no samples": refusal(lambda: waveform_from(empty)),
        "no channels": refusal(lambda: waveform_from(no_channels)),
        "no sound": refusal(lambda: waveform_from("a path")),
        "grey": torch.equal(images_from(grey), grey.movedim(-1, 1).expand(-1, 3, -1, -1)),
        "alpha": list(images_from(torch.rand(2, 8, 8, 4)).shape),
        "beyond": images_from(strange)[0, :, 0, 0].tolist(),
        "infinite": refusal(lambda: images_from(torch.full((1, 4, 4, 3), torch.inf))),
        "file": shown(file),
        "trimmed": shown(file.as_trimmed(0.5, 0.25)),
        "trimmed from the end": shown(InputImpl.VideoFromFile(str(path), start_time=-0.25)),
        "cropped": shown(Cropped(str(path))),
        "components": shown(components),
        "looped": shown(Looped(components)),
        "replace": muxed(file, "replace"),
        "mix": muxed(file, "mix"),
        "mix of components": muxed(components, "mix"),
        "add a track": muxed(file, "add a track"),
        "mix of a silent one": muxed(silent, "mix"),
        "mix of images": muxed(pixels.movedim(1, -1), "mix"),
        "cropped and muxed": muxed(Cropped(str(path)), "replace"),
        "louder": muxed(silent, "replace", level=6.0206),
        "events of a sound": events(Lazy(lambda: {"waveform": bang, "sample_rate": 8000})),
        "events of images": events(flash),
        "no events": events(flash, end=0.5),
        "events of nothing": refusal(lambda: events(None)),
        "events of no time": refusal(lambda: events(flash, start=1.0, end=0.5)),
        "unknown": refusal(lambda: nodes["MuxAudioIntoVideo"].execute(file, stereo, None, "", 0, 0, 0, 0, "", "", 8)),
    }


report(main(asyncio.run(nodes_of(pack))))
