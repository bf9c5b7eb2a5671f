"""Out-of-distribution spectra: scores of how unlike the reference stars a spectrum is, with calibrated p-values."""

from __future__ import annotations

import copy

import numpy as np

__all__ = ["Detector", "SCORES", "flag_rates", "measure", "replace_unusable"]


SCORES = ("reconstruction", "latent", "disagreement", "grain")
RESIDUAL_WINDOW, GRAIN_WINDOW = 5.0, 1.0  # A: typical extent of a mismatch, and enough pixels for a noise level
LIMIT = 100.0  # spectra with a flux above this, or a median below its inverse, are not normalised: see replace_unusable


def _usable(flux):
    """Which spectra (n, n_pixels) are finite and roughly normalised: (n,) bool."""
    return (np.abs(flux) < LIMIT).all(1) & (np.median(flux, 1) > 1 / LIMIT)  # both refuse NaN


def replace_unusable(flux):
    """Replace spectra that are not finite or not normalised by a flat continuum, so that networks and fits accept them.

    Parameters
    ----------
    flux : array of shape (n, n_pixels)

    Returns
    -------
    float32 array of shape (n, n_pixels)
    """
    flux = np.asarray(flux, np.float32)
    return np.where(_usable(flux)[:, None], flux, np.float32(1))


def measure(flux, latent, reconstruction, disagreement, step):
    """Features of spectra from which :class:`Detector` computes its scores.

    Parameters
    ----------
    flux : array of shape (n, n_pixels)
        Observed spectra, continuum = 1.
    latent : array of shape (n, n_features)
        Their latents or features.
    reconstruction : array of shape (n, n_pixels)
        Model spectra at their estimated labels.
    disagreement : array of shape (n, 4)
        Difference between the labels of two methods, in units of the expected error.
    step : float, A
        Width of a pixel.

    Returns
    -------
    dict
        Arguments of :class:`Detector`: residual, latent, disagreement, grain and step. Rows of unusable spectra are
        NaN; the values given for them are ignored, see :func:`replace_unusable`.
    """
    flux = np.asarray(flux, np.float32)
    usable, replaced = _usable(flux)[:, None], replace_unusable(flux)
    features = {
        "residual": _without_continuum(replaced, reconstruction),
        "latent": latent,
        "disagreement": disagreement,
        "grain": _grain(replaced, step),
    }
    return {name: np.where(usable, value, np.nan) for name, value in features.items()} | {"step": step}


def _without_continuum(flux, model, degree=2):
    """Flux minus model (n, n_pixels), after multiplying the model by the best-fitting Chebyshev polynomial."""
    basis = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, flux.shape[1]), degree)
    design = model[:, :, None].astype(float) * basis
    normal = design.transpose(0, 2, 1) @ design
    right = design.transpose(0, 2, 1) @ flux[:, :, None].astype(float)
    return flux - (design @ np.linalg.solve(normal, right))[..., 0]


def _windows(values, width):
    """Means (n, n_windows) of values (n, n_pixels) over windows of about ``width`` pixels that cover all pixels."""
    n = values.shape[1]
    edges = np.linspace(0, n, max(1, round(n / width)) + 1).astype(int)
    return np.add.reduceat(values, edges[:-1], axis=1) / np.diff(edges)


def _grain(flux, step):
    """Logarithm of the noise from pixel to pixel, (n, n_windows): rms of fourth differences, insensitive to lines."""
    fourth = np.diff(flux.astype(float), 4, axis=1) / np.sqrt(70)
    return 0.5 * np.log(_windows(fourth**2, GRAIN_WINDOW / step) + 1e-14)


