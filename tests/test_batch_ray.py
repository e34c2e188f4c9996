"""The batch command on a Ray cluster of two nodes, of which one is lost in the middle; the evaluation likewise."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_batch import QUICK, ROOT, arguments, contents, video

GOOD = 20


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "clips"
    for number in range(GOOD):
        video(folder / f"clip {number:02}.mp4", jumps=[number % 4 + 1])
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture
def cluster() -> Iterator[object]:
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    yield cluster
    cluster.shutdown()


def command(module: str, *words: object) -> list[str]:
    return [sys.executable, "-m", f"seeing_core.{module}", *map(str, words)]


def test_a_lost_node_loses_nothing_and_makes_nothing_twice(clips: Path, cluster: object) -> None:
    here, there = clips.parent / "here", clips.parent / "there"
    local = subprocess.run(
        command("batch", *arguments("v2a", clips, here, *QUICK, "--workers", 2)), cwd=ROOT, capture_output=True, text=True
    )
    assert local.returncode == 1, local.stderr
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    words = command("batch", *arguments("v2a", clips, there, *QUICK, "--workers", 2, "--ray", cluster.address))
    running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    first_s: dict[Path, int] = {}
    lost = False
    limit = time.monotonic() + 300
    while running.poll() is None and time.monotonic() < limit:
        for report in there.rglob("*.mp4.json"):
            first_s.setdefault(report, report.stat().st_mtime_ns)
        if not lost and len(first_s) >= 6:
            lost = True
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        time.sleep(0.02)
    _, said = running.communicate()
    assert lost and running.returncode == 1, said
    assert contents(there) == contents(here)
    assert len(list(there.rglob("*.mp4"))) == GOOD
    assert {path: path.stat().st_mtime_ns for path in first_s} == first_s
    with (there / "failures.csv").open(newline="", encoding="utf-8") as file:
        assert [row["input"] for row in csv.DictReader(file)] == ["broken.mp4"]


def test_the_evaluation_on_a_cluster(clips: Path, cluster: object) -> None:
    here, there = clips.parent / "here.json", clips.parent / "there.json"
    common = ["--generated", clips, "--flow-side", 64, "--workers", 1]
    for more in (["--out", here], ["--out", there, "--ray", cluster.address]):
        done = subprocess.run(command("evaluate", *common, *more), cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in (here, there)]
    for report in reports:
        for file in report["files"]:
            file.pop("seconds")
    assert reports[0] == reports[1] and len(reports[0]["files"]) == GOOD + 1


def test_a_cluster_that_is_not_there(clips: Path, tmp_path: Path) -> None:
    words = command("batch", *arguments("v2a", clips, tmp_path / "out", "--ray", "127.0.0.1:1"))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "--ray: received '127.0.0.1:1', which cannot be reached" in done.stderr
