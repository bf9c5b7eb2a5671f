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
    "autoencoder_task",
    "device_settings",
    "encode",
    "flux_of",
    "histories_of",
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


def autoencoder_task(config, flux, rows, held_out, width, l1, seeds, weight):
    """Arguments model, loss and evaluate of :func:`~dtl_core.networks.training.fit` for untrained autoencoders.

    Parameters
    ----------
    config : Config
    flux : tensor of shape (n, n_pixels)
    rows, held_out : arrays of int
        Spectra to train on, and those whose reconstruction error is measured.
    width : int
    l1 : sequence of float, length E
    seeds : sequence of int, length E
    weight : float
        Of the contractive penalty.

    Returns
    -------
    dict
        The model is a :class:`~dtl_core.networks.low_rank.LowRankAutoencoder` unless ``autoencoder.components`` is 0.
    """
    import torch

    from ...networks.autoencoder import Autoencoder, autoencoder_loss
    from ...networks.fine_tuning import reconstruction_error
    from ...networks.low_rank import LowRankAutoencoder

    settings, inputs = config.autoencoder, flux
    model = Autoencoder(
        flux.shape[1],
        width,
        seeds,
        bottleneck=settings.bottleneck,
        flux_ceiling=settings.flux_ceiling,
        sample=flux[rows] if settings.centred else None,
    ).to(flux.device)
    if settings.components:
        model = LowRankAutoencoder(model, flux[rows], min(settings.components, len(rows), flux.shape[1]))
        inputs = model.coefficients(flux)
    factor, form = torch.tensor(l1, device=flux.device), settings.contractive
    seen, truth = inputs[held_out], flux[held_out]

    def loss(m, batch):
        return autoencoder_loss(m, flux[batch], inputs=inputs[batch], l1=factor, weight=weight, form=form)

    return {"model": model, "loss": loss, "evaluate": lambda m: reconstruction_error(m, truth, seen)}


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