class Detector:
    """Four scores that increase with the distance of a spectrum from the reference stars, and their p-values.

    reconstruction
        Logarithm of the largest rms residual of a window of 5 A, with each pixel in units of its usual residual. Local,
        because a second star or a gap leaves most of the spectrum unchanged.
    latent
        Squared Mahalanobis distance of the features from those of the reference, with a shrunk covariance [1]_. For a
        reference star, mean and covariance are those of all others.
    disagreement
        Largest difference between the labels of two methods, in units of the expected error.
    grain
        Logarithm of the largest ratio, up or down, of the noise in a window of 1 A to its usual value. An interpolated
        gap has too little noise, and so has a spectrograph of lower resolution, whose spectra resemble fast rotators.

    Parameters
    ----------
    residual : array of shape (n, n_pixels)
    latent : array of shape (n, n_features)
    disagreement : array of shape (n, 4)
    grain : array of shape (n, n_windows)
    step : float, A
        All of the reference stars, from :func:`measure`.

    Notes
    -----
    The p-value of a score is the share of reference stars, including the star itself, that reach it. The p-value of a
    star is four times the smallest of its four (Bonferroni), at most 1; a score that is not finite gets the smallest
    possible value, 4 / (n + 1) with n reference stars. A level of 0.05 needs n >= 79. These conformal p-values [2]_
    assume nothing about the distribution of the scores, only that ordinary stars are drawn like the reference and
    observed with the same instrument.

    References
    ----------
    .. [1] Ledoit & Wolf (2004, J. Multivar. Anal. 88, 365).
    .. [2] Bates et al. (2023, Ann. Statist. 51, 149).
    """

    _STATE = ("usual", "offset", "noise", "centre", "inverse")

    def __init__(self, residual, latent, disagreement, grain, step):
        from sklearn.covariance import LedoitWolf  # takes seconds to import, which a stored detector does without

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
        """Squared distance (n,) of each star from all others, with the shrinkage of all; Sherman & Morrison (1950)."""
        n, d = len(latent), latent - shrunk.location_
        kept = (1 - shrunk.shrinkage_) * n / (n - 1)
        most = kept * d.T @ d / n + shrunk.shrinkage_ * np.mean(d**2) * np.eye(d.shape[1])
        inside = np.einsum("ij,jk,ik->i", d, np.linalg.pinv(most, hermitian=True), d)
        return (n / (n - 1)) ** 2 * inside / (1 - kept / (n - 1) * inside)

    def state(self):
        """Return the detector as a dict of arrays, see :meth:`from_state`."""
        plain = {name: np.asarray(getattr(self, name)) for name in self._STATE}
        return plain | {f"reference_{name}": values for name, values in self.reference.items()}

    @classmethod
    def from_state(cls, arrays):
        """Restore a detector from its :meth:`state`."""
        out = cls.__new__(cls)
        for name in cls._STATE:
            setattr(out, name, arrays[name])
        out.reference = {name: arrays[f"reference_{name}"] for name in SCORES}
        return out

    def without(self, rows):
        """Return the detector with some stars left out of its reference, but with the same scores.

        Parameters
        ----------
        rows : (n,) array of bool
            Reference stars to leave out.
        """
        out = copy.copy(self)
        out.reference = {name: values[~rows] for name, values in self.reference.items()}
        return out

    def score(self, residual, latent, disagreement, grain, step):
        """Compute the scores of stars, measured like the reference.

        Returns
        -------
        dict of name -> array of shape (n,)
            Infinite where a score is not finite.
        """
        d = latent - self.centre
        values = (
            0.5 * np.log(_windows((residual / self.usual) ** 2, RESIDUAL_WINDOW / step).max(1) + 1e-14),
            np.einsum("ij,jk,ik->i", d, self.inverse, d),
            np.abs(disagreement - self.offset).max(1),
            np.abs(grain - self.noise).max(1),
        )
        return {name: np.where(np.isfinite(v), v, np.inf) for name, v in zip(SCORES, values, strict=True)}

    def p_values(self, residual, latent, disagreement, grain, step, *, among=slice(None)):
        """Compute the p-values of stars, measured like the reference.

        Parameters
        ----------
        residual, latent, disagreement, grain, step
            As for the class.
        among : slice or array, optional
            Reference stars to compare with; by default all.

        Returns
        -------
        p : array of shape (n,)
        score : array of str, shape (n,)
            Name of the score with the smallest p-value.
        """
        scores = self.score(residual, latent, disagreement, grain, step)
        p = np.stack([_reached(scores[name], self.reference[name][among]) for name in SCORES])
        return np.minimum(1.0, len(SCORES) * p.min(0)), np.asarray(SCORES)[p.argmin(0)]


def _reached(score, reference):
    """Share of the reference stars, and of the star itself, whose score is at least ``score``: (n,)."""
    n = len(reference)
    return (1 + n - np.searchsorted(np.sort(reference), score, "left")) / (1 + n)


def flag_rates(reference, groups, level=0.05):
    """Share of spectra with p <= level in each group.

    Parameters
    ----------
    reference : dict
        Ordinary stars, from :func:`measure`.
    groups : dict of name -> dict
        Other spectra, likewise.
    level : float

    Returns
    -------
    dict of name -> float
    """
    detector = Detector(**reference)
    return {name: float(np.mean(detector.p_values(**group)[0] <= level)) for name, group in groups.items()}
