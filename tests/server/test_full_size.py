"""The proof at full size, which is too large for every run: its workflows and its measuring, on stand-ins."""

from __future__ import annotations

import pytest

from scripts.demo import TASKS
from tests.benchmarks.full_size import GB, task_inputs, timed, workflow, write_media


@pytest.mark.parametrize("task", TASKS)
def test_each_task_runs_and_is_measured(server, task):
    write_media(server.base / "input")
    seconds, gigabytes = timed(server, workflow(task, 64, seed=1))
    assert 0 < seconds < 300
    assert 0.1 < gigabytes < 24 * 2**30 / GB


def test_a_workflow_that_fails_is_no_proof(server):
    write_media(server.base / "input")
    api = workflow("joint", 64, seed=1)
    task_inputs(api)["width"] = 1
    with pytest.raises(RuntimeError, match="width: received 1"):
        timed(server, api)
