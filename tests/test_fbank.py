"""The batched filter bank is Kaldi's, and gradients pass through it."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from seeing_core.binders.fbank import fbank
from tests.plain import kaldi_fbank


@given(
    length=st.integers(400, 33000),
    seed=st.integers(0, 2**31),
    loudness=st.sampled_from([1.0, 0.1, 1e-3]),
    tone_hz=st.sampled_from([0.0, 50.0, 440.0, 7000.0]),
)
def test_equals_kaldi(length: int, seed: int, loudness: float, tone_hz: float) -> None:
    noise = torch.randn(2, length, generator=torch.Generator().manual_seed(seed))
    samples = loudness * (0.1 * noise + torch.sin(torch.arange(length) * tone_hz * 2 * torch.pi / 16000))
    ours = fbank(samples)
    assert ours.shape == (2, 1 + (length - 400) // 160, 128)
    torch.testing.assert_close(ours, torch.stack([kaldi_fbank(row) for row in samples]), atol=1e-4, rtol=0)


def test_silence_and_constants_equal_kaldi() -> None:
    for samples in (torch.zeros(2000), torch.full((2000,), 0.5)):
        torch.testing.assert_close(fbank(samples), kaldi_fbank(samples), atol=1e-4, rtol=0)


def test_gradient_is_right() -> None:
    samples = torch.randn(2, 560, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: fbank(s, bins=16), (samples,))


def test_gradient_is_finite_in_silence() -> None:
    samples = torch.cat([torch.zeros(1600), torch.randn(1600)]).requires_grad_()
    fbank(samples).sum().backward()
    assert torch.isfinite(samples.grad).all()
    assert samples.grad[1600:].abs().sum() > 0


def test_shorter_than_a_frame_has_no_frames() -> None:
    assert fbank(torch.zeros(3, 399)).shape == (3, 0, 128)
