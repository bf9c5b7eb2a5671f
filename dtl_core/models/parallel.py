"""Prediction over worker processes, each of which loads the model once."""

from __future__ import annotations

import functools

from ..arguments import VELOCITY, a_number, checked
from ..processes import ordered, worker_pool
from .loading import load
from .prediction import _PROGRESS, BATCH, examine

__all__ = ["examine_batch", "examine_files", "start_worker", "worker_model"]


_model = None  # of a worker process


def start_worker(name):
    """Load the model that :func:`examine_batch` uses in this process."""
    global _model
    _model = load(name)


def worker_model():
    """The model that :func:`start_worker` loaded."""
    return _model


def examine_batch(batch, velocity=None):
    """Examine part of a source with the model of :func:`start_worker`, ``BATCH`` spectra at a time.

    Parameters
    ----------
    batch : object
        What the method ``batch`` of a source returns; see :mod:`dtl_core.reading.sources`.
    velocity : float, km/s, optional
        Known barycentric radial velocity of all stars.

    Returns
    -------
    examined, refused : list
        As returned by :func:`dtl_core.models.prediction.examine`.
    """
    examined, refused = [], []
    for piece in batch.pieces(BATCH):
        spectra, unread = piece.read()
        good, bad = examine(_model, spectra, strict=False, velocity=velocity) if spectra else ([], [])
        examined += good
        refused += unread + bad
    return examined, refused


@checked(workers=a_number(1, 10_000, whole=True, optional=False), progress=_PROGRESS, velocity=VELOCITY)
def examine_files(name, source, *, workers=1, progress=None, velocity=None):
    """Examine many spectra over worker processes and list those that cannot be used.

    Parameters
    ----------
    name : str
        Name of the model, for :func:`dtl_core.models.loading.load`.
    source : object
        See :mod:`dtl_core.reading.sources`.
    workers : int
        Number of processes.
    progress : callable, optional
        Called with the number of spectra of each batch.
    velocity : float, km/s, optional
        Known barycentric radial velocity of all stars.

    Returns
    -------
    examined, refused : list
        As returned by :func:`dtl_core.models.prediction.examine`.

    Raises
    ------
    DTLError
        A worker process died.
    """
    starts = range(0, len(source), BATCH)
    batches = (source.batch(start, start + BATCH) for start in starts)
    examined, refused = [], []
    remedy = "fewer --workers, then the same command again"
    workers, about = min(workers, len(starts)), {"torch": False, "field": "--workers", "remedy": remedy}
    with worker_pool(workers, start_worker, (name,), **about) as pool:
        results = ordered(pool, functools.partial(examine_batch, velocity=velocity), batches, 2 * workers)
        for start, (good, bad) in zip(starts, results, strict=True):
            examined += good
            refused += bad
            if progress:
                progress(min(BATCH, len(source) - start))
    return examined, refused
