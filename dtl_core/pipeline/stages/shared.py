"""Functions that the stages that train networks share."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

from ...files import load_arrays

__all__ = [
    "ENCODERS",
    "Member",
    "architecture_settings",
    "device_settings",
    "encode",
    "flux_of",
    "histories_of",
    "loss_of",
    "new_autoencoder",
    "tensors",
]

ENCODERS = ("transfer", "direct")  # observed latents from the fine-tuned encoder, or from the one before


@functools.lru_cache(maxsize=2)
def tensors(path):
    """Load the arrays of a file as tensors; the last two files are kept in memory."""
    import torch

    return {name: torch.from_numpy(array) for name, array in load_arrays(path).items()}


def flux_of(store, name, key, device):
    """Load the fluxes of the stage ``synthetic`` or ``observed``: tensor (n, n_pixels)."""
    return tensors(store.path(name, key) / f"{name}.safetensors")["flux"].to(device)


def loss_of(config, flux, l1, weight):
    """Loss of a stack of autoencoders as a function of the model and row numbers."""
    from ...networks.autoencoder import autoencoder_loss

    form = config.autoencoder.contractive
    return lambda m, rows: autoencoder_loss(m, flux[rows], l1=l1, weight=weight, form=form)


def new_autoencoder(config, flux, train, width, seeds):
    """Create a stack of untrained autoencoders, one per seed."""
    from ...networks.autoencoder import Autoencoder

    settings = config.autoencoder
    return Autoencoder(
        flux.shape[1],
        width,
        seeds,
        bottleneck=settings.bottleneck,
        flux_ceiling=settings.flux_ceiling,
        sample=flux[train] if settings.centred else None,
    ).to(flux.device)


def architecture_settings(config):
    """Settings that all autoencoders have in common; width, L1 factor and seed differ."""
    plain = dataclasses.asdict(config.autoencoder)
    return {k: plain[k] for k in plain if k not in ("widths", "l1", "n_models", "learning_rate")}


def device_settings(config):
    """Kind of device and precision, which belong to the key: CPU and GPU do not give the same bytes."""
    from ...networks.training import choose_device

    return {"device": choose_device(config.device).type, "precision": config.precision}


class Member(NamedTuple):
    """An autoencoder of the ensemble, with its fine-tuning and its regressors.

    Attributes
    ----------
    width : int
        Neurons of the first layer.
    l1 : float
        Factor of the penalty.
    seed : int
    """

    width: int
    l1: float
    seed: int


def histories_of(history, columns):
    """History of some members of a stack, without times, so that two runs give the same bytes."""
    return {name: value[..., columns] for name, value in history.items() if name != "seconds"}


def encode(model, flux, batch_size=2048):
    """Latents (n_models, n, n_units) of any number of spectra, in batches to save memory."""
    import torch

    with torch.no_grad():
        return torch.cat([model.encode(part) for part in flux.split(batch_size)], dim=1)
