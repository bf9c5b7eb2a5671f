"""Training of an emulator of spectra as a function of the labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..networks.training import fit
from .spectrum_model import SpectrumModel, plane_terms, rotation_of

__all__ = ["Emulator", "fit_emulator", "load_emulator"]


DERIVED = ("table", "mirrored", "frequency")  # buffers that follow from the others


class Emulator(SpectrumModel, nn.Module):
    """An emulator of spectra that can be trained; see :class:`~dtl_core.bridging.spectrum_model.SpectrumModel`.

    Parameters
    ----------
    labels : tensor of shape (n, 4)
        Training set, for the scaling.
    flux : tensor of shape (n, n_pixels)
        Continuum = 1; the network starts at its mean.
    wavelength : array of shape (n_pixels,), A
        Evenly spaced.
    width : int
        Neurons of the hidden layers.
    seed : int
    limb_darkening : float
        Linear coefficient.
    """

    def __init__(self, labels, flux, wavelength, *, width=256, seed=0, limb_darkening=0.6):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        low, high = labels.amin(0), labels.amax(0)
        pixels = flux.shape[1]
        for name, value in (("low", low), ("high", high), ("mean", flux.mean(0))):
            self.register_buffer(name, value)
        self.register_buffer("offset", torch.zeros(pixels))
        self.register_buffer("scale", torch.ones(pixels))
        # log g as the synthetic set has it: a quadratic in scaled Teff and [M/H] with its scatter
        x = (labels - low) / (high - low)
        design, wanted = plane_terms(x).double().numpy(), x[:, 1].double().numpy()
        # numpy, because the last digits of torch's least squares differ from call to call
        solved = np.linalg.lstsq(design, wanted, rcond=None)[0]
        self.register_buffer("plane", torch.as_tensor(solved, dtype=torch.float32))
        about = max(float((wanted - design @ solved).std()), 0.01)
        self.register_buffer("about_plane", torch.tensor(about, dtype=torch.float32))
        rotation = rotation_of(wavelength, float(high[3]), limb_darkening)
        self.reach = rotation.reach
        for name in ("mirrored", "frequency", "table"):
            self.register_buffer(name, torch.as_tensor(getattr(rotation, name)))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in ((4, width), (width, width), (width, pixels)))
        with torch.no_grad():
            for layer in self.layers:
                bound = (6 / sum(layer.weight.shape)) ** 0.5
                layer.weight.copy_((torch.rand(layer.weight.shape, generator=generator) * 2 - 1) * bound)
                layer.bias.zero_()
            self.layers[-1].weight.mul_(0.1)

    forward = SpectrumModel.spectra
    reconstruct = torch.no_grad()(SpectrumModel.reconstruct)


def fit_emulator(
    flux, labels, train, wavelength, *, epochs=60, batch_size=64, learning_rate=3e-3, width=256, seed=0, progress=None
):
    """Train an emulator on synthetic spectra.

    Parameters
    ----------
    flux : tensor of shape (n, n_pixels)
    labels : tensor of shape (n, 4)
    train : array of int
        Rows to train on.
    wavelength : array of shape (n_pixels,), A
    epochs, batch_size, learning_rate, progress
        As for :func:`dtl_core.networks.training.fit`.
    width, seed
        As for :class:`Emulator`.

    Returns
    -------
    Emulator
    """
    model = Emulator(labels[train], flux[train], wavelength, width=width, seed=seed)

    def loss(m, rows):
        return ((m(labels[rows[0]]) - flux[rows[0]]) ** 2).mean().reshape(1)

    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "schedule": "one-cycle"}
    fit(model, loss, np.asarray(train)[None], seeds=[seed], progress=progress, **settings)
    return model


def load_emulator(state, wavelength, limb_darkening):
    """An emulator with given weights, for further training.

    Parameters
    ----------
    state : dict of str to tensor
        Weights by name; the buffers that follow from others may be left out.
    wavelength : array of shape (n_pixels,), A
    limb_darkening : float

    Returns
    -------
    Emulator
    """
    ends, flux = torch.stack([state["low"], state["high"]]), state["mean"].expand(2, -1)
    width = len(state["layers.0.bias"])
    emulator = Emulator(ends, flux, wavelength, width=width, limb_darkening=limb_darkening)
    emulator.load_state_dict(state | {name: getattr(emulator, name) for name in DERIVED})
    return emulator.eval()
