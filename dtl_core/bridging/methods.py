"""The domain-adaptation methods that the benchmark compares, all with the same data, seed and budget.

Every method is a class with two calls:

    method.fit(problem)     learns from labelled synthetic spectra and, if it can, from unlabelled observed spectra
    method.predict(flux)    labels (n_stars, 4) of observed spectra (n_stars, n_pixels)

``fit`` is ``learn``, from the synthetic spectra alone, followed by ``adapt``, to the observed spectra; ``adapt`` can be
repeated for other stars. An ``anchored`` method knows the true labels of the anchor stars in ``problem`` and of no
other star; the others know none.
"""

from __future__ import annotations

from .corrections import (
    Anchored,
    Combined,
    CombinedWithoutAnchors,
    LeastSquaresAnchored,
    LeastSquaresSelfCalibrated,
    SelfCalibrated,
    ZeroPoints,
    ZeroPointsFineTuned,
    ZeroPointsNoTransfer,
)
from .fits import ChiSquare, LeastSquares
from .flux_networks import Adversarial, Aligned, Augmented, Informed, InformedPosterior, OnFluxes, Randomised
from .latent_networks import (
    Direct,
    FineTuned,
    FrozenDecoder,
    NoisyAutoencoder,
    NoisyFineTuned,
    NoisyPrincipalComponents,
    PrincipalComponents,
    RefittedPrincipalComponents,
)

__all__ = ["METHODS"]


METHODS = {
    "no transfer": OnFluxes,
    "principal components": PrincipalComponents,
    "principal components, noise": NoisyPrincipalComponents,
    "principal components, refitted": RefittedPrincipalComponents,
    "autoencoder": Direct,
    "autoencoder, noise": NoisyAutoencoder,
    "fine-tuned": FineTuned,
    "fine-tuned, noise": NoisyFineTuned,
    "frozen decoder": FrozenDecoder,
    "aligned": Aligned,
    "adversarial": Adversarial,
    "augmented": Augmented,
    "randomised": Randomised,
    "informed": Informed,
    "informed, posterior": InformedPosterior,
    "self-calibrated": SelfCalibrated,
    "zero points, no transfer": ZeroPointsNoTransfer,
    "zero points, fine-tuned": ZeroPointsFineTuned,
    "zero points": ZeroPoints,
    "anchored": Anchored,
    "combined, no anchors": CombinedWithoutAnchors,
    "combined": Combined,
    "chi-square": ChiSquare,
    "least squares": LeastSquares,
    "least squares self-calibrated": LeastSquaresSelfCalibrated,
    "least squares anchored": LeastSquaresAnchored,
}
