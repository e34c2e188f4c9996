"""The proof at full size, which is too large for every run: its workflows and its measuring, on stand-ins."""

from __future__ import annotations

import pytest

from tests.benchmarks.full_size import GB, WORKFLOWS, timed, workflow, write_media


@pytest.mark.parametrize("task", WORKFLOWS)
def test_each_task_runs_and_is_measured(server, task):
    write_media(server.base / "input")
    seconds, gigabytes = timed(server, workflow(task, 64, seed=1))
    assert 0 < seconds < 300
    assert 0.1 < gigabytes < 24 * 2**30 / GB


def test_a_workflow_that_fails_is_no_proof(server):
    write_media(server.base / "input")
    api = workflow("joint", 64, seed=1)
    [task] = [node for node in api.values() if node["class_type"] == WORKFLOWS["joint"][1]]
    task["inputs"]["width"] = 1
    with pytest.raises(RuntimeError, match="width: received 1"):
        timed(server, api)
