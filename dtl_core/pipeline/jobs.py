"""Jobs of a run: one worker process does one at a time, finding or computing its results in the store."""

from __future__ import annotations

import contextlib
import queue
import sys
from concurrent.futures import wait
from pathlib import Path
from typing import NamedTuple

from ..config import Config
from ..machine import affordable_workers
from ..parameters import PARAMETERS
from ..processes import process_context, worker_pool
from . import stages
from .stages.recommended import steps
from .store import NotStored, Store

__all__ = ["Job", "Workers", "costs", "run_stacked", "stack_size", "start_worker", "work"]


_queue = None  # of a worker: carries its progress to the parent


def start_worker(progress_queue):
    """Prepare a worker process that reports its progress through a queue."""
    global _queue
    _queue = progress_queue


class Job(NamedTuple):
    """What one process does at a time: candidates of a search, or autoencoders of one width up to some stage.

    Attributes
    ----------
    kind : str
        ``candidate``, ``member``, ``recommended`` or ``regressor_candidate``.
    root : Path
        Folder of the store.
    config : Config
    keys : dict
        Keys of earlier stages.
    items : object
        Arguments of the stage's function.
    depth : int
        For a member: the number of stages after ``autoencoder``.
    cost : dict of str to float
        Cost of one epoch of each stage, for the progress bar.
    """

    kind: str
    root: Path
    config: Config
    keys: dict
    items: object = None
    depth: int = 0
    cost: dict = {}

    def total(self):
        """Cost of the job over all its epochs."""
        config = self.config
        if self.kind == "candidate":
            return self.cost[self.kind] * self.items[1] * config.search.folds
        if self.kind == "regressor_candidate":
            return self.cost[self.kind] * self.items[3]
        if self.kind == "recommended":
            return self.cost[self.kind] * steps(config)
        return sum(cost * getattr(config, stage).epochs for stage, cost in self.cost.items())


def work(job, **looking):
    """Find or compute the results of a job.

    Parameters
    ----------
    job : Job
    **looking : bool
        ``only_look`` or ``only_name``, as for :class:`dtl_core.pipeline.store.Store`.

    Returns
    -------
    dict of str to str or list of str
        Keys of each stage.
    """
    kind, root, config, keys, items, depth, cost = job
    store = Store(root, **looking)

    def tick(name):
        return (lambda share=1.0: _queue.put(share * cost[name])) if _queue is not None else None

    if kind == "candidate":
        return {kind: stages.score_candidates(store, config, keys, *items, tick(kind))}
    if kind == "recommended":
        return {kind: stages.make_recommended(store, config, keys, tick(kind))[1]}
    if kind == "regressor_candidate":
        return {kind: stages.score_regressors(store, config, keys, *items, tick(kind))}
    done = {"autoencoder": stages.train_autoencoders(store, config, keys, items, tick("autoencoder"))}
    if depth >= 1:
        done["transfer"] = stages.transfer_autoencoders(
            store, config, keys, done["autoencoder"], items, tick("transfer")
        )
    if depth >= 2:
        done["regression"] = stages.train_regressors(store, config, keys, done["transfer"], items, tick("regression"))
    return done


# ---------------------------------------------------------------- sizes and costs


def _weights(config, width):
    """Number of weights of an autoencoder's dense layers."""
    pixels = (config.window.stop - config.window.start) / config.window.step
    return 2 * (pixels * width + width * width * (3 / 4 + 3 / 8 + 1 / 8 + 1 / 32))


def stack_size(config, width):
    """Number of autoencoders of one width that train together, with their regressors.

    Parameters
    ----------
    config : Config
    width : int
        Neurons of the first layer.

    Returns
    -------
    int
        1 on a CPU, whose caches do not hold several large matrices. On a GPU as many as fit into a third of its memory:
        each needs its weights four times (with gradient and the two moments of Adam) and the layers of a batch.
    """
    import torch

    from ..networks.training import choose_device

    if config.stack:
        return config.stack
    if choose_device(config.device).type != "cuda":
        return 1
    window = config.window
    pixels = (window.stop - window.start) / window.step
    layers = config.autoencoder.batch_size * (3 * pixels + 10 * width)
    memory = torch.cuda.get_device_properties(0).total_memory
    return max(1, int(memory / 3 / (4 * (4 * _weights(config, width) + layers))))


