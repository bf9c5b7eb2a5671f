"""Methods on top of another one: zero points, lines calibrated on the observed stars, and their combinations."""

from __future__ import annotations

import copy

import numpy as np
import torch

from ..parameters import PARAMETERS
from .emulator import optical_depth
from .fits import LeastSquares
from .flux_networks import Randomised
from .problem import Method
from .randomiser import Randomiser

__all__ = ["Combined", "Prepared", "SelfCalibrated", "ZeroPoints"]


# ---------------------------------------------------------------- on top of another arm


def zero_points(found, anchors):
    """Median of estimate minus known value of the anchor stars, for each parameter; 0 where there are none: (4,)."""
    out = np.zeros(len(PARAMETERS))
    for k, name in enumerate(PARAMETERS):
        rows, known = anchors.get(name, ((), ()))
        if len(rows):
            out[k] = np.median(found[rows, k] - known)
    return out


class ZeroPoints(Method):
    """The arm below, moved by a constant for each parameter so that the anchor stars come out right in the median."""

    base = Randomised

    def learn(self, problem):
        self.inner = problem.learned(self.base)

    def adapt(self, problem):
        self.problem = problem
        self.inner = copy.copy(self.inner).adapt(problem)
        self.zero = zero_points(self.inner.predict(problem.stars), problem.anchors)
        return self

    def predict(self, flux):
        return self.inner.predict(flux) - self.zero


