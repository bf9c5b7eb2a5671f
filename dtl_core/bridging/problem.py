"""The input of a domain-adaptation method, and the base class of all methods."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from ..networks.training import fit

__all__ = ["Problem"]


@dataclass
class Problem:
    """A domain-adaptation problem: labelled synthetic spectra, unlabelled observed spectra, and a training budget.

    Attributes
    ----------
    wavelength : array of shape (n_pixels,), A
        Evenly spaced.
    flux, labels : tensors of shape (n, n_pixels) and (n, 4)
        Synthetic spectra.
    train, valid : arrays of int
        Their row numbers.
    stars : tensor of shape (m, n_pixels)
        Observed spectra.
    resolving_power : float
    anchors : dict of parameter -> (rows of ``stars``, known values)
        The few stars with independently measured parameters.
    seed : int
    epochs, batch_size, learning_rate
        Budget of each network.
    emulator_epochs : int
    trained : dict of class -> Method
        Methods that have learned from these synthetic spectra; can be shared with a problem with other stars.
    progress : callable, optional
        Called once per epoch.
    other_physics : callable, optional
        Returns spectra of the labels with physics drawn at random, a tensor of shape (k, n, n_pixels): k draws for each
        label. By default the physics of ``flux`` is the only one.
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
    other_physics: Callable | None = None

    def learned(self, kind):
        """Return a copy of the method of class ``kind``, which learns from the synthetic spectra at the first call."""
        if kind not in self.trained:
            self.trained[kind] = kind()
            self.trained[kind].learn(self)
        return copy.copy(self.trained[kind])

    @property
    def step(self):
        """Width of a pixel, A."""
        return float(self.wavelength[1] - self.wavelength[0])

    def randomised(self, randomiser, flux, rows, generator):
        """Change synthetic fluxes at random.

        Parameters
        ----------
        randomiser : Randomiser
        flux : tensor of shape (B, n_pixels)
        rows : tensor or array of int, shape (B,)
            The synthetic spectra that these fluxes belong to.
        generator : torch.Generator

        Returns
        -------
        tensor of shape (B, n_pixels)
        """
        return randomiser(flux, self.labels[rows, 3], self.step, self.resolving_power, generator)

    def fit(self, model, loss, index=None, *, epochs=None, learning_rate=None):
        """Train a network with the budget of the problem.

        Parameters
        ----------
        model : torch.nn.Module
        loss : callable
            ``loss(model, rows)`` returns the scalar loss of the samples ``rows`` (B,).
        index : array of int, optional
            Training samples; by default ``train``.
        epochs, learning_rate : optional
            Instead of the budget's.

        Returns
        -------
        torch.nn.Module
            The model.
        """
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


class Method(abc.ABC):
    """Base class of the domain-adaptation methods.

    Some subclasses also define ``latent(flux)`` and ``synthetic_latent(rows)``, the features of observed spectra and
    of rows of the synthetic ones, and ``spread(flux)``, the standard errors (n_stars, 4) of their labels.

    Attributes
    ----------
    anchored : bool
        Whether the method uses the known values of the problem's anchor stars.
    """

    anchored = False

    @classmethod
    def known_stars(cls, problem):
        """Find the stars of which the method knows at least one true parameter, so that it cannot be scored on them.

        Parameters
        ----------
        problem : Problem

        Returns
        -------
        array of int
            Rows of ``problem.stars``, sorted, each once; empty if the method does not use anchor stars.
        """
        rows = [rows for rows, _ in problem.anchors.values()] if cls.anchored else []
        return np.unique(np.concatenate([[], *rows]).astype(int))

    def fit(self, problem):
        """Learn from synthetic spectra, then adapt to observed ones; return the method."""
        self.learn(problem)
        return self.adapt(problem)

    def learn(self, problem):  # noqa: B027 - some have nothing to learn before they see stars
        """Learn from the synthetic spectra alone."""

    def adapt(self, problem):
        """Adapt to the observed spectra; return the method."""
        self.problem = problem
        return self

    @abc.abstractmethod
    def predict(self, flux):
        """Estimate labels (n_stars, 4) of observed spectra (n_stars, n_pixels)."""
