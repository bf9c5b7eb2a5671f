"""Spectra that the models know nothing about: a score for each star, with a calibrated p-value."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.covariance import LedoitWolf

__all__ = ["Detector", "SCORES", "flag_rates", "measure"]


SCORES = ("reconstruction", "latent", "disagreement", "grain")
RESIDUAL_WINDOW, GRAIN_WINDOW = 5.0, 1.0  # A: of what two stars differ by, and enough pixels for a noise level
LIMIT = 100.0  # a flux beyond, or a median below its inverse, is not a normalised spectrum: no network or fit is asked


def measure(arm, flux, labels=None, spread=None):
    """What the scores are made of, from a fitted :class:`dtl_core.bridging.corrections.Combined` and observed spectra.

    Arguments
    ---------
    arm : Combined;  flux : (n, n_pixels) observed, continuum = 1
    labels, spread : (n, 4), what the arm says of them, if it has been asked

    Returns
    -------
    dict of the arguments of :class:`Detector`; rows of NaN for a spectrum with a pixel that is not finite or absurd.
    """
    flux = np.asarray(flux, np.float32)
    usable = (np.abs(flux) < LIMIT).all(1) & (np.median(flux, 1) > 1 / LIMIT)  # both refuse NaN
    known = np.where(usable[:, None], flux, np.float32(1))
    stars = torch.as_tensor(known)
    if labels is None:
        labels, spread = arm.predict(stars), arm.spread(stars)
    found = {
        "residual": _without_continuum(known, arm.reconstruct(labels).numpy()),
        "latent": arm.latent(stars),
        "disagreement": (labels - arm.arm.predict(stars)) / spread,
        "grain": _grain(known, arm.bench.step),
    }
    return {name: np.where(usable[:, None], value, np.nan) for name, value in found.items()} | {"step": arm.bench.step}


def _without_continuum(flux, model, degree=2):
    """Flux minus model (n, n_pixels), this times the Chebyshev polynomial that fits best."""
    basis = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, flux.shape[1]), degree)
    design = model[:, :, None].astype(float) * basis
    normal = design.transpose(0, 2, 1) @ design
    right = design.transpose(0, 2, 1) @ flux[:, :, None].astype(float)
    return flux - (design @ np.linalg.solve(normal, right))[..., 0]


def _windows(values, width):
    """Means (n, n_windows) of values (n, n_pixels) over windows of about ``width`` pixels, none left out."""
    n = values.shape[1]
    edges = np.linspace(0, n, max(1, round(n / width)) + 1).astype(int)
    return np.add.reduceat(values, edges[:-1], axis=1) / np.diff(edges)


def _grain(flux, step):
    """Logarithm of the noise from pixel to pixel, (n, n_windows): rms of the fourth differences, which no line has."""
    fourth = np.diff(flux.astype(float), 4, axis=1) / np.sqrt(70)
    return 0.5 * np.log(_windows(fourth**2, GRAIN_WINDOW / step) + 1e-14)


class Detector:
    """Four scores of a spectrum, the higher the stranger, each with the share of reference stars that reach it.

    reconstruction : logarithm of the largest rms residual of a window of 5 A, each pixel in units of what is usual
        there; local, because a second star or a gap leaves most of the window as it is
    latent : distance of the features from those of the reference, squared, in units of their covariance (shrunk,
        Ledoit & Wolf 2004), which for a star of the reference is that of all others
    disagreement : largest difference between the network's and the fit's labels, in units of its expected error
    grain : logarithm of the largest ratio, up or down, of the noise of a window of 1 A to what is usual there: a
        bridged gap has too little, and so has a spectrograph of lower resolution, whose lines look like a rotator's

    The p-value of a star is the smallest of the four, times four (Bonferroni), at most 1; of a star with a score that
    is not finite, the smallest possible, 4 / (n + 1) with n stars in the reference. A level of 0.05 needs 79 of them.
    Nothing is assumed of the scores' distributions, only that ordinary stars are drawn as the reference is, with the
    same instrument.

    Arguments
    ---------
    residual (n, n_pixels), latent (n, n_features), disagreement (n, 4), grain (n, n_windows), step [A]: of the
    reference, as :func:`measure` gives them

    Source: Bates et al. (2023, Ann. Statist. 51, 149), conformal p-values for outliers.
    """

    _STATE = ("usual", "offset", "noise", "centre", "inverse")

    def __init__(self, residual, latent, disagreement, grain, step):
        usual = np.median(np.abs(residual), 0)
        self.usual = np.hypot(usual, 0.3 * np.median(usual)) + 1e-9  # a pixel does not count for more than this
        self.offset, self.noise = np.median(disagreement, 0), np.median(grain, 0)
        shrunk = LedoitWolf().fit(latent)
        self.centre, self.inverse = shrunk.location_, np.linalg.pinv(shrunk.covariance_, hermitian=True)
        scores = self.score(residual, latent, disagreement, grain, step)
        scores["latent"] = self._left_out(latent, shrunk)
        self.reference = scores

    @staticmethod
    def _left_out(latent, shrunk):
        """Squared distance (n,) of each star from all others, the shrinkage that of all: Sherman & Morrison (1950)."""
        n, d = len(latent), latent - shrunk.location_
        kept = (1 - shrunk.shrinkage_) * n / (n - 1)
        most = kept * d.T @ d / n + shrunk.shrinkage_ * np.mean(d**2) * np.eye(d.shape[1])
        inside = np.einsum("ij,jk,ik->i", d, np.linalg.pinv(most, hermitian=True), d)
        return (n / (n - 1)) ** 2 * inside / (1 - kept / (n - 1) * inside)

    def state(self):
        """Arrays by name that :meth:`from_state` makes the same detector of."""
        plain = {name: np.asarray(getattr(self, name)) for name in self._STATE}
        return plain | {f"reference_{name}": values for name, values in self.reference.items()}

    @classmethod
    def from_state(cls, arrays):
        """The detector whose :meth:`state` these arrays are."""
        out = cls.__new__(cls)
        for name in cls._STATE:
            setattr(out, name, arrays[name])
        out.reference = {name: arrays[f"reference_{name}"] for name in SCORES}
        return out

    def score(self, residual, latent, disagreement, grain, step):
        """Scores: dict of name -> (n,), of stars measured as the reference was; infinite where one is not finite."""
        d = latent - self.centre
        values = (
            0.5 * np.log(_windows((residual / self.usual) ** 2, RESIDUAL_WINDOW / step).max(1) + 1e-14),
            np.einsum("ij,jk,ik->i", d, self.inverse, d),
            np.abs(disagreement - self.offset).max(1),
            np.abs(grain - self.noise).max(1),
        )
        return {name: np.where(np.isfinite(v), v, np.inf) for name, v in zip(SCORES, values, strict=True)}

    def p_values(self, residual, latent, disagreement, grain, step, *, among=slice(None)):
        """p of each star (n,), and which score is the most telling (n,) of str.

        Arguments: as for :meth:`score`; among, which reference stars these are compared with, by default all.
        """
        found = self.score(residual, latent, disagreement, grain, step)
        p = np.stack([_reached(found[name], self.reference[name][among]) for name in SCORES])
        return np.minimum(1.0, len(SCORES) * p.min(0)), np.asarray(SCORES)[p.argmin(0)]


def _reached(score, reference):
    """Share of a reference, and of the star itself, that lies as high as each score."""
    n = len(reference)
    return (1 + n - np.searchsorted(np.sort(reference), score, "left")) / (1 + n)


def flag_rates(arm, reference, groups, level=0.05):
    """Share of spectra with p <= level: dict of name -> share.

    Arguments: arm, see :func:`measure`; reference (n, n_pixels), ordinary stars; groups, name -> (m, n_pixels).
    """
    detector = Detector(**measure(arm, reference))
    return {name: float(np.mean(detector.p_values(**measure(arm, flux))[0] <= level)) for name, flux in groups.items()}
