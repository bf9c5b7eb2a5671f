"""What a domain-adaptation method is given, and what all methods share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from ..networks.training import fit

__all__ = ["Problem"]


@dataclass
class Problem:
    """What the arms are given.

    Attributes
    ----------
    wavelength : (n_pixels,) A, even steps
    flux, labels : (n, n_pixels), (n, 4) synthetic, as tensors;  train, valid : their row numbers
    stars : (m, n_pixels) observed, tensor, without labels
    resolving_power : of the run
    anchors : parameter -> (rows of ``stars``, known values): the few stars whose parameters others have measured
    seed : of everything random
    epochs, batch_size, learning_rate : budget of each network
    emulator_epochs : of an emulator, whose steps are short
    trained : arms by class that have learnt from these synthetic spectra; a problem with other stars can share them
    progress : called once an epoch of a network or an emulator, optional
    """

    wavelength: np.ndarray
    flux: torch.Tensor
    labels: torch.Tensor
    train: np.ndarray
    valid: np.ndarray
    stars: torch.Tensor
    resolving_power: float
    anchors: dict = field(default_factory=dict)
    seed: int = 0
    epochs: int = 20
    emulator_epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 2e-3
    trained: dict = field(default_factory=dict)
    progress: Callable | None = None

    def learned(self, kind):
        """An arm of a class that has learnt from the synthetic spectra, once for all that ask for it."""
        if kind not in self.trained:
            self.trained[kind] = kind()
            self.trained[kind].learn(self)
        return copy.copy(self.trained[kind])

    @property
    def step(self):
        return float(self.wavelength[1] - self.wavelength[0])

    def fit(self, model, loss, index=None, *, epochs=None, learning_rate=None):
        """Train a network with the problem's budget: ``loss(model, rows (B,))`` is a number."""
        fit(
            model,
            lambda m, rows: loss(m, rows[0]).reshape(1),
            np.asarray(self.train if index is None else index)[None],
            epochs=epochs or self.epochs,
            batch_size=self.batch_size,
            learning_rate=learning_rate or self.learning_rate,
            seeds=[self.seed],
            schedule="one-cycle",
            progress=self.progress,
        )
        return model


class Method:
    """What all arms share."""

    def fit(self, problem):
        """Learn from all that the problem holds. Returns: the arm."""
        self.learn(problem)
        return self.adapt(problem)

    def learn(self, problem):
        """Whatever needs no observed spectra."""

    def adapt(self, problem):
        """Whatever needs them. Returns: the arm."""
        self.problem = problem
        return self
