"""The ways to bridge the synthetic gap that the test bench compares: the same data, seed and budget for each.

Every arm is a class with two calls:

    arm.fit(bench)          learns from labelled synthetic spectra and, where it can, from observed ones without labels
    arm.predict(flux)       (n_stars, 4) labels of observed spectra (n_stars, n_pixels)

``fit`` is ``learn``, from the synthetic spectra alone, and ``adapt``, to the observed ones, which can be done again for
others. Nothing but the anchor stars of ``bench`` tells an arm the truth of an observed star.
"""

from __future__ import annotations

from .corrections import (
    Anchored,
    Combined,
    LeastSquaresAnchored,
    LeastSquaresSelfCalibrated,
    SelfCalibrated,
    ZeroPoints,
)
from .fits import ChiSquare, LeastSquares
from .flux_networks import Adversarial, Aligned, OnFluxes, Randomised
from .latent_networks import Direct, FineTuned, FrozenDecoder

__all__ = ["ARMS"]


ARMS = {
    "no transfer": OnFluxes,
    "autoencoder": Direct,
    "fine-tuned": FineTuned,
    "frozen decoder": FrozenDecoder,
    "aligned": Aligned,
    "adversarial": Adversarial,
    "randomised": Randomised,
    "self-calibrated": SelfCalibrated,
    "zero points": ZeroPoints,
    "anchored": Anchored,
    "combined": Combined,
    "chi-square": ChiSquare,
    "least squares": LeastSquares,
    "least squares self-calibrated": LeastSquaresSelfCalibrated,
    "least squares anchored": LeastSquaresAnchored,
}
