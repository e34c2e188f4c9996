"""The loop every pocket training runs in: seeded by step, resumable, printed, timed."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

CHECKPOINT_EVERY_S = 60.0


@dataclass(frozen=True)
class Folders:
    """Where the finished models go and where a training keeps its checkpoints."""

    out: Path
    work: Path


@dataclass
class Card:
    """What one stage reports: sizes, losses, seconds and judge scores."""

    stage: str
    steps: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    def save(self, folders: Folders) -> None:
        """Keep the card; a stage whose card exists is finished."""
        path = card_path(folders, self.stage)
        path.write_text(json.dumps(self.__dict__, indent=1))


def card_path(folders: Folders, stage: str) -> Path:
    """The card of a finished stage."""
    return folders.work / f"{stage}.card.json"


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def fast_precision(precision: str = "auto") -> AbstractContextManager:
    """bfloat16 autocast where it pays, else nothing. `precision` is "auto", "bf16" or "fp32"."""
    if precision == "bf16" or (precision == "auto" and bfloat16_is_fast()):
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


@dataclass
class Run:
    """One seeded, resumable optimisation.

    `modules` are trained by `optimisers`; the learning rate warms up over `warmup` steps and falls to
    zero along a cosine. Step k draws from the seed (seed, k) only, so a resumed run equals an unbroken one
    but for the optimiser's rounding.
    """

    name: str
    modules: dict[str, nn.Module]
    optimisers: list[torch.optim.Optimizer]
    steps: int
    seed: int
    warmup: int = 100
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        self.base_rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in self.optimisers]
        self.ema: dict[str, Tensor] = {}
        self.losses: dict[str, float] = {}
        self.seconds = 0.0

    def _set_rate(self, step: int) -> None:
        warm = min(1.0, (step + 1) / self.warmup)
        fall = 0.5 + 0.5 * torch.cos(torch.tensor(torch.pi * step / self.steps)).item()
        for optimiser, rates in zip(self.optimisers, self.base_rates):
            for group, rate in zip(optimiser.param_groups, rates):
                group["lr"] = rate * warm * fall

    def _update_ema(self, step: int) -> None:
        decay = min(self.ema_decay, (1 + step) / (10 + step))
        for key, module in self.modules.items():
            for name, value in module.named_parameters():
                kept = self.ema.setdefault(f"{key}.{name}", value.detach().clone())
                kept.lerp_(value.detach(), 1 - decay)

    def _save(self, path: Path, step: int) -> None:
        state = {
            "step": step,
            "losses": self.losses,
            "seconds": self.seconds,
            "ema": self.ema,
            "modules": {key: module.state_dict() for key, module in self.modules.items()},
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def _load(self, path: Path) -> int:
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True)
        for key, module in self.modules.items():
            module.load_state_dict(state["modules"][key])
        for optimiser, saved in zip(self.optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        self.losses, self.seconds, self.ema = state["losses"], state["seconds"], state["ema"]
        return state["step"]

    def go(self, step_losses: Callable[[int], dict[str, float]], folders: Folders) -> Card:
        """Run `step_losses(step)` (which back-propagates and steps the optimisers) to the end."""
        path = folders.work / f"{self.name}.ckpt"
        first = self._load(path)
        started = saved = time.monotonic()
        before = self.seconds
        for step in range(first, self.steps):
            torch.manual_seed(self.seed * 1_000_003 + step)
            self._set_rate(step)
            for key, value in step_losses(step).items():
                self.losses[key] = value if key not in self.losses else 0.98 * self.losses[key] + 0.02 * value
            if self.ema_decay:
                self._update_ema(step)
            now = time.monotonic()
            self.seconds = before + now - started
            if step % 50 == 0:
                print(
                    f"{self.name} {step}/{self.steps} {self.seconds:.0f}s",
                    " ".join(f"{key}={value:.4f}" for key, value in self.losses.items()),
                    flush=True,
                )
            if now - saved > CHECKPOINT_EVERY_S:
                self._save(path, step + 1)
                saved = now
        self._save(path, self.steps)
        if self.ema_decay:
            self._use_ema()
        return Card(self.name, self.steps, round(self.seconds, 1), {key: round(value, 5) for key, value in self.losses.items()})

    def _use_ema(self) -> None:
        for key, module in self.modules.items():
            prefix = f"{key}."
            averaged = {name[len(prefix) :]: value for name, value in self.ema.items() if name.startswith(prefix)}
            module.load_state_dict(averaged, strict=False)


def save_half(module: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Save a whole state dict as fp16 safetensors (integers as they are)."""
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous() for name, value in module.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata=metadata)


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def count_parameters(module: nn.Module) -> int:
    """How many numbers a module holds."""
    return sum(parameter.numel() for parameter in module.parameters())


def init_narrow(module: nn.Module) -> None:
    """Begin with weights by the width of each layer: those of the libraries, made for wide ones, let nothing through narrow ones."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="linear")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
