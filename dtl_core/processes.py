"""Pools of worker processes that use one thread each and end with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from .errors import DTLError
from .machine import one_thread

__all__ = ["ordered", "process_context", "worker_pool"]


def process_context(torch=True, start=None):
    """The multiprocessing context of a pool.

    Forking a process in which PyTorch has threads may deadlock, and imports take seconds. Workers are therefore forks
    of a server that has imported what they need and started no thread: they start at once and share the memory of its
    libraries.

    Parameters
    ----------
    torch : bool
        Whether the workers use PyTorch.
    start : callable, optional
        What runs first in each worker; the server of the first pool imports its module. Workers without it and without
        PyTorch import what they need, as all do where there are no forks.

    Returns
    -------
    multiprocessing.context.BaseContext
    """
    if not (torch or start) or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*(["torch"] if torch else ()), *([start.__module__] if start else ())])
    return context


def _end_with_parent():
    """End this process when its parent is gone, which a pool's worker otherwise does not notice while it computes."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _start(environment, start, arguments):
    os.environ.clear()  # the server has that of its own start
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()
    if start:
        start(*arguments)


@contextlib.contextmanager
def worker_pool(workers, start=None, arguments=(), *, torch=True, error=DTLError, field="workers", remedy):
    """A pool of worker processes.

    On leaving, jobs that have not started are cancelled and running ones are waited for, also after an error or Ctrl-C.
    If the parent is terminated or killed, its workers end at once.

    Parameters
    ----------
    workers : int
    start : callable, optional
        Runs first in each worker, with ``arguments``.
    torch : bool
        Whether the workers use PyTorch; each has one thread in any case.
    error : type
        Subclass of :class:`dtl_core.errors.DTLError` to raise when a worker dies.
    field, remedy : str
        The setting that the error names, and what to do about it.

    Yields
    ------
    concurrent.futures.ProcessPoolExecutor

    Raises
    ------
    DTLError
        A worker died.
    """
    given = dict(os.environ), start, arguments
    pool = ProcessPoolExecutor(workers, process_context(torch, start), _start, given)
    try:
        yield pool
    except BrokenProcessPool:
        raise error("a worker process died, most likely out of memory", field=field, remedy=remedy) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ordered(pool, function, items, ahead):
    """Results of a function for any number of items, in order, with at most ``ahead`` of them in the pool at a time.

    Parameters
    ----------
    pool : concurrent.futures.ProcessPoolExecutor
    function : callable
        Called with one item.
    items : iterable
    ahead : int

    Yields
    ------
    object
        What the function returned.
    """
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