def costs(config, width, n_stars):
    """Rough cost of an epoch of each kind of training, for the progress bar.

    Parameters
    ----------
    config : Config
    width : int
        Neurons of the autoencoder's first layer.
    n_stars : int
        Observed spectra.

    Returns
    -------
    dict of str to float
        In units of 1e9 multiply-adds.
    """
    dense = _weights(config, width)
    n = config.synthetic.n_spectra * (1 - config.autoencoder.test_fraction)
    cnn = 32 * (2 * 64 + 128 * 32) + 32 * 32 * 256 + 256 * 128 + 128 * 64
    models = len(PARAMETERS) * config.regression.n_models
    share = (config.search.folds - 1) / config.search.folds
    return {
        "candidate": n * config.search.fraction * share * dense / 1e9,
        "autoencoder": n * dense / 1e9,
        "transfer": n_stars * dense / 1e9,
        "regression": 2.0 * n * cnn * models / 1e9,
    }


# ---------------------------------------------------------------- many jobs


class Workers:
    """Worker processes of a run, which start with its first job and end with the ``with`` block.

    They serve all stages.

    Parameters
    ----------
    config : Config
    quiet : bool
        Show no progress bar.
    """

    def __init__(self, config, *, quiet):
        self._config, self._quiet = config, quiet
        self._started = contextlib.ExitStack()
        self._pool = None

    def __enter__(self):
        self._started.__enter__()
        return self

    def __exit__(self, *error):
        return self._started.__exit__(*error)

    def run(self, jobs, label):
        """Find or compute the results of jobs, with a progress bar.

        Parameters
        ----------
        jobs : list of Job
        label : str
            Label of the progress bar.

        Returns
        -------
        list
            What :func:`work` returns, in the order of the jobs.

        Raises
        ------
        DTLError
            A worker process died. It is raised at the end of the ``with`` block.
        """
        done = {}
        for number, job in enumerate(jobs):
            try:
                done[number] = work(job, only_look=True)
            except NotStored:
                pass
        missing = [number for number in range(len(jobs)) if number not in done]
        if missing:
            done |= zip(missing, self._compute([jobs[number] for number in missing], label), strict=True)
        return [done[number] for number in range(len(jobs))]

    def _start(self):
        from ..networks.training import choose_device

        workers = self._config.workers or affordable_workers()
        if choose_device(self._config.device).type == "cuda":
            workers = 1  # one process feeds the device
        self._progress = process_context().Queue()
        remedy = "set workers=1 or choose a smaller profile; what is finished is kept"
        self._pool = self._started.enter_context(worker_pool(workers, start_worker, (self._progress,), remedy=remedy))

    def _compute(self, jobs, label):
        """Results of jobs, in order; the progress bar counts units of cost."""
        from tqdm import tqdm

        if self._pool is None:
            self._start()
        bar = tqdm(
            total=round(sum(job.total() for job in jobs), 2),
            desc=label,
            unit="",
            disable=self._quiet,
            file=sys.stderr,
            mininterval=1.0,
            bar_format="{desc}: {percentage:3.0f}%|{bar:24}| {elapsed}<{remaining}",
        )
        with bar:
            futures = [self._pool.submit(work, job) for job in jobs]
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, timeout=0.3)
                for future in finished:
                    future.result()  # raises what the job raised
                try:
                    while True:
                        bar.update(min(self._progress.get_nowait(), bar.total - bar.n))
                except queue.Empty:
                    pass
            bar.update(bar.total - bar.n)
        return [future.result() for future in futures]


def run_stacked(config, items, group_of, job_of, names, perform, beside=()):
    """Results of items, those of one width in stacks, and of single jobs that run at the same time.

    Parameters
    ----------
    config : Config
    items : list
    group_of : callable
        Item -> tuple, the width first; items with equal ones may train together.
    job_of : callable
        Items of a stack -> :class:`Job`.
    names : sequence of str
        Stages whose keys are wanted.
    perform : callable
        Jobs -> list of what :func:`work` returns.
    beside : sequence of Job
        Each makes one result.

    Returns
    -------
    dict of str to list of str, or str
        Keys of each stage in the order of the items; the single key of each job in ``beside``.
    """
    groups = _grouped(items, config, group_of)
    jobs = [*beside, *(job_of([items[number] for number in group]) for group in groups)]
    done = perform(jobs)  # the single jobs first, because they cannot be divided
    singles, stacks = done[: len(beside)], done[len(beside) :]
    keys = {name: [None] * len(items) for name in names}
    for group, stack in zip(groups, stacks, strict=True):
        for name in names:
            for number, key in zip(group, stack[name], strict=True):
                keys[name][number] = key
    for single in singles:
        keys |= single
    return keys


def _grouped(items, config, group_of):
    """Numbers of the items in groups that train as one stack."""
    groups = {}
    for number, item in enumerate(items):
        groups.setdefault(group_of(item), []).append(number)
    out = []
    for group, numbers in groups.items():
        size = stack_size(config, group[0])
        out += [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return out
