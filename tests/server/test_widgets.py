"""Every widget of a preset acts, and every preset can be had from Align Settings."""

from __future__ import annotations

from scripts.comfy_server import COMFYUI, ROOT
from seeing_core.guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, VIDEO_PRESETS
from tests.server.own_process import run_script

PRESETS = {"audio": AUDIO_PRESETS, "video": VIDEO_PRESETS, "video and audio": JOINT_PRESETS}
TASKS = {
    "VideoToAudio": AUDIO_PRESETS,
    "ImageToAudio": AUDIO_PRESETS,
    "AudioToVideo": VIDEO_PRESETS,
    "VideoAndAudio": JOINT_PRESETS,
}


def test_each_visible_widget_of_each_preset_acts_and_align_settings_has_them_all(tmp_path):
    report = run_script("widgets.py", COMFYUI, ROOT, tmp_path, timeout=120)
    assert report["as the preset"] == [f"{task} {name}" for task, presets in TASKS.items() for name in presets]
    widgets = [
        f"{task} {name} {field}"
        for task, presets in TASKS.items()
        for name, settings in presets.items()
        for field, acts in (("strength", settings.enabled), ("complete_prompt", settings.complete_prompt != "never"))
        if acts
    ]
    assert report["changed"] == widgets
    assert report["Align Settings"] == {f"{medium}: {name}": True for medium, presets in PRESETS.items() for name in presets}
