"""Fine-tuning of a trained autoencoder on observed spectra, without labels (paper, section 3.2)."""

from __future__ import annotations

import copy

import numpy as np
import torch

from .autoencoder import autoencoder_loss
from .training import fit_members

__all__ = ["fine_tune", "reconstruction_error"]


def reconstruction_error(model, flux, batch_size=2048):
    """Mean squared error of each member's reconstruction, in flux units: (E,), continuum = 1."""
    with torch.no_grad():
        parts = [((model(part) - part) ** 2).mean(2).sum(1) for part in flux.split(batch_size)]
        return sum(parts) / len(flux)


def fine_tune(model, flux, train, test, config, *, l1, seeds, progress=None, checkpoint=None):
    """A copy of a stack of autoencoders, their late layers retrained on observed spectra.

    The first ``frozen_layers`` encoder layers stay as they are; the rest of the encoder, the bottleneck and the decoder
    are trained with the same loss.

    Arguments
    ---------
    model : Autoencoder, E of them, trained on synthetic spectra; left as it is
    flux : (n_stars, n_pixels) observed, continuum = 1
    train, test : row numbers
    config : Config
    l1 : (E,)
    seeds : one integer a member: the order of its batches

    Returns
    -------
    Autoencoder, and the history of :func:`dtl_core.networks.training.fit_members`.
    """
    settings, terms = config.transfer, config.autoencoder

    def task(members):
        tuned = copy.deepcopy(model) if len(members) == len(seeds) else model.members(members)
        penalty = l1[members]
        return {
            "model": tuned.freeze(settings.frozen_layers),
            "loss": lambda m, rows: autoencoder_loss(
                m, flux[rows], l1=penalty, weight=terms.contractive_weight, form=terms.contractive
            ),
            "index": np.repeat(train[None], len(members), 0),
            "seeds": [seeds[k] for k in members],
            "evaluate": lambda m: reconstruction_error(m, flux[test]),
        }

    return fit_members(
        task,
        len(seeds),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        precision=config.precision,
        progress=progress,
        checkpoint=checkpoint,
    )
