"""Captioners: transformers-native vision-language and audio-language models, asked greedily, so without a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ..errors import InputError, check_number
from ..media.resample import mono
from ..media.types import Waveform
from .cleanup import strip_markup

IMAGE_PROMPT = "describe this image in detail, in less than 35 words"  # the paper's
AUDIO_PROMPT = "describe what is heard in this recording, in less than 35 words"
MOST_TOKENS = 1024
MAX_IMAGES = 16
MOST_PIXELS = 1280 * 28 * 28  # about a megapixel, 1280 tokens of Qwen2-VL; larger pictures are made smaller
MOST_OBLONG = 100  # long side : short side
HEARD_AT_ONCE_S = 30.0
SOUND_RANGE_S = (0.3, 300.0)

OnToken = Callable[[int, int], None]
"""Told after each token: how many are written, and how many there can be. May raise to stop."""


class Captioner(nn.Module):
    """A language model that sees or hears, with its processor."""

    def __init__(self, network: nn.Module, processor: Any) -> None:
        super().__init__()
        self.network, self.processor = network, processor
        self.eval().requires_grad_(False)

    @property
    def chat_form(self) -> str | None:
        """The template of a conversation; None for a model that cannot be asked."""
        return self.processor.chat_template or self.processor.tokenizer.chat_template

    def question(self, kind: str, count: int, prompt: str) -> str:
        """One user turn: `count` pictures or sounds, then the prompt, from which special tokens are taken out."""
        content = [{"type": kind}] * count + [{"type": "text", "text": strip_markup(prompt, self._special)}]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.chat_form,
            add_generation_prompt=True,
            tokenize=False,
        )

    @torch.no_grad()
    def answer(self, inputs: Mapping[str, Tensor], given: int, max_tokens: int, on_token: Callable[[], None]) -> str:
        """What the model writes, always its likeliest token.  given: how many tokens of the output are the question's."""
        weights = next(self.network.parameters())
        moved = {
            name: value.to(weights.device, weights.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

        def after_token(ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
            on_token()
            return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

        made = self.network.generate(
            **moved,
            max_new_tokens=max_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            stopping_criteria=[after_token],
        )
        return strip_markup(self.processor.tokenizer.decode(made[0, given:]), self._special)

    @property
    def _special(self) -> list[str]:
        return self.processor.tokenizer.all_special_tokens


class ImageCaptioner(Captioner):
    """Qwen2-VL and its like, which are asked in a chat form, or BLIP, which describes unasked."""

    def caption(
        self,
        pictures: Tensor,
        prompt: str = IMAGE_PROMPT,
        *,
        together: bool = False,
        max_tokens: int = 100,
        on_token: OnToken = lambda written, most: None,
    ) -> list[str]:
        """pictures (N, 3, H, W), 0..1 -> N captions, or, when asked about all of them together, one.

        An empty prompt is the paper's. A model without a chat form does not read it. The same input gives the same
        caption. Raises InputError on more than 16 pictures, on very oblong ones, and on `together` without a chat form.
        """
        check_number("max tokens", max_tokens, 1, MOST_TOKENS)
        _check_pictures(pictures)
        if together and self.chat_form is None:
            raise InputError(
                "pictures",
                "'together' with a model that takes one picture and no question",
                "'each', or a model such as Qwen2-VL",
            )
        images = [_small_image(picture) for picture in pictures]
        groups = [images] if together else [[image] for image in images]
        count = _counter(on_token, len(groups) * max_tokens)
        return [self._describe(group, prompt.strip() or IMAGE_PROMPT, max_tokens, count) for group in groups]

    def _describe(self, images: list[Image.Image], prompt: str, max_tokens: int, on_token: Callable[[], None]) -> str:
        if self.chat_form is None:
            return self.answer(self.processor(images=images, return_tensors="pt"), 1, max_tokens, on_token)
        text = self.question("image", len(images), prompt)
        inputs = self.processor(text=[text], images=images, return_tensors="pt")
        return self.answer(inputs, inputs["input_ids"].shape[1], max_tokens, on_token)


class AudioCaptioner(Captioner):
    """Qwen2-Audio: hears up to 30 s at once."""

    def caption(
        self,
        sound: Waveform,
        prompt: str = AUDIO_PROMPT,
        *,
        max_tokens: int = 100,
        on_token: OnToken = lambda written, most: None,
    ) -> list[str]:
        """One caption for each 30 s of a sound, which is cut into equal parts. An empty prompt is AUDIO_PROMPT.

        Raises InputError outside 0.3 s to 5 min.
        """
        check_number("max tokens", max_tokens, 1, MOST_TOKENS)
        check_number("duration of the sound", sound.duration_s, *SOUND_RANGE_S, unit="seconds")
        extractor = self.processor.feature_extractor
        samples = mono(sound, extractor.sampling_rate)
        parts = samples.tensor_split(math.ceil(sound.duration_s / HEARD_AT_ONCE_S))
        count = _counter(on_token, len(parts) * max_tokens)
        text = self.question("audio", 1, prompt.strip() or AUDIO_PROMPT)
        return [self._listen(part, text, max_tokens, count) for part in parts]

    def _listen(self, samples: Tensor, text: str, max_tokens: int, on_token: Callable[[], None]) -> str:
        inputs = self.processor(
            text=[text],
            audio=[samples.float().cpu().numpy()],
            return_tensors="pt",
            sampling_rate=self.processor.feature_extractor.sampling_rate,
        )
        return self.answer(inputs, inputs["input_ids"].shape[1], max_tokens, on_token)


def _counter(on_token: OnToken, most: int) -> Callable[[], None]:
    written = iter(range(1, most + 1))
    return lambda: on_token(next(written), most)


def _check_pictures(pictures: Tensor) -> None:
    if len(pictures) > MAX_IMAGES:
        raise InputError(
            "pictures",
            f"{len(pictures)} of them",
            f"at most {MAX_IMAGES}",
            "Key Frames picks the few that best stand for a video.",
        )
    height, width = pictures.shape[-2:]
    if max(height, width) > MOST_OBLONG * min(height, width):
        raise InputError("pictures", f"{width} x {height} pixels", f"sides that differ at most {MOST_OBLONG} times")


def _small_image(picture: Tensor) -> Image.Image:
    """(3, H, W), 0..1 -> the picture, of about one megapixel at most."""
    pixels = (picture.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().contiguous()  # (H, W, 3)
    image = Image.fromarray(pixels.numpy())
    scale = math.sqrt(MOST_PIXELS / (image.width * image.height))
    if scale >= 1:
        return image
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)
