"""All files measured, over several processes or a Ray cluster; what is kept from an interrupted run is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..errors import InputError
from ..parallel import Failure, Work
from .measure import Job, Options, Record, Tools, measure_file
from .store import Store

Runner = Callable[[Sequence[Job], Callable[[int], Work[Job, Record]]], Iterator[tuple[Job, Record | Failure]]]


def measure_all(
    jobs: Sequence[Job], options: Options, store: Store, *, runner: Runner, callback: Callable[[Record], None]
) -> list[Record]:
    """A record for every job; what the store has is not measured again. `callback` is called as each becomes known.

    runner: `parallel.run_jobs` or `run_on_ray` with all but its first two arguments.
    A KeyboardInterrupt leaves the store with all that was finished.
    """
    store.clean()
    records: list[Record] = []

    def keep(record: Record) -> None:
        records.append(record)
        callback(record)

    known = [(job, store.load(job, options)) for job in jobs]
    for _, record in known:
        if record is not None:
            keep(record)
    left = [job for job, record in known if record is None]
    for job, outcome in runner(left, partial(Measurer, options, store)) if left else ():
        # A failure is not kept in the store: it may be no fault of the file.
        keep(Record(job.group, job.name, error=outcome.reason) if isinstance(outcome, Failure) else outcome)
    return sorted(records, key=lambda record: (record.group, record.name))


class Measurer:
    """Measures files in one process, with tools that are loaded once."""

    def __init__(self, options: Options, store: Store, number: int) -> None:
        self.tools, self.store = Tools.of(options), store

    def __call__(self, job: Job) -> Record:
        try:
            record, fit = measure_file(job, self.tools)
        except InputError as error:
            record, fit = Record(job.group, job.name, error=str(error).replace(job.path, job.name)), None
        plot = None
        if fit is not None:
            from ..visuals.plots import fit_plot

            plot = fit_plot(fit)
        self.store.save(job, self.tools.options, record, plot)
        return record
