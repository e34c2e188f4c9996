"""What the binder is given and what the aligner does, written out plainly from the design notes, one clip at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from pytorchvideo.data.clip_sampling import ConstantClipsPerVideoSampler
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate, normalize, pad
from torchaudio.compliance.kaldi import fbank
from torchvision.transforms import Normalize, Resize

from seeing_core.binders.imagebind import ImageBind
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.media.types import VideoFrames

Segment = tuple[Fraction, Fraction]


def clip_times(duration_s: float) -> list[Segment]:
    sampler = ConstantClipsPerVideoSampler(clip_duration=1, clips_per_video=math.ceil(round(duration_s, 6)))
    times, last = [], False
    while not last:
        start, stop, _, _, last = sampler(0.0, duration_s, annotation=None)
        times.append((start, stop))
    return times


def vision_input(video: VideoFrames, duration_s: float) -> Tensor:
    """(S, 3, 2, 224, 224)."""
    clips = []
    for start, stop in clip_times(duration_s):
        first, end = (math.ceil(round(video.fps * float(time), 6)) for time in (start, stop))
        shown = video.pixels[first:end]
        if len(shown) == 0:  # slower than the clips: what is then on screen
            shown = video.pixels[[min(first, len(video.pixels)) - 1]]
        two = shown[torch.linspace(0, len(shown) - 1, 2).long()]
        height, width = two.shape[-2:]
        size = (math.floor(height / width * 224), 224) if width < height else (224, math.floor(width / height * 224))
        square = Resize((224, 224))(interpolate(two, size=size, mode="bilinear"))
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
        clips.append(Normalize(mean, std)(square).transpose(0, 1))
    return torch.stack(clips)


def kaldi_fbank(samples: Tensor) -> Tensor:
    """(n,) -> (frames, 128)."""
    return fbank(
        samples[None],
        htk_compat=True,
        sample_frequency=16000,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_length=25,
        frame_shift=10,
    )


def audio_input(samples: Tensor) -> Tensor:
    """(n,) at 16 kHz -> (S, 1, 128, 204)."""
    clips = []
    for start, stop in clip_times(len(samples) / 16000):
        clip = samples[int(start * 16000) : int(stop * 16000)]
        mel = kaldi_fbank(clip - clip.mean()).T
        clips.append((pad(mel, (0, 204 - mel.shape[1])) + 4.268) / 9.138)
    return torch.stack(clips)[:, None]


@torch.no_grad()
def target_embeddings(binder: ImageBind, video: VideoFrames, prompt: str, duration_s: float) -> tuple[Tensor, Tensor]:
    """(1, D) of the video, the mean of its clips, and (1, D) of the prompt."""
    seen = vision_input(video, duration_s)[None].to(binder.precision)
    return binder.towers({"vision": seen})["vision"], binder.towers({"text": binder._tokenizer(prompt)[None]})["text"]


def binder_loss(model: AudioLDM, binder: ImageBind, video: VideoFrames, prompt: str, length: int) -> Callable[[Tensor], Tensor]:
    """x0 (1, C, L, F) -> F(e_a, e_v) + F(e_a, e_p)."""
    with torch.no_grad():
        seen = binder.towers({"vision": vision_input(video, length / 16000)[None].to(next(binder.parameters()).dtype)})[
            "vision"
        ]
        read = binder.towers({"text": binder._tokenizer(prompt)[None]})["text"]

    def loss(x0: Tensor) -> Tensor:
        mel = model.vae.decode(x0 / model.vae.config.scaling_factor).sample
        heard = binder.towers({"audio": audio_input(model.vocoder(mel.squeeze(1))[0, :length])[None]})["audio"]
        return (1 - cosine_similarity(heard, seen)) + (1 - cosine_similarity(heard, read))

    return loss


def clap(model: AudioLDM, text: str) -> Tensor:
    tokens = model.tokenizer(text, padding="max_length", max_length=512, truncation=True, return_tensors="pt")
    return normalize(model.text_encoder(**tokens).text_embeds)


def ddim(model: AudioLDM, steps: int) -> Any:
    """diffusers' own scheduler, which the loop does not use."""
    scheduler = copy.deepcopy(model.scheduler)
    scheduler.set_timesteps(steps)
    return scheduler


def rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def guided_latent(
    model: AudioLDM,
    loss: Callable[[Tensor], Tensor],
    z: Tensor,
    scheduler: Any,
    *,
    prompt: str,
    mode: str,
    rate: float,
    prompt_rate: float = 0.0,
) -> Tensor:
    """The final latent of noise z: classifier-free guidance 2.5, one gradient step after each step i > int(steps * 0.2)."""
    negative, y = clap(model, "").detach(), clap(model, prompt).detach()
    steps = len(scheduler.timesteps)
    for i, t in enumerate(scheduler.timesteps):
        z, y = z.detach().requires_grad_(), y.detach().requires_grad_()
        labels = torch.cat([negative, y])
        pair = model.unet(torch.cat([z, z]), t, encoder_hidden_states=None, class_labels=labels).sample
        eps = pair[:1] + 2.5 * (pair[1:] - pair[:1])
        level = scheduler.alphas_cumprod[t]
        clean = (z - (1 - level).sqrt() * eps) / level.sqrt()
        stepped = scheduler.step(eps.detach(), t, z.detach(), eta=0.0).prev_sample
        if i <= int(steps * 0.2):
            z = stepped
        elif mode == "unet":
            loss(clean).backward()
            z = stepped - rate * z.grad / rms(z.grad)
            moved = y - prompt_rate * rms(y) * y.grad / rms(y.grad)
            y = moved * rms(y) / rms(moved)
        elif mode == "x0":
            clean = clean.detach().requires_grad_()
            loss(clean).backward()
            better = clean - rate * clean.grad / rms(clean.grad)
            later = scheduler.timesteps[i + 1 :]
            next_level = scheduler.alphas_cumprod[later[0]] if len(later) else scheduler.final_alpha_cumprod
            z = stepped + next_level.sqrt() * (better - clean)  # noised again with the same eps
        else:
            z = stepped.requires_grad_()
            optimizer = torch.optim.Adam([z], lr=rate)
            loss((z - (1 - level).sqrt() * eps.detach()) / level.sqrt()).backward()
            if mode == "paper":
                optimizer.step()
            else:
                z = z - rate * z.grad
    return z.detach()
