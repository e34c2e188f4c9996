"""Run by a test in a process of its own: what the widgets of the presets do to the settings that a task is given."""

from __future__ import annotations

import asyncio
from typing import Any

from own_process import import_pack, nodes_of, report

pack = import_pack()


def presets_of(node: Any) -> dict[str, dict[str, Any]]:
    """The defaults of what each preset of a node shows, by the preset's name."""
    [preset] = [one for one in node.define_schema().inputs if one.id == "preset"]
    return {option.key: {one.id: one.default for one in option.inputs} for option in preset.options}


def changed(value: Any) -> Any:
    return "always" if isinstance(value, str) else 0.5 if value == 1 else value + 0.5


async def main() -> None:
    nodes = await nodes_of(pack)
    from pack.nodes.tasks import align_settings, presets
    from pack.seeing_core.guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, VIDEO_PRESETS

    tables = {
        "VideoToAudio": AUDIO_PRESETS,
        "ImageToAudio": AUDIO_PRESETS,
        "AudioToVideo": VIDEO_PRESETS,
        "VideoAndAudio": JOINT_PRESETS,
    }
    differs, same = [], []
    for task, table in tables.items():
        shown = presets_of(nodes[task])
        assert list(shown) == list(table)
        for name, fields in shown.items():
            settings = presets.chosen_settings(task, table, {"preset": name, **fields}, None)
            (same if settings == table[name] else differs).append(f"{task} {name}")
            for field, value in fields.items():
                other = presets.chosen_settings(task, table, {"preset": name, **fields, field: changed(value)}, None)
                (differs if other != settings else same).append(f"{task} {name} {field}")
    chosen = {
        name: nodes["AlignSettingsNode"].execute({"preset": name, **fields}).args[0]
        for name, fields in presets_of(nodes["AlignSettingsNode"]).items()
    }
    report(
        {
            "as the preset": same,
            "changed": differs,
            "Align Settings": {name: settings == align_settings.PRESETS[name] for name, settings in chosen.items()},
        }
    )


asyncio.run(main())
