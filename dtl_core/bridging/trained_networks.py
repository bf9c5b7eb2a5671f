"""Networks on fluxes after training: estimates on NumPy, without PyTorch."""

from __future__ import annotations

import numpy as np

from ..arrays import check_shapes
from ..parameters import PARAMETERS

__all__ = ["CONVOLUTIONS", "DENSE", "TrainedFluxNet"]


CONVOLUTIONS = ((1, 16, 11, 4), (16, 32, 7, 4), (32, 32, 5, 2))  # channels in and out, kernel, stride
DENSE = (128, 64)  # neurons of the dense layers


def _convolved(x, weight, bias, stride):
    """Convolve (n, channels, length) with (channels out, channels, kernel): (n, channels out, shorter)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], axis=2)[:, :, ::stride]
    columns = windows.transpose(0, 2, 1, 3).reshape(len(x), windows.shape[2], -1)  # one matrix product per spectrum
    return (columns @ weight.reshape(len(weight), -1).T + bias).transpose(0, 2, 1)


def _shapes(n_pixels):
    """Shapes of the weights by name."""
    n_labels, length = len(PARAMETERS), n_pixels
    shapes = {"centre": (n_pixels,), "spread": (), "label_mean": (n_labels,), "label_spread": (n_labels,)}
    layers = {}
    for number, (n_in, n_out, kernel, stride) in enumerate(CONVOLUTIONS):
        layers[f"convolutions.{2 * number}"] = (n_out, n_in, kernel)
        length = (length - kernel) // stride + 1
    layers |= {"dense.0": (DENSE[0], n_out * length), "dense.2": DENSE[::-1]}
    layers |= dict.fromkeys(("head", "log_spread"), (n_labels, DENSE[1]))
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


class TrainedFluxNet:
    """A :class:`dtl_core.bridging.flux_networks.FluxNet` after training.

    Parameters
    ----------
    arrays : dict of str to array of float32
        Its weights by name.
    n_pixels : int

    Raises
    ------
    ValueError
        A weight is missing or has another shape.
    """

    def __init__(self, arrays, n_pixels):
        check_shapes(arrays, _shapes(n_pixels))
        self.arrays = arrays

    def _dense(self, name, x):
        return x @ self.arrays[f"{name}.weight"].T + self.arrays[f"{name}.bias"]

    def features(self, flux):
        """Features (n, 64) of spectra (n, n_pixels)."""
        x = ((flux - self.arrays["centre"]) / self.arrays["spread"])[:, None]
        for number, (*_, stride) in enumerate(CONVOLUTIONS):
            name = f"convolutions.{2 * number}"  # every second layer is an activation
            x = np.maximum(_convolved(x, self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"], stride), 0)
        x = np.ascontiguousarray(x).reshape(len(x), -1)
        for name in ("dense.0", "dense.2"):
            x = np.maximum(self._dense(name, x), 0)
        return x

    def __call__(self, flux):
        """Labels and their standard errors, (n, 4) both."""
        features, spread = self.features(flux), self.arrays["label_spread"]
        labels = self._dense("head", features) * spread + self.arrays["label_mean"]
        return labels, np.exp(self._dense("log_spread", features)) * spread
