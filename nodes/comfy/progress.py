"""Progress, cancel, and the little picture of what forms."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management as management
from comfy.cli_args import LatentPreviewMethod, args
from comfy.utils import ProgressBar

from ...seeing_core.guidance.loop import Preview, Progress
from ...seeing_core.visuals.preview import WIDTH, preview


class TaskProgress:
    """A callback for the core: moves the node's bar, stops on cancel.

    Sends a picture of what forms, unless the user has switched previews off in ComfyUI.
    node_id: of the node that shows it; None is the one that runs.
    """

    def __init__(self, steps: int, node_id: str | None = None) -> None:
        self.bar = ProgressBar(steps, node_id)
        self.losses: list[tuple[int, float]] = []

    def __call__(self, progress: Progress) -> None:
        management.throw_exception_if_processing_interrupted()
        if progress.evaluation is None:
            self.bar.update_absolute(progress.step + 1, progress.steps)
        elif progress.inner == 0 and args.preview_method != LatentPreviewMethod.NoPreviews:
            if self.losses and progress.step <= self.losses[-1][0]:
                self.losses.clear()  # a second attempt, after memory ran out
            self.losses.append((progress.step, progress.evaluation.mean_loss))
            picture = preview(progress.evaluation.previews, self.losses, progress.steps)
            self.bar.update_absolute(progress.step, progress.steps, ("JPEG", picture, WIDTH))


class StageProgress:
    """Moves the node's bar through what comes before or after the steps; stops on cancel. Drafts are shown as they form.

    videos: whose motion is measured one after another.
    """

    def __init__(self, videos: int = 1) -> None:
        self.bar, self.videos, self.finished = ProgressBar(1000), videos, 0

    def __call__(self, done: int, total: int, formed: Sequence[Preview] = ()) -> None:
        management.throw_exception_if_processing_interrupted()
        shown = formed and args.preview_method != LatentPreviewMethod.NoPreviews
        picture = ("JPEG", preview(formed, [], 1), WIDTH) if shown else None
        self.bar.update_absolute(round(1000 * (self.finished + done / total) / self.videos), 1000, picture)
        self.finished = (self.finished + (done == total)) % self.videos  # measured again in a second attempt
