"""Caption Image: images in, words out."""

from __future__ import annotations

import logging

from comfy_api.latest import io
from torch import Tensor

from ...seeing_core.captions.captioner import IMAGE_PROMPT, MOST_TOKENS
from ...seeing_core.captions.cleanup import joined
from ..comfy.convert import images_from
from ..loaders.downloads import download_if_missing
from ..sockets import CATEGORY
from . import captioner_loading as captioning

EACH, TOGETHER = "each", "together"


class CaptionImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        models = captioning.choices(captioning.IMAGE)
        return io.Schema(
            node_id="SeeingHearing_CaptionImage",
            display_name="Caption Image",
            category=CATEGORY + "/captions",
            description="Describes images in words with a vision-language model, for a prompt. The model is unloaded "
            "before the next node runs. For a video, put Key Frames in front.",
            search_aliases=["describe image", "image to text", "interrogate", "vlm", "qwen vl", "blip", "prompt from image"],
            inputs=[
                io.Image.Input("images", tooltip="One image or a few, at most 16. Large ones are scaled down first."),
                io.Combo.Input(
                    "model",
                    options=models,
                    default=models[0],
                    tooltip="The captioner: a model folder found in models/LLM, models/diffusers or the Hugging Face "
                    "cache. Well-known names are listed as well; choosing one that is absent tells where to get it.",
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default=IMAGE_PROMPT,
                    tooltip="What the model is asked. Empty: the usual question. BLIP takes no question and ignores this.",
                ),
                io.Combo.Input(
                    "pictures",
                    options=[EACH, TOGETHER],
                    default=EACH,
                    advanced=True,
                    tooltip="With several images, 'each' describes every image by itself and joins the captions, "
                    "without duplicates; 'together' asks one question about all of them (not with BLIP; takes more "
                    "memory).",
                ),
                io.Int.Input(
                    "max_tokens",
                    default=100,
                    min=1,
                    max=MOST_TOKENS,
                    advanced=True,
                    tooltip="The longest caption, in tokens (about three quarters of a word each).",
                ),
                io.Boolean.Input(
                    "trust_remote_code",
                    default=False,
                    advanced=True,
                    tooltip="Runs the Python files in the model's folder, with all your rights on this machine. Only "
                    "for models that need it and whose code you have read. Off: no code of a model is run.",
                ),
                download_if_missing(),
            ],
            outputs=[io.String.Output("caption", tooltip="The description in one line, for a prompt input.")],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        model: str,
        prompt: str,
        pictures: str,
        max_tokens: int,
        trust_remote_code: bool,
        download_if_missing: bool = False,
    ) -> io.NodeOutput:
        from ...seeing_core.captions.loading import load_image_captioner

        pictures_in = images_from(images)
        folder = captioning.folder_of(captioning.IMAGE, model, download_if_missing)
        if trust_remote_code:
            logging.warning(
                "Caption Image: trust_remote_code is on; Python files in '%s' may run with all your rights.", folder
            )
        captions = captioning.ask(
            lambda: load_image_captioner(folder, remote_code=trust_remote_code),
            lambda captioner: captioner.caption(
                pictures_in, prompt, together=pictures == TOGETHER, max_tokens=max_tokens, on_token=captioning.TokenProgress()
            ),
        )
        return io.NodeOutput(joined(captions))
