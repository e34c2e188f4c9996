"""Inputs that several task nodes share, so that a knob has one name, one range and one explanation everywhere."""

from __future__ import annotations

from comfy_api.latest import io

from ...seeing_core.guidance.settings import JOINT_PRESETS, VIDEO_PRESETS, AUDIO_PRESETS, AlignSettings
from ..sockets import AudioModel, Binder, Settings, Targets, VideoModel


def audio_model() -> io.Input:
    return AudioModel.Input("audio_model", tooltip="AudioLDM, from Load AudioLDM.")


def video_model() -> io.Input:
    return VideoModel.Input("video_model", tooltip="AnimateDiff, from Load AnimateDiff.")


def binder() -> io.Input:
    return Binder.Input("binder", tooltip="ImageBind, from Load ImageBind.")


def prompt(of: str, example: str) -> io.Input:
    return io.String.Input(
        "prompt", multiline=True, default="",
        tooltip=f"What should be {of}, in a few English words: '{example}'. May stay empty.",
    )


def negative_prompt(of: str, example: str) -> io.Input:
    return io.String.Input(
        "negative_prompt", multiline=True, default="",
        tooltip=f"What should not be {of}: '{example}'. May stay empty.",
    )


def steps(default: int) -> io.Input:
    return io.Int.Input(
        "steps", default=default, min=1, max=1000,
        tooltip="Denoise steps. More is slower and a little cleaner; 20 to 50 is usual.",
    )


def strength(towards: str, name: str = "alignment strength") -> io.Input:
    return io.Float.Input(
        "strength", display_name=name, default=1.0, min=0.0, max=100.0, step=0.05,
        tooltip=f"How strongly the result is pulled towards {towards}. 1 is the usual rate; 0 turns this off; above 2 "
        "the result may look or sound broken.",
    )


def prompt_strength() -> io.Input:
    return io.Float.Input(
        "prompt_strength", display_name="prompt tuning", default=1.0, min=0.0, max=100.0, step=0.05,
        tooltip="How strongly the prompt itself is tuned towards the target while sampling (the paper's guided prompt "
        "tuning). 1 is the usual rate; 0 turns it off, which halves the time.",
    )


def seed() -> io.Input:
    return io.Int.Input(
        "seed", default=0, min=0, max=2**63 - 1, control_after_generate=True,
        tooltip="Another seed gives another result. The same seed and settings give the same result again.",
    )


def guidance_scale(name: str, model: str, default: float, usual: str) -> io.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=100.0, step=0.1, advanced=True,
        tooltip=f"How closely {model} follows the prompt (classifier-free guidance). 1 is off, {usual} is usual.",
    )


def fps_of_images() -> io.Input:
    return io.Float.Input(
        "fps", default=8.0, min=0.01, max=1000.0, step=0.01, advanced=True,
        tooltip="Frames per second of an image batch. A video knows its own; this is then not used.",
    )


def fps_to_make() -> io.Input:
    return io.Float.Input(
        "fps", default=8.0, min=1.0, max=60.0, step=0.01,
        tooltip="Frames per second of the film. AnimateDiff moves naturally at 8; more takes longer.",
    )


def sides() -> list[io.Input]:
    return [
        io.Int.Input(
            name, default=0, min=0, max=4096, step=8, advanced=True,
            tooltip=f"{name.capitalize()} of the film in pixels, a multiple of 8. 0: the model's own size (512 for Stable "
            "Diffusion 1.5).",
        )
        for name in ("width", "height")
    ]


def settings() -> io.Input:
    return Settings.Input(
        "settings", optional=True,
        tooltip="From Align Settings. When connected, it takes the place of this node's own alignment widgets.",
    )


def targets() -> io.Input:
    return Targets.Input(
        "targets", optional=True,
        tooltip="From Align Target: further things that the result should fit, a reference sound for example.",
    )


def preset() -> io.Input:
    return io.Combo.Input(
        "preset", options=list(AUDIO_PRESETS), default="balanced", advanced=True,
        tooltip="How the sound is aligned. 'balanced': the prompt in ImageBind's words and early nudges that place the "
        "sounds in time, best in our tests. 'quality': nudges for longer, best in time, a little further from real sounds. "
        "'fast': words and timing alone. 'paper': the paper's released rule. 'gradient': plain gradient descent. 'x0': steps in "
        "the predicted clean sound. For every detail use Align Settings.",
    )


def picture_preset() -> io.Input:
    return _film_preset(
        VIDEO_PRESETS, "How the film is aligned. 'balanced': the prompt in ImageBind's words and nudges that make things move "
        "when they sound, best in our tests. 'quality': more of them.",
    )


def joint_preset() -> io.Input:
    return _film_preset(
        JOINT_PRESETS, "How film and sound are aligned. 'balanced': one prompt in ImageBind's words for both and early nudges that "
        "bring sounds and movements together, best in our tests. 'quality': nudges for longer.",
    )


def _film_preset(presets: dict[str, AlignSettings], says: str) -> io.Input:
    return io.Combo.Input(
        "preset", options=list(presets), default="balanced", advanced=True, optional=True,
        tooltip=f"{says} 'fast': words alone. 'paper': the paper's rule with a tuned prompt. For every detail use Align Settings.",
    )


def words(of: str) -> io.Input:
    return io.Boolean.Input(
        "words", display_name="complete the prompt", default=True, advanced=True, optional=True,
        tooltip=f"ImageBind puts {of} into words, and the words go before your prompt, unless your prompt fits better already. "
        "Turn it off when the prompt alone should decide. Presets 'paper', 'gradient' and 'x0' never do it.",
    )


def event_times(does: str) -> io.Input:
    return io.String.Input(
        "event_times", default="", advanced=True, optional=True,
        tooltip=f"When something should {does}, in seconds: '0.5, 1.2'. Empty: found by itself, where there is something to "
        "go by.",
    )


def candidates() -> io.Input:
    return io.Int.Input(
        "candidates", default=1, min=1, max=16, advanced=True, optional=True,
        tooltip="How many to make at once, with this seed and the next ones. The best comes first, by how well sound and "
        "picture coincide (not by ImageBind); all are kept in the batch. Takes that many times as long.",
    )


def seeds(first: int, count: int) -> list[int]:
    """One for each candidate."""
    return [(first + i) % 2**63 for i in range(count)]


def vision_weight(**options: bool) -> io.Input:
    return io.Float.Input(
        "vision_weight", default=1.0, min=0.0, max=100.0, step=0.05, **options,
        tooltip="Weight of the picture in the alignment. 0 leaves it out.",
    )


def text_weight(**options: bool) -> io.Input:
    return io.Float.Input(
        "text_weight", default=1.0, min=0.0, max=100.0, step=0.05, **options,
        tooltip="Weight of the prompt in the alignment. 0 leaves it out. An empty prompt is always left out.",
    )
