"""Many jobs on this machine's processes or on a Ray cluster; one that breaks, or even ends its process, does not stop the rest."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from .errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")
Work = Callable[[Job], Result]
CRASHED = "the process that worked on it ended unexpectedly (out of memory, or a crash in a library)"
RETRIES_ON_RAY = 30  # of a job whose worker was lost: Ray uses up about one a second until it gives up a node, after some ten
CONNECT_S = 10
_work: Work[Any, Any] | None = None  # of this process


@dataclass(frozen=True)
class Failure:
    """Why a job gave nothing."""

    reason: str


def add_options(parser: ArgumentParser, workers: str) -> None:
    """The options of a command that runs many jobs.  workers: what is the default, in words."""
    parser.add_argument("--workers", type=int, metavar="N", help=f"processes, or actors of Ray (default: {workers})")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="run on a Ray cluster: its address, or 'local' (needs the package ray)"
    )
    parser.add_argument("--gpus-per-worker", type=float, metavar="F", help="of Ray's GPUs; a half puts two workers on one")


def runner_of(
    given: Namespace, *, workers: int, threads: int = 1, gpus: float = 0.0
) -> Callable[[Sequence[Any], Callable[[int], Work[Any, Any]]], Iterator[tuple[Any, Any]]]:
    """`run_jobs` or `run_on_ray` as the command line asks.  workers, gpus: where it does not say.

    With Ray the number of workers follows from the cluster unless the command line says it.
    """
    if not given.ray:
        return partial(run_jobs, workers=given.workers or workers, threads=threads)
    each = gpus if given.gpus_per_worker is None else given.gpus_per_worker
    return partial(run_on_ray, address=given.ray, workers=given.workers or 0, gpus=each, threads=threads)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    jobs: Sequence[Job], start: Callable[[int], Work[Job, Result]], *, workers: int, threads: int = 1
) -> Iterator[tuple[Job, Result | Failure]]:
    """Each job with what it gave, in the order they finish.

    start: called once in each process with the number of the process; what it returns is called with the jobs. It is pickled.
    threads: that PyTorch and OpenCV use in each process.
    """
    left = list(jobs)
    while left:
        finished = set()
        for number, outcome in _pooled(left, start, workers, threads):
            finished.add(number)
            yield left[number], outcome
        left = [job for number, job in enumerate(left) if number not in finished]
        if left and workers == 1:  # in one process jobs are taken in order: the first left open is the one that ended it
            yield left[0], Failure(CRASHED)
            left = left[1:]
        workers = 1


def _pooled(
    jobs: Sequence[Job], start: Callable[[int], Work[Job, Result]], workers: int, threads: int
) -> Iterator[tuple[int, Result | Failure]]:
    """The numbers of the jobs with what they gave, but for those that a process which ended left open."""
    context = get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, (start, context.Value("i", 0), threads))
    futures = {pool.submit(_do, job): number for number, job in enumerate(jobs)}
    try:
        for future in as_completed(futures):
            error = future.exception()
            if not isinstance(error, BrokenProcessPool):
                yield futures[future], future.result() if error is None else Failure(f"{type(error).__name__}: {error}")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(start: Callable[[int], Work[Any, Any]], count: Any, threads: int) -> None:
    """Sets up a process: Ctrl-C ends it at once and silently, and so does the end of the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    limit_threads(threads)
    with count.get_lock():
        number, count.value = count.value, count.value + 1
    global _work
    _work = start(number)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def limit_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _do(job: Any) -> Any:
    assert _work is not None
    return _work(job)


def run_on_ray(
    jobs: Sequence[Job], start: Callable[[int], Work[Job, Result]], *, address: str, workers: int, gpus: float, threads: int = 1
) -> Iterator[tuple[Job, Result | Failure]]:
    """The same on a Ray cluster, which places the workers, restarts them, and gives their jobs out again when a node is lost.

    address: of the cluster; "local" starts one on this machine.  workers: actors; 0 is as many as the cluster has room for.
    gpus: that each takes, fractions allowed; 0 takes `threads` processor cores instead.
    Raises InputError when Ray is not installed or cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray", "no package 'ray'", "Ray", "Run: pip install 'ray>=2.9'") from error
    try:
        place = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
        if place:  # Ray itself would wait for minutes
            socket.create_connection((place[1], int(place[2])), timeout=CONNECT_S).close()
        ray.init(address=address, log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            "--ray", f"'{address}', which cannot be reached ({error})", "'local' or a cluster's address"
        ) from error
    try:
        yield from _on_cluster(ray, jobs, start, workers, gpus, threads)
    finally:
        ray.shutdown()


def _on_cluster(
    ray: Any, jobs: Sequence[Job], start: Callable[[int], Work[Job, Result]], workers: int, gpus: float, threads: int
) -> Iterator[tuple[Job, Result | Failure]]:
    from ray.util import ActorPool

    needs = {"num_gpus": gpus} if gpus else {"num_cpus": threads}
    room = ray.cluster_resources().get("GPU" if gpus else "CPU", 0) / (gpus or threads)
    count = min(workers or int(room), len(jobs))
    if count < 1:
        raise InputError("--ray", f"a cluster with {dict(ray.cluster_resources())}", f"at least {needs} for one worker")
    actor = ray.remote(**needs, max_restarts=-1, max_task_retries=RETRIES_ON_RAY)(_RayWorker)
    pool = ActorPool([actor.remote(start, threads) for _ in range(count)])
    for number, job in enumerate(jobs):
        pool.submit(lambda worker, numbered: worker.do.remote(*numbered), (number, job))
    open_jobs = set(range(len(jobs)))
    while pool.has_next():
        try:
            number, outcome = pool.get_next_unordered()
        except ray.exceptions.RayError:  # of a job that took its worker down each time; it is told of at the end
            continue
        open_jobs.discard(number)
        yield jobs[number], outcome
    for number in sorted(open_jobs):
        yield jobs[number], Failure(CRASHED)


class _RayWorker:
    """What it was given to start, once, and then one job after the other."""

    def __init__(self, start: Callable[[int], Work[Any, Any]], threads: int) -> None:
        limit_threads(threads)
        self.work = start(0)  # Ray shows each actor its own GPUs only

    def do(self, number: int, job: Any) -> tuple[int, Any]:
        try:
            return number, self.work(job)
        except Exception as error:  # as a process of this machine would report it
            return number, Failure(f"{type(error).__name__}: {error}")
