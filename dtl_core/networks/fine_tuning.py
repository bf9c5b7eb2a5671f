"""Fine-tuning of a trained autoencoder on observed spectra, without labels (paper, section 3.2).

The regressors are trained on latents of synthetic spectra. To make the latents of observed spectra comparable, the late
layers of the autoencoder are trained further, with the same loss, to reconstruct observed spectra. The regressors and
the latents of the synthetic spectra stay as they are.
"""

from __future__ import annotations

import copy

import numpy as np
import torch

from .autoencoder import autoencoder_loss
from .training import fit_members

__all__ = ["fine_tune", "reconstruction_error"]


def fine_tune(model, flux, train, test, config, *, l1, seeds, progress=None, checkpoint=None):
    """Retrain the late layers of autoencoders on observed spectra.

    The first ``config.transfer.frozen_layers`` encoder layers are frozen: 4 in the paper, which leaves the last encoder
    layer, the bottleneck and the decoder to be trained.

    Parameters
    ----------
    model : Autoencoder
        E members, trained on synthetic spectra. Not modified.
    flux : tensor of shape (n_stars, n_pixels)
        Observed spectra, continuum = 1.
    train, test : arrays of int
        Row numbers of the stars to train on, and of those on which to evaluate after each epoch; ``test`` may be None.
    config : Config
        ``transfer`` and the contractive penalty of ``autoencoder`` are used.
    l1 : tensor of shape (E,)
        L1 factor of each member, see :func:`~dtl_core.networks.autoencoder.autoencoder_loss`.
    seeds : sequence of int, length E
        Seeds of the order of the batches.
    progress : callable, optional
        Called once per epoch.
    checkpoint : Checkpoint, optional

    Returns
    -------
    tuned : Autoencoder
    history : dict
        See :func:`~dtl_core.networks.training.fit_members`; ``test`` holds reconstruction errors.

    Examples
    --------
    Fine-tune a model on spectra whose line is deeper than in the synthetic ones:

    >>> import numpy as np, torch
    >>> from dtl_core.config import load_profile
    >>> from dtl_core.networks.autoencoder import Autoencoder
    >>> from dtl_core.networks.fine_tuning import fine_tune, reconstruction_error
    >>> line = torch.exp(-((torch.arange(40) - 20) ** 2) / 50)
    >>> synthetic, observed = (1 - torch.linspace(low, 0.9, 30)[:, None] * line for low in (0.1, 0.5))
    >>> model = Autoencoder(n_pixels=40, width=32, seeds=[0], bottleneck=4, sample=synthetic)
    >>> config = load_profile("demo", {"transfer.epochs": 10})
    >>> train, test = np.arange(20), np.arange(20, 30)
    >>> tuned, history = fine_tune(model, observed, train, test, config, l1=torch.tensor([1e-7]), seeds=[0])
    >>> bool(reconstruction_error(tuned, observed) < reconstruction_error(model, observed))
    True
    >>> torch.equal(tuned.encoder[0].weight, model.encoder[0].weight)
    True
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
            "evaluate": None if test is None else lambda m: reconstruction_error(m, flux[test]),
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


def reconstruction_error(model, flux, inputs=None, batch_size=2048):
    """Mean squared error of the reconstruction by each member, in units of the continuum.

    Parameters
    ----------
    model : Autoencoder
    flux : tensor of shape (n, n_pixels)
    inputs : tensor, optional
        What the model takes, if not the fluxes; see :class:`~dtl_core.networks.low_rank.LowRankAutoencoder`.
    batch_size : int
        Spectra per batch, to limit memory.

    Returns
    -------
    tensor of shape (E,)
    """
    parts = zip(flux.split(batch_size), (flux if inputs is None else inputs).split(batch_size), strict=True)
    with torch.no_grad():
        return sum(((model(seen) - part) ** 2).mean(2).sum(1) for part, seen in parts) / len(flux)