class SelfCalibrated(Method):
    """What all observed stars have in common against emulated spectra of their labels is taken off, and again.

    In optical depth, pixel by pixel over the stars: t_observed = a + r t_emulated. The emulator with the lines a + r t
    then stands for the observed domain: a fit below uses it, a network below sees spectra without the difference that
    it makes; both give new labels. a and r are drawn towards 0 and 1, so that pixels without lines stay, and come from
    the half of the stars that rotate least, because rotation averages over lines. With ``anchored`` the labels that are
    compared with are moved by the zero points of the anchor stars, so that the line strengths settle where these come
    out right.
    """

    base, rounds, ridge, anchored = Randomised, 3, 0.02, False

    def learn(self, problem):
        self.inner = problem.learned(self.base)
        self.emulator = problem.learned(LeastSquares).emulator

    def adapt(self, problem):
        self.problem = problem
        self.inner = copy.copy(self.inner).adapt(problem)
        self.calibrated, self.zero = self.emulator, np.zeros(len(PARAMETERS))
        self._use(None)
        for _ in range(self.rounds):
            labels = self._estimate(problem.stars)
            if self.anchored:
                labels = labels - zero_points(labels, problem.anchors)
            self._compare(problem.stars, torch.as_tensor(labels, dtype=torch.float32))
        if self.anchored:
            found = self._estimate(problem.stars)
            self.zero = zero_points(found, problem.anchors)
            self.labels = found - self.zero  # of the problem's stars
        return self

    def _use(self, weight):
        if isinstance(self.inner, LeastSquares):
            self.inner.emulator, self.inner.weight = self.calibrated, weight

    def _compare(self, stars, labels):
        """Lines and weights of the pixels from stars (n, n_pixels) of known or estimated labels (n, 4)."""
        with torch.no_grad():
            labels = self.emulator.clamped(labels)
            slow = torch.argsort(labels[:, 3])[: max(2, len(labels) // 2)]
            expected = optical_depth(self.emulator(labels[slow]))
            self.calibrated = self.emulator.with_lines(*common_lines(optical_depth(stars[slow]), expected, self.ridge))
            left = (stars - self.calibrated(labels)).abs().median(0).values
        weight = 1 / (left**2 + (0.3 * left.median()) ** 2)
        self._use(weight / weight.mean())

    def _estimate(self, flux):
        found = self.inner.predict(flux)
        if not isinstance(self.inner, LeastSquares):
            for _ in range(2):
                found = self.inner.predict(self.corrected(flux, found))
        return found

    def difference(self, labels):
        """What the lines of the observed domain change in spectra of labels (n, 4): (n, n_pixels)."""
        labels = self.emulator.clamped(torch.as_tensor(labels, dtype=torch.float32))
        with torch.no_grad():
            return torch.cat([self.calibrated(part) - self.emulator(part) for part in labels.split(2048)])

    def corrected(self, flux, labels):
        """Observed spectra with the lines of synthetic ones."""
        return torch.as_tensor(flux) - self.difference(labels)

    def latent(self, flux):
        return self.inner.latent(self.corrected(flux, self._estimate(flux)))

    def synthetic_latent(self, rows):
        return self.inner.synthetic_latent(rows)

    def predict(self, flux):
        return self._estimate(flux) - self.zero


def common_lines(observed, expected, ridge):
    """Ridge regression of observed on expected optical depths, every pixel for itself, robust against single stars.

    Arguments: observed, expected (n_stars, n_pixels); ridge, the depth to which noise matters.
    Returns: offset (n_pixels,), drawn towards 0, and scale (n_pixels,), drawn towards 1.
    """
    difference = observed - expected
    middle = difference.median(0).values
    limit = 3 * 1.4826 * (difference - middle).abs().median(0).values + 1e-6
    weight = ((difference - middle).abs() <= limit).float()
    x, y, n = expected, difference, weight.sum(0)
    penalty = len(x) * ridge**2
    xx, x1, xy, y1 = ((weight * v).sum(0) for v in (x * x, x, x * y, y))
    determinant = (xx + penalty) * (n + penalty) - x1**2
    scale = (1 + ((n + penalty) * xy - x1 * y1) / determinant).clamp(0.3, 3.0)
    return ((xx + penalty) * y1 - x1 * xy) / determinant, scale


class Anchored(SelfCalibrated):
    """Network on randomised fluxes, self-calibrated, with the anchor stars."""

    anchored = True


class LeastSquaresSelfCalibrated(SelfCalibrated):
    """Least squares through the emulator, self-calibrated, each pixel as well as it is known."""

    base = LeastSquares


class LeastSquaresAnchored(LeastSquaresSelfCalibrated):
    """The same, with the anchor stars."""

    anchored = True


class Prepared(Method):
    """A network on randomised fluxes, and the emulator's fit as a second opinion: for stars without a survey."""

    zero = 0.0  # of the labels

    def learn(self, problem):
        self.network, self.inner = problem.learned(Randomised), problem.learned(LeastSquares)

    def adapt(self, problem):
        self.problem, self.inner = problem, copy.copy(self.inner).adapt(problem)
        self.emulator = self.inner.emulator
        return self

    def latent(self, flux):
        return self.network.latent(flux)

    def synthetic_latent(self, rows):
        return self.network.synthetic_latent(rows)

    def predict(self, flux):
        return self.network.predict(flux) - self.zero

    def spread(self, flux):
        return self.network.spread(flux)

    def reconstruct(self, labels):
        """Spectra (n, n_pixels) that stars of labels (n, 4) have in the observed domain, as far as it is known."""
        with torch.no_grad():
            return self.emulator(self.emulator.clamped(torch.as_tensor(labels, dtype=torch.float32)))


class Combined(Prepared):
    """A network trained on synthetic spectra with the lines of the survey, and with what else its spectra show.

    The anchored fit below says how strong the lines of the observed domain are, and what it leaves of every star:
    noise, continuum, tellurics, activity, whatever it is. Synthetic spectra get the first, and the second of stars
    drawn at random; a network learns labels from them, so it learns as well which features to trust.
    """

    def learn(self, problem):
        self.inner = problem.learned(LeastSquaresAnchored)

    def adapt(self, problem):
        self.problem, self.inner = problem, copy.copy(self.inner).adapt(problem)
        self.emulator = self.inner.calibrated
        left = problem.stars - self.reconstruct(self.inner.labels)
        self.network = _OnLeftovers(problem.flux + self.inner.difference(problem.labels), left)
        self.network.learn(problem)
        self.zero = zero_points(self.network.predict(problem.stars), problem.anchors)
        return self


class _OnLeftovers(Randomised):
    """A network on ``lines`` (n, n_pixels), spectra of the problem's labels, with leftovers (m, n_pixels) added."""

    randomiser = Randomiser(noise=0.005, line_strength=0.1, lines=0)

    def __init__(self, lines, left):
        self.lines, self.left = lines, left

    def synthetic_latent(self, rows):
        return self.latent(self.lines[rows])

    def seen(self, rows):
        flux = self.randomised(self.lines[rows], rows)
        picked = torch.randint(len(self.left), (len(flux),), generator=self.generator)
        size = 1 + 0.3 * torch.randn(len(flux), 1, generator=self.generator)
        return flux + size * self.left[picked]
