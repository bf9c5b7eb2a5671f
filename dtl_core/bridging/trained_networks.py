"""Networks on fluxes after training: estimates on NumPy, without PyTorch."""

from __future__ import annotations

import numpy as np

__all__ = ["CONVOLUTIONS", "TrainedFluxNet"]


CONVOLUTIONS = ((1, 16, 11, 4), (16, 32, 7, 4), (32, 32, 5, 2))  # channels in and out, kernel, stride


def _convolved(x, weight, bias, stride):
    """Convolve (n, channels, length) with (channels out, channels, kernel): (n, channels out, shorter)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], axis=2)[:, :, ::stride]
    columns = windows.transpose(0, 2, 1, 3).reshape(len(x), windows.shape[2], -1)  # one matrix product per spectrum
    return (columns @ weight.reshape(len(weight), -1).T + bias).transpose(0, 2, 1)


class TrainedFluxNet:
    """A :class:`dtl_core.bridging.flux_networks.FluxNet` after training.

    Parameters
    ----------
    arrays : dict of str to array of float32
        Its weights by name.
    """

    def __init__(self, arrays):
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
