"""The sockets of this pack. Models travel as `ModelHandle`; settings, targets and the trace as the core's own values."""

from comfy_api.latest import io

CATEGORY = "Seeing & Hearing"
AudioModel = io.Custom("SEEING_AUDIO_MODEL")
VideoModel = io.Custom("SEEING_VIDEO_MODEL")
Binder = io.Custom("SEEING_BINDER")
Settings = io.Custom("SEEING_SETTINGS")
Targets = io.Custom("SEEING_TARGETS")
Alignment = io.Custom("SEEING_ALIGNMENT")
Trace = io.Custom("SEEING_TRACE")
