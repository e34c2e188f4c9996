"""The judges of the pocket world: signal processing only, never a network that guidance could fool."""

from tests.pocket.judge_picture import (
    judge_video_kind,
    picture_event_times,
    picture_features,
)
from tests.pocket.judge_scores import event_match, typicality
from tests.pocket.judge_sound import (
    FEATURES,
    judge_sound_kind,
    sound_event_times,
    sound_features,
)
from tests.pocket.judge_traits import heard_force, heard_size, seen_force, seen_size

__all__ = [
    "FEATURES",
    "event_match",
    "heard_force",
    "heard_size",
    "judge_video_kind",
    "judge_sound_kind",
    "picture_event_times",
    "picture_features",
    "seen_force",
    "seen_size",
    "sound_event_times",
    "sound_features",
    "typicality",
]
