"""The sockets of this pack. Models travel as `Managed`, the trace as `seeing_core.trace.Trace`."""

from comfy_api.latest import io

CATEGORY = "Seeing & Hearing"
AudioModel = io.Custom("SEEING_AUDIO_MODEL")
Binder = io.Custom("SEEING_BINDER")
Trace = io.Custom("SEEING_TRACE")
