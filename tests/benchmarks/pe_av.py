"""PE-AV at full size, random weights: are our differentiable embeddings the library's own, and do gradients come back?

    python -m tests.benchmarks.pe_av            the library's default configuration, that of pe-av-large; 12 GB of memory

One second of sound at 48 kHz and four frames of 336 x 336, on the CPU. Prints the largest relative differences.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from seeing_core.binders.pe_av import Inputs, PeAv
from tests.pe_av_folders import small_tokenizer

INPUTS = Inputs(side=336, mean=(0.5,) * 3, std=(0.5,) * 3, frames=0, rate_hz=48000, hop=1920)
PROMPTS = ["a red ball bouncing", "rain on a roof"]


def main() -> None:
    model = random_model()
    print(f"{sum(weight.numel() for weight in model.parameters()) / 1e9:.2f} billion weights")
    tokenizer = small_tokenizer(PROMPTS, 300)
    samples, frames = 2 * torch.rand(1, 48000) - 1, torch.rand(4, 3, 336, 336)
    tokens = tokenizer(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(
            **tokens,
            input_values=samples[:, None].repeat(2, 1, 1),
            pixel_values_videos=((frames - 0.5) / 0.5)[None].repeat(2, 1, 1, 1, 1),
        )
    ours = PeAv(model, tokenizer, INPUTS)
    samples.requires_grad_()
    frames.requires_grad_()
    started = time.perf_counter()
    heard = ours.embed_audio(samples, [(0.0, 1.0)])
    seen = ours.embed_frames(ours.preprocess_frames(frames)[None], torch.arange(4)[None])
    (heard.clips.square().sum() + seen.clips.square().sum()).backward()
    print(f"both, forward and back: {time.perf_counter() - started:.1f} s")
    report("sound", heard.clips[0, 0], expected.audio_embeds[0])
    report("video", seen.clips[0, 0], expected.video_embeds[0])
    report("words beside sound", ours.embed_text(PROMPTS, "audio"), expected.text_audio_embeds)
    report("words beside video", ours.embed_text(PROMPTS, "vision"), expected.text_video_embeds)
    print("gradients:", float(samples.grad.abs().mean()), float(frames.grad.abs().mean()))


def random_model() -> Any:
    """The library's own initialisation would take longer than all else here."""
    from transformers import PeAudioVideoConfig, PeAudioVideoModel
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model = PeAudioVideoModel(PeAudioVideoConfig()).eval()
    model.tie_weights()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and weight.shape[-1] > 1:
                weight.normal_(0, 0.02)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
    return model


def report(what: str, ours: Tensor, expected: Tensor) -> None:
    print(f"{what}: {float((ours - expected).abs().max() / expected.abs().max()):.1e}")


if __name__ == "__main__":
    main()
