"""Methods that correct another one: zero points, self-calibration of the lines, and their combinations."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch

from ..estimates import outliers
from ..parameters import PARAMETERS
from .fits import LeastSquares
from .flux_networks import OnFluxes, Randomised
from .latent_networks import FineTuned
from .problem import Method
from .randomiser import Randomiser
from .spectrum_model import optical_depth

__all__ = [
    "Combined",
    "CombinedWithoutAnchors",
    "Prepared",
    "SelfCalibrated",
    "ZeroPoints",
    "ZeroPointsFineTuned",
    "ZeroPointsNoTransfer",
]


def zero_points(found, anchors):
    """Median difference between estimates and known values of the anchor stars.

    Parameters
    ----------
    found : array of shape (n_stars, 4)
        Estimates.
    anchors : dict of parameter -> (rows, values)

    Returns
    -------
    array of shape (4,)
        Estimate minus known value; 0 for a parameter without anchor stars.
    """
    out = np.zeros(len(PARAMETERS))
    for k, name in enumerate(PARAMETERS):
        rows, known = anchors.get(name, ((), ()))
        if len(rows):
            out[k] = np.median(found[rows, k] - known)
    return out


class ZeroPoints(Method):
    """Another method, shifted by a constant for each parameter so that the anchor stars are right in the median."""

    base, anchored = Randomised, True

    def learn(self, problem):
        self.inner = problem.learned(self.base)

    def adapt(self, problem):
        self.problem = problem
        self.inner = copy.copy(self.inner).adapt(problem)
        self.zero = zero_points(self.inner.predict(problem.stars), problem.anchors)
        return self

    def predict(self, flux):
        return self.inner.predict(flux) - self.zero


class ZeroPointsFineTuned(ZeroPoints):
    """The paper's method with the zero points of the anchor stars."""

    base = FineTuned


class ZeroPointsNoTransfer(ZeroPoints):
    """The network on synthetic fluxes with the zero points of the anchor stars."""

    base = OnFluxes


class SelfCalibrated(Method):
    r"""The residual that all observed stars share is estimated and removed, iteratively.

    Emulated spectra of the estimated labels are compared with the observed ones in optical depth t, pixel by pixel over
    the stars:

    .. math:: t_\mathrm{observed} = a + r \, t_\mathrm{emulated}

    The emulator with lines a + r t then describes the observed domain. If the underlying method is a fit, it uses this
    emulator; if it is a network, the change of the lines is subtracted from the observed spectra. Both give new labels.
    a and r are regularised towards 0 and 1, so that pixels without lines stay unchanged, and are measured on the half
    of the stars that rotate least, because rotation averages over lines.

    Attributes
    ----------
    base : type
        Class of the underlying method, whose instance is ``inner``.
    rounds : int
    ridge : float
        See ``common_lines``.
    anchored : bool
        Whether the estimated labels are shifted by the zero points of the anchor stars before the comparison, so that
        the line strengths converge to where these are right.
    calibrated : Emulator
        With the lines of the observed domain.
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
            estimate = self._estimate(problem.stars)
            self.zero = zero_points(estimate, problem.anchors)
            self.labels = estimate - self.zero  # of the problem's stars
        return self

    def _use(self, weight):
        if isinstance(self.inner, LeastSquares):
            self.inner.emulator, self.inner.weight = self.calibrated, weight

    def _compare(self, stars, labels):
        """Measure lines and pixel weights on stars (n, n_pixels) of known or estimated labels (n, 4)."""
        with torch.no_grad():
            labels = self.emulator.clamped(labels)
            slow = torch.argsort(labels[:, 3])[: max(2, len(labels) // 2)]
            expected = optical_depth(self.emulator(labels[slow]))
            self.calibrated = self.emulator.with_lines(*common_lines(optical_depth(stars[slow]), expected, self.ridge))
            left = (stars - self.calibrated(labels)).abs().median(0).values
        weight = 1 / (left**2 + (0.3 * left.median()) ** 2)
        self._use(weight / weight.mean())

    def _estimate(self, flux):
        estimate = self.inner.predict(flux)
        if not isinstance(self.inner, LeastSquares):
            for _ in range(2):
                estimate = self.inner.predict(self.corrected(flux, estimate))
        return estimate

    def difference(self, labels):
        """Spectra with the lines of the observed domain minus synthetic ones, (n, n_pixels), of labels (n, 4)."""
        labels = self.emulator.clamped(torch.as_tensor(labels, dtype=torch.float32))
        with torch.no_grad():
            return torch.cat([self.calibrated(part) - self.emulator(part) for part in labels.split(2048)])

    def corrected(self, flux, labels):
        """Return observed spectra with the lines of synthetic ones."""
        return torch.as_tensor(flux) - self.difference(labels)

    def latent(self, flux):
        return self.inner.latent(self.corrected(flux, self._estimate(flux)))

    def synthetic_latent(self, rows):
        return self.inner.synthetic_latent(rows)

    def predict(self, flux):
        return self._estimate(flux) - self.zero


def common_lines(observed, expected, ridge):
    """Ridge regression of observed on expected optical depths, independently for each pixel, without outlying stars.

    Parameters
    ----------
    observed, expected : tensors of shape (n_stars, n_pixels)
    ridge : float
        Strength of the regularisation: about the optical depth below which noise dominates.

    Returns
    -------
    offset : tensor of shape (n_pixels,)
        Regularised towards 0.
    scale : tensor of shape (n_pixels,)
        Regularised towards 1.
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
    """The self-calibrated network on randomised fluxes, with anchor stars."""

    anchored = True


