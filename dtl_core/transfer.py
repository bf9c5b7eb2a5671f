"""Fine-tuning of a trained autoencoder on observed spectra, without labels (paper, section 3.2)."""

from __future__ import annotations

import copy

import torch

from .autoencoder import autoencoder_loss
from .training import fit

__all__ = ["fine_tune", "reconstruction_error"]


def reconstruction_error(model, flux):
    """Mean squared error of each member's reconstruction, in flux units: (E,), continuum = 1."""
    with torch.no_grad():
        return ((model(flux) - flux) ** 2).mean((1, 2))


def fine_tune(model, flux, train, test, config, *, l1, seed, progress=None):
    """A copy of the autoencoder, its late layers retrained on observed spectra.

    The first ``frozen_layers`` encoder layers stay as they are; the rest of the encoder, the bottleneck and the decoder
    are trained with the same loss.

    Arguments
    ---------
    model : Autoencoder, trained on synthetic spectra; left as it is
    flux : (n_stars, n_pixels) observed, continuum = 1
    train, test : row numbers
    config : Config
    l1 : (E,)

    Returns
    -------
    Autoencoder, and the history of :func:`dtl_core.training.fit`.
    """
    settings, loss = config.transfer, config.autoencoder
    tuned = copy.deepcopy(model).freeze(settings.frozen_layers)
    history = fit(
        tuned,
        lambda m, rows: autoencoder_loss(
            m, flux[rows[0]], l1=l1, weight=loss.contractive_weight, form=loss.contractive
        ),
        train[None],
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seeds=[seed],
        evaluate=lambda m: reconstruction_error(m, flux[test]),
        progress=progress,
    )
    return tuned, history
