"""Progress, cancel, and the little picture of what forms."""

from __future__ import annotations

import comfy.model_management as management
from comfy.utils import ProgressBar

from ...seeing_core.guidance.loop import Progress
from ...seeing_core.visuals.preview import WIDTH, preview


class TaskProgress:
    """A listener for the core: moves the node's bar, sends a picture of what forms, stops on cancel."""

    def __init__(self, steps: int) -> None:
        self.bar = ProgressBar(steps)
        self.losses: list[tuple[int, float]] = []

    def __call__(self, progress: Progress) -> None:
        management.throw_exception_if_processing_interrupted()
        if progress.evaluation is None:
            self.bar.update_absolute(progress.step + 1, progress.steps)
        elif progress.inner == 0:
            self.losses.append((progress.step, float(progress.evaluation.loss.mean())))
            picture = preview(progress.evaluation.previews, self.losses, progress.steps)
            self.bar.update_absolute(progress.step, progress.steps, ("JPEG", picture, WIDTH))