class LeastSquaresSelfCalibrated(SelfCalibrated):
    """Least-squares fit through an emulator, self-calibrated, with pixels weighted by their scatter."""

    base = LeastSquares


class LeastSquaresAnchored(LeastSquaresSelfCalibrated):
    """The self-calibrated least-squares fit, with anchor stars."""

    anchored = True


class Prepared(Method):
    """A network on randomised fluxes, with a least-squares fit as a second opinion, for stars without a survey.

    Attributes
    ----------
    network : Randomised
    least_squares : LeastSquares
    zero : float or array of shape (4,)
        Subtracted from the labels of the network.
    """

    zero = 0.0

    def learn(self, problem):
        self.network, self.least_squares = problem.learned(Randomised), problem.learned(LeastSquares)

    def adapt(self, problem):
        self.problem, self.least_squares = problem, copy.copy(self.least_squares).adapt(problem)
        self.emulator = self.least_squares.emulator
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
        """Spectra (n, n_pixels) expected in the observed domain for labels (n, 4), a tensor."""
        return self.emulator.reconstruct(labels)

    def measure(self, flux, labels=None, spread=None):
        """Features of observed spectra for :class:`dtl_core.estimates.outliers.Detector`.

        Parameters
        ----------
        flux : array or tensor of shape (n, n_pixels)
        labels, spread : arrays of shape (n, 4), optional
            Results of :meth:`predict` and :meth:`spread`, if known.
        """
        usable = torch.as_tensor(outliers.replace_unusable(flux))
        if labels is None:
            labels, spread = self.predict(usable), self.spread(usable)
        return outliers.measure(
            flux,
            latent=self.latent(usable),
            reconstruction=self.reconstruct(labels).numpy(),
            disagreement=(labels - self.least_squares.predict(usable)) / spread,
            step=self.problem.step,
        )


class Combined(Prepared):
    """A network trained on synthetic spectra with the lines and the residuals of the observed survey.

    The anchored least-squares fit measures the line strengths of the observed domain and leaves a residual for every
    star: noise, continuum, tellurics, activity. Synthetic spectra are given these lines and the residuals of randomly
    drawn stars. A network that learns labels from them also learns which features to trust.
    """

    anchored = True

    def learn(self, problem):
        self.least_squares = problem.learned(LeastSquaresAnchored)

    def adapt(self, problem):
        self.problem, self.least_squares = problem, copy.copy(self.least_squares).adapt(problem)
        self.emulator = self.least_squares.calibrated
        residuals = problem.stars - self.reconstruct(self.least_squares.labels)
        self.network = _WithResiduals(problem.flux + self.least_squares.difference(problem.labels), residuals)
        self.network.learn(problem)
        self.zero = zero_points(self.network.predict(problem.stars), problem.anchors)
        return self


class CombinedWithoutAnchors(Combined):
    """The combined method without known stars, as :func:`dtl_core.models.adapting.adapt` uses it for a user's survey.

    The self-calibration and the estimates then have no zero points.
    """

    anchored = False

    def adapt(self, problem):
        return super().adapt(dataclasses.replace(problem, anchors={}))


class _WithResiduals(Randomised):
    """A network on spectra ``lines`` (n, n_pixels) of the problem's labels plus residuals (m, n_pixels) of stars."""

    randomiser = Randomiser(noise=0.005, line_strength=0.1, lines=0)

    def __init__(self, lines, residuals):
        self.lines, self.residuals = lines, residuals

    def synthetic_latent(self, rows):
        return self.latent(self.lines[rows])

    def seen(self, rows):
        flux = self.randomised(self.lines[rows], rows)
        picked = torch.randint(len(self.residuals), (len(flux),), generator=self.generator)
        size = 1 + 0.3 * torch.randn(len(flux), 1, generator=self.generator)
        return flux + size * self.residuals[picked]
