"""Stage ``autoencoder``: autoencoders trained on synthetic spectra."""

from __future__ import annotations

import numpy as np

from ...files import save_arrays
from .shared import (
    architecture_settings,
    autoencoder_task,
    device_settings,
    flux_of,
    histories_of,
)

__all__ = ["train_autoencoders"]


def train_autoencoders(store, config, keys, members, progress=None):
    """Train autoencoders of one width on synthetic spectra, as one stack.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Key of the stage ``synthetic``.
    members : list of Member
    progress : callable, optional
        Called once per epoch.

    Returns
    -------
    list of str
        Key of the stage ``autoencoder`` for each member.
    """
    from ...networks.stacks import take
    from ...networks.training import Checkpoint, choose_device, fit_members, split

    settings = config.autoencoder

    def compute(missing, folders, checkpoint):
        flux = flux_of(store, "synthetic", keys["synthetic"], choose_device(config.device))
        train, test = split(len(flux), settings.test_fraction, [config.seed, 2])
        chosen = [members[k] for k in missing]

        def task(numbers):
            l1, seeds = [chosen[k].l1 for k in numbers], [chosen[k].seed for k in numbers]
            weight = settings.contractive_weight
            arguments = autoencoder_task(config, flux, train, test, chosen[0].width, l1, seeds, weight)
            return arguments | {"index": np.repeat(train[None], len(numbers), 0), "seeds": seeds}

        model, history = fit_members(
            task,
            len(chosen),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            schedule=settings.schedule,
            precision=config.precision,
            progress=progress,
            checkpoint=Checkpoint(checkpoint),
        )
        if settings.components:
            model = model.expanded()
        for number, folder in enumerate(folders):
            save_arrays(folder / "weights.safetensors", take(model, [number]))
            save_arrays(folder / "history.safetensors", histories_of(history, [number]))
        return history["seconds"]

    common = {"rate": settings.learning_rate, "architecture": architecture_settings(config), "seed": config.seed}
    items = [
        (
            common | device_settings(config) | {"width": m.width, "l1": m.l1, "member": m.seed},
            {"synthetic": keys["synthetic"]},
        )
        for m in members
    ]
    return [key for _, key in store.stages("autoencoder", items, compute)]
