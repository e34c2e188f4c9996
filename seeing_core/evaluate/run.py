"""All files measured, over several processes; a file that breaks, or even ends its process, does not stop the rest."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from ..errors import InputError
from .measure import Job, Options, Record, Tools, measure_file
from .store import Store

CRASHED = "the process that measured it ended unexpectedly (out of memory, or a crash in a decoder or feature extractor)"
_tools: Tools | None = None  # of this worker process


def measure_all(
    jobs: Sequence[Job], options: Options, store: Store, *, workers: int, callback: Callable[[Record], None]
) -> list[Record]:
    """A record for every job; what the store has is not measured again. `callback` is called as each becomes known.

    A KeyboardInterrupt leaves the store with all that was finished.
    """
    store.clean()
    records: list[Record] = []

    def keep(record: Record) -> None:
        records.append(record)
        callback(record)

    def finish(part: Sequence[Job], many: int) -> list[Job]:
        """Measures these jobs; returns those that a process which ended left open, in their order."""
        done = set()
        for job, record in _pooled(part, options, store, many):
            if record is not None:
                done.add(job)
                keep(record)
        return [job for job in part if job not in done]

    known = [(job, store.load(job, options)) for job in jobs]
    for _, record in known:
        if record is not None:
            keep(record)
    left = finish([job for job, record in known if record is None], workers)
    while left:  # a process ended: in one process, which takes them in order, the first left open is the one that ends it
        left = finish(left, 1)
        if left:
            keep(Record(left[0].group, left[0].name, error=CRASHED))
            left = left[1:]
    return sorted(records, key=lambda record: (record.group, record.name))


def _pooled(jobs: Sequence[Job], options: Options, store: Store, workers: int) -> Iterator[tuple[Job, Record | None]]:
    """Each job with its record, in the order they finish; None for those that a crashed process left open."""
    if not jobs:
        return
    pool = ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn"), _begin, (options,))
    futures = {pool.submit(_measure, job, store.folder): job for job in jobs}
    try:
        for future in as_completed(futures):
            yield futures[future], _outcome(future, futures[future])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(future: Future, job: Job) -> Record | None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return None
    if error is not None:  # not kept in the store: it may be no fault of the file
        return Record(job.group, job.name, error=f"{type(error).__name__}: {error}")
    return future.result()


def _begin(options: Options) -> None:
    """Sets up a worker: one thread each, as there are as many workers as cores; Ctrl-C ends it at once and silently."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    global _tools
    _tools = Tools.of(options)


def _measure(job: Job, folder: Path) -> Record:
    store = Store(folder)
    try:
        record, fit = measure_file(job, _tools)
    except InputError as error:
        record, fit = Record(job.group, job.name, error=str(error).replace(job.path, job.name)), None
    plot = None
    if fit is not None:
        from ..visuals.plots import fit_plot

        plot = fit_plot(fit)
    store.save(job, _tools.options, record, plot)
    return record


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
