"""Prediction over worker processes, each of which loads the model once."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

from ..arguments import VELOCITY, a_number, checked
from ..machine import one_thread
from .loading import load
from .prediction import _PROGRESS, BATCH, examine

__all__ = ["examine_files", "examine_batch", "start_worker", "worker_model"]


_model = None  # of a worker process


def start_worker(name):
    """Load a model for :func:`examine_batch`: what a worker process begins with."""
    global _model
    one_thread()
    _model = load(name)


def worker_model():
    """The model of :func:`start_worker`."""
    return _model


def examine_batch(batch, velocity=None):
    """:func:`examine` for a batch of spectra, a few at a time, with the model of :func:`start_worker`."""
    examined, refused = [], []
    for piece in batch.pieces(BATCH):
        items, unread = piece.read()
        good, bad = examine(_model, items, strict=False, velocity=velocity) if items else ([], [])
        examined += good
        refused += unread + bad
    return examined, refused


@checked(workers=a_number(1, 10_000, whole=True, optional=False), progress=_PROGRESS, velocity=VELOCITY)
def examine_files(name, source, *, workers=1, progress=None, velocity=None):
    """:func:`examine` for many spectra, over worker processes; what cannot be used is listed.

    Arguments: name, of the model for :func:`dtl_core.models.loading.load`; source, see :mod:`dtl_core.reading.sources`;
    the others as there.
    """
    begins = range(0, len(source), BATCH)
    batches = (source.batch(begin, begin + BATCH) for begin in begins)
    examined, refused = [], []
    with ProcessPoolExecutor(min(workers, len(begins)), get_context("spawn"), start_worker, (name,)) as pool:
        for begin, (good, bad) in zip(begins, pool.map(examine_batch, batches, repeat(velocity)), strict=False):
            examined += good
            refused += bad
            if progress:
                progress(min(BATCH, len(source) - begin))
    return examined, refused
