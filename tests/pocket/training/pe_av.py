"""Trains PE-AV's three encoders on the pocket world: what is seen, heard and said is of one kind, and at one time.

Of the traits it is taught nothing: its video encoder, at this size, did not learn to tell how large a thing is.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PeAudioVideoModel

from seeing_core.binders.base import embed_waveform
from seeing_core.binders.imagebind_inputs import RATE_HZ
from seeing_core.binders.pe_av import MOMENTS_HZ, FramesInPieces, OpenCodec, PeAv
from seeing_core.guidance.sync import unit_over_time
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.weights.pe_av import VOCABULARY, load_pe_av
from tests.pe_av_folders import save_folder, small_config, small_tokenizer
from tests.pocket.training.binder import harden_in_latents, hardened, vocabulary
from tests.pocket.training.clap import all_captions
from tests.pocket.training.common import Card, Folders, Run, init_narrow, trainable
from tests.pocket.training.contrast import agreement_loss, word_meanings
from tests.pocket.training.pool import DURATION_S, Pool, caption_batch, gains, make_pool, spoilt_frames, spoilt_sounds
from tests.pocket.training.scoring_binder import binder_scores
from tests.pocket.world import FPS, TEST_SEEDS, make_clip
from tests.pocket.world_kinds import KINDS

STEPS = 900
MORE_STEPS = 600  # from a high rate again: when something is seen to happen is learned last
HARD_STEPS = 120
LATENT_STEPS = 150
SEEN_STEPS, WHEN_WEIGHT = 500, 5.0
BATCH = 24
WHOLE = [(0.0, DURATION_S)]
WHOLE_FRAMES, FRAME_SAMPLES = round(DURATION_S * FPS), round(RATE_HZ / FPS)
SIDE = 64  # the world's own
RATIOS = [8, 8, 5, 2]  # of 16 kHz, the world's own rate: 25 moments a second
SAMPLE_REACH = 0.01  # of full scale
PIXEL_REACH = 0.05  # of normalised pixels: 6 of 255
FADE_S = 0.12  # after which what has happened is gone to a third


class Student(nn.Module):
    """The model while it learns: the same parts as `PeAv` has, with gradients, and its tokenizer."""

    def __init__(self) -> None:
        super().__init__()
        texts = all_captions()[0]
        self.tokenizer = small_tokenizer(texts, 520)
        config = small_config(len(self.tokenizer), width=64, codec_width=4, ratios=RATIOS, side=SIDE, patch=8, joint_width=16)
        self.model = PeAudioVideoModel(config)
        init_narrow(self.model)

    def seen(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised frames (B, T, 3, 64, 64) -> unit embeddings (B, D), moments (B, T, D)."""
        video = self.model.video_model
        return embedded(video.video_encoder, video.video_head, frames)

    def heard(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (B, n) -> unit embeddings (B, D), moments (B, T, D)."""
        audio = self.model.audio_model
        return embedded(audio.audio_encoder, audio.audio_head, samples[:, None])

    def read(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Unit embeddings (B, D) beside pictures and beside sounds."""
        tokens = self.tokenizer(texts, padding=True, return_tensors="pt")
        state = self.model.text_model(**tokens, output_hidden_states=True).hidden_states[-1][:, 0]
        heads = self.model.video_model.text_video_head, self.model.audio_model.text_audio_head
        beside_vision, beside_audio = (nn.functional.normalize(head(state), dim=-1) for head in heads)
        return beside_vision, beside_audio


def embedded(encoder: nn.Module, head: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Unit embeddings (B, D) and moments (B, T, D)."""
    states = encoder(inputs, None)
    return nn.functional.normalize(head(states.pooler_output), dim=-1), head(states.last_hidden_state)


def frame_batch(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised frames (B, 16, 3, 64, 64) and meanings (B, M)."""
    frames, means = spoilt_frames(pool.videos[rows].float() / 255, pool.meanings[rows])
    return normalised(frames), means


def normalised(frames: Tensor) -> Tensor:
    """0..1 -> -1..1, as its processor says."""
    return (frames - 0.5) / 0.5


def kind_points(dimensions: int) -> tuple[Tensor, Tensor]:
    """Fixed places of the kinds among embeddings (K, D), and what they mean (K, M)."""
    return torch.eye(dimensions)[: len(KINDS)], word_meanings(torch.eye(len(KINDS)))


def events(pool: Pool, rows: Tensor, times_s: Tensor) -> Tensor:
    """How much of what last happened in these clips is still under way at times (T,): (B, T), 1 and falling from each start on."""
    since = [times_s[:, None] - torch.tensor(pool.starts_s[row]) for row in rows.tolist()]
    return torch.stack([torch.where(one < 0, 0.0, (-one / FADE_S).exp()).amax(1) for one in since])


def when_loss(moments: Tensor, happening: Tensor) -> Tensor:
    """Moments (B, T, D), events (B, T) -> what the moments say of time should be the events, along the last of their axes.

    One fixed axis for what is seen and heard, as the kinds have fixed points: told apart by pairs alone, moments agree on places
    in the clip or in what is of one kind before they find events.
    """
    wanted = torch.zeros_like(moments)
    wanted[..., -1] = happening
    some = (happening.amax(1) - happening.amin(1) > 0.1).float()  # a piece in which nothing happens says nothing
    fits = (unit_over_time(moments) * unit_over_time(wanted)).sum((1, 2))
    return ((1 - fits) * some).sum() / some.sum().clamp_min(1)


def run_phase(
    name: str,
    student: Student,
    pool: Pool,
    folders: Folders,
    *,
    steps: int,
    rate: float,
    seed: int,
    harden: bool,
) -> Card:
    """One run of all three encoders, on hardened frames and sounds if asked."""
    optimiser = torch.optim.AdamW(trainable(student), rate, betas=(0.9, 0.98), weight_decay=1e-3)
    # Videos of the first third are mixed in pairs, as are the first quarter's sounds, and the third quarter's are replaced.
    paired = torch.arange(BATCH)
    paired = paired[(paired >= BATCH // 3) & ((paired < BATCH // 2) | (paired >= BATCH * 3 // 4))]

    def step_losses(step: int) -> dict[str, float]:
        rows = torch.randint(len(pool.samples), (2, BATCH))
        (frames, seen), (samples, heard) = frame_batch(pool, rows[0]), spoilt_sounds(pool, rows[0])
        span = WHOLE_FRAMES if step % 4 == 0 else WHOLE_FRAMES // 2  # half of a clip takes half of the time
        first = int(torch.randint(WHOLE_FRAMES - span + 1, ()))
        frames = frames[:, first : first + span]
        samples = samples[:, first * FRAME_SAMPLES : (first + span) * FRAME_SAMPLES] * gains(BATCH)
        texts, said = caption_batch(pool, rows[1])
        if harden:
            with torch.no_grad():
                beside_vision, beside_audio = student.read(texts)
            frames = hardened(lambda x: student.seen(x)[0], frames, seen, beside_vision, said, PIXEL_REACH)
            samples = hardened(lambda x: student.heard(x)[0], samples, heard, beside_audio, said, SAMPLE_REACH)
        vision, seen_moments = student.seen(frames)
        audio, heard_moments = student.heard(samples)
        beside_vision, beside_audio = student.read(texts)
        frame_times_s = (first + torch.arange(span)) / FPS
        moment_times_s = first / FPS + (torch.arange(heard_moments.shape[1]) + 0.5) / MOMENTS_HZ
        losses = {
            "picture_sound": agreement_loss(vision, audio, seen, heard),
            "picture_text": agreement_loss(vision, beside_vision, seen, said),
            "sound_text": agreement_loss(audio, beside_audio, heard, said),
            "seen_when": when_loss(seen_moments[paired], events(pool, rows[0, paired], frame_times_s)),
            "heard_when": when_loss(heard_moments[paired], events(pool, rows[0, paired], moment_times_s)),
        }
        # Each by itself towards fixed points, one a kind: from nothing, the three would agree on one point for everything.
        points, ours = kind_points(vision.shape[1])
        placed = ((vision, seen), (audio, heard), (beside_vision, said), (beside_audio, said))
        losses["kind"] = sum(agreement_loss(one, points, means, ours) for one, means in placed)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(trainable(student), 1.0)
        optimiser.step()
        return {key: value.item() for key, value in losses.items()}

    return Run(name, {"student": student}, [optimiser], steps, seed=seed, ema_decay=0.995).go(step_losses, folders)


def watch_closely(name: str, student: Student, pool: Pool, folders: Folders, *, steps: int, rate: float, seed: int) -> Card:
    """A run of the video encoder alone, most of it for when something is seen to happen: a small move is learned last."""
    video = student.model.video_model
    parameters = [*video.video_encoder.parameters(), *video.video_head.parameters()]
    optimiser = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.98), weight_decay=1e-3)

    def step_losses(step: int) -> dict[str, float]:
        rows = torch.randint(len(pool.samples), (BATCH,))
        few = rows[: BATCH // 3]  # enough for what is seen to stay what it is
        mixed, seen = frame_batch(pool, few)
        clean = normalised(pool.videos[rows].float() / 255)
        with torch.no_grad():
            texts, said = caption_batch(pool, rows)
            (audio, _), (beside_vision, _) = student.heard(pool.samples[few]), student.read(texts)
        vision, moments = student.seen(torch.cat([clean, mixed]))
        of_mixed, (points, ours) = vision[BATCH:], kind_points(vision.shape[1])
        losses = {
            "seen_when": when_loss(moments[:BATCH], events(pool, rows, torch.arange(WHOLE_FRAMES) / FPS)) * WHEN_WEIGHT,
            "picture_sound": agreement_loss(of_mixed, audio, seen, pool.meanings[few]),
            "picture_text": agreement_loss(of_mixed, beside_vision, seen, said),
            "kind": agreement_loss(of_mixed, points, seen, ours),
        }
        optimiser.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        return {key: value.item() for key, value in losses.items()}

    return Run(name, {"student": student}, [optimiser], steps, seed=seed, ema_decay=0.995).go(step_losses, folders)


def train_pe_av(folders: Folders) -> Card:
    """Train and save the second binder."""
    torch.manual_seed(14)
    student, pool = Student(), make_pool(folders)
    # With gradients through the codec, which the library's own first part of the encoder does not give.
    video, audio = student.model.video_model.video_encoder, student.model.audio_model.audio_encoder
    own = video.embedder, audio.embedder
    video.embedder, audio.embedder = FramesInPieces(own[0]), OpenCodec(own[1])

    def losses_for(rows: Tensor, start: int, heard: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        (frames, seen), (texts, said) = frame_batch(pool, rows[1]), caption_batch(pool, rows[2])
        anchors, meanings = torch.cat([student.seen(frames)[0], student.read(texts)[1]]), torch.cat([seen, said])
        plain = (heard[:, : len(KINDS)].amax(1) == 1).nonzero()[:, 0]  # not mixed with another sound
        times_s = (start + torch.arange(MOMENTS_HZ) + 0.5) / MOMENTS_HZ  # of latents there are as many a second
        happening = events(pool, rows[0, plain], times_s)

        def losses(samples: Tensor) -> tuple[Tensor, Tensor]:
            embeddings, moments = student.heard(samples)
            told = agreement_loss(embeddings, anchors, heard, meanings) + when_loss(moments[plain], happening)
            return told, torch.zeros(())

        return losses

    runs = [
        run_phase("pe_av", student, pool, folders, steps=STEPS, rate=8e-4, seed=14, harden=False),
        run_phase("pe_av_more", student, pool, folders, steps=MORE_STEPS, rate=8e-4, seed=44, harden=False),
        run_phase("pe_av_hard", student, pool, folders, steps=HARD_STEPS, rate=8e-4, seed=24, harden=True),
        harden_in_latents(
            "pe_av_latent",
            {"student": student},
            [*audio.parameters(), *student.model.audio_model.audio_head.parameters()],
            losses_for,
            pool,
            folders,
            steps=LATENT_STEPS,
            rate=5e-4,
            seed=34,
        ),
        watch_closely("pe_av_seen", student, pool, folders, steps=SEEN_STEPS, rate=1e-3, seed=54),
    ]
    losses = {key: value for run in runs for key, value in run.losses.items()}
    card = Card("pe_av", STEPS + MORE_STEPS + HARD_STEPS + LATENT_STEPS + SEEN_STEPS, sum(run.seconds for run in runs), losses)
    video.embedder, audio.embedder = own
    folder = save_folder(folders.out / "pe_av", student.model.half(), student.tokenizer, side=SIDE, rate_hz=RATE_HZ)
    (folder / VOCABULARY).write_text(vocabulary(), encoding="utf-8")
    card.scores = scores(load_pe_av(folder), 128)
    return card


def scores(binder: PeAv, count: int) -> dict[str, float]:
    """As the first binder's, and the share of clips to which, of all sounds, their own fits best in time."""
    found = binder_scores(binder, count)
    clips = [make_clip(TEST_SEEDS + i) for i in range(count)]
    seen = torch.cat([binder.embed_video(VideoFrames(clip.frames, FPS), WHOLE).over_time for clip in clips])
    sounds = [Waveform(clip.samples[None], clip.rate_hz) for clip in clips]
    heard = torch.cat([embed_waveform(binder, sound, WHOLE).over_time for sound in sounds])
    fits = unit_over_time(seen).flatten(1) @ unit_over_time(heard).flatten(1).T  # (videos, sounds)
    return found | {"own_time_first": (fits.argmax(1) == torch.arange(count)).float().mean().item()}
