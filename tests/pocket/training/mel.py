"""Log-mel spectrograms as AudioLDM defines them."""

import torch
import torchaudio
from torch import Tensor, nn

RATE_HZ = 16000
HOP = 160
MEL_BINS = 64
LOG_FLOOR = 1e-5


class LogMel(nn.Module):
    """16 kHz samples to log-mel: 64 slaney bins 0-8 kHz on the magnitude, window 1024, hop 160."""

    def __init__(self) -> None:
        super().__init__()
        filters = torchaudio.functional.melscale_fbanks(513, 0.0, 8000.0, MEL_BINS, RATE_HZ, norm="slaney", mel_scale="slaney")
        self.register_buffer("filters", filters, persistent=False)  # (513, 64)
        self.register_buffer("window", torch.hann_window(1024), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (B, n) to log-mel (B, n // 160, 64): frame i is centred on sample 160 (i + 1/2)."""
        padded = nn.functional.pad(samples, (512 - HOP // 2, 512 - HOP // 2))
        frames = padded.unfold(-1, 1024, HOP) * self.window  # (B, T, 1024)
        magnitude = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1).add(1e-12).sqrt()
        return (magnitude @ self.filters).clamp_min(LOG_FLOOR).log()
