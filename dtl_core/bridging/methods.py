"""The domain-adaptation methods that the benchmark compares, all with the same data, seed and budget.

Every method is a class with two calls:

    method.fit(problem)     learns from labelled synthetic spectra and, if it can, from unlabelled observed spectra
    method.predict(flux)    labels (n_stars, 4) of observed spectra (n_stars, n_pixels)

``fit`` is ``learn``, from the synthetic spectra alone, followed by ``adapt``, to the observed spectra; ``adapt`` can be
repeated for other stars. A method knows the true labels of the anchor stars in ``problem`` and of no other star.
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

__all__ = ["METHODS"]


METHODS = {
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
