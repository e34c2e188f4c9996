"""Caption Audio: a sound in, words out."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...seeing_core.captions.captioner import AUDIO_PROMPT, MOST_TOKENS
from ...seeing_core.captions.cleanup import joined
from ..comfy.convert import waveform_from
from ..loaders.downloads import download_if_missing
from ..sockets import CATEGORY
from . import captioner_loading as captioning


class CaptionAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        models = captioning.choices(captioning.AUDIO)
        return io.Schema(
            node_id="SeeingHearing_CaptionAudio",
            display_name="Caption Audio",
            category=CATEGORY + "/captions",
            description="Describes a sound in words with an audio-language model, for a prompt. The model is unloaded "
            "before the next node runs.",
            search_aliases=["describe audio", "audio to text", "sound caption", "qwen audio", "prompt from sound"],
            inputs=[
                io.Audio.Input(
                    "audio",
                    tooltip="The sound, 0.3 s to 5 min. Of a batch, only the first is used. Every 30 s get a caption "
                    "of their own.",
                ),
                io.Combo.Input(
                    "model",
                    options=models,
                    default=models[0],
                    tooltip="The captioner: a Qwen2-Audio folder found in models/LLM, models/diffusers or the Hugging "
                    "Face cache. The well-known name is listed as well; choosing it when it is absent tells where to "
                    "get it.",
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default=AUDIO_PROMPT,
                    tooltip="What the model is asked. Empty: the usual question.",
                ),
                io.Int.Input(
                    "max_tokens",
                    default=100,
                    min=1,
                    max=MOST_TOKENS,
                    advanced=True,
                    tooltip="The longest caption, in tokens (about three quarters of a word each).",
                ),
                download_if_missing(),
            ],
            outputs=[io.String.Output("caption", tooltip="The description in one line, for a prompt input.")],
        )

    @classmethod
    def execute(
        cls, audio: dict[str, Any], model: str, prompt: str, max_tokens: int, download_if_missing: bool = False
    ) -> io.NodeOutput:
        from ...seeing_core.captions.loading import load_audio_captioner

        sound = waveform_from(audio)
        captioning.warn_if_silent("Caption Audio", sound)
        folder = captioning.folder_of(captioning.AUDIO, model, download_if_missing)
        captions = captioning.ask(
            lambda: load_audio_captioner(folder),
            lambda captioner: captioner.caption(sound, prompt, max_tokens=max_tokens, on_token=captioning.TokenProgress()),
        )
        return io.NodeOutput(joined(captions))
