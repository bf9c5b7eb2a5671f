"""Stages ``candidate`` and ``regressor_candidate``: cross-validated errors of the candidates of the searches."""

from __future__ import annotations

import numpy as np

from ...files import load_arrays, save_arrays
from .shared import (
    architecture_settings,
    autoencoder_task,
    device_settings,
    flux_of,
    tensors,
)

__all__ = ["score_candidates", "score_regressors"]


def score_candidates(store, config, keys, candidates, epochs, progress=None):
    """Cross-validate autoencoders of one width and learning rate, as one stack; the score is the plain MSE.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Key of the stage ``synthetic``.
    candidates : list of (width, l1, learning_rate)
    epochs : int
    progress : callable, optional
        Called once per epoch.

    Returns
    -------
    list of str
        Key of the stage ``candidate`` for each candidate.
    """
    from ...networks.training import choose_device, fit, split
    from ..search import folds

    ((width, rate),) = {(width, rate) for width, _, rate in candidates}
    settings = config.search

    def compute(missing, folders, checkpoint):
        flux = flux_of(store, "synthetic", keys["synthetic"], choose_device(config.device))
        train, _ = split(len(flux), config.autoencoder.test_fraction, [config.seed, 2])
        if settings.fraction < 1:
            _, train = (train[part] for part in split(len(train), settings.fraction, [config.seed, 6]))
        l1 = [candidates[number][1] for number in missing]
        scores = np.empty((len(missing), settings.folds))
        for k, (rest, held_out) in enumerate(folds(train, settings.folds, [config.seed, 3])):
            task = autoencoder_task(config, flux, rest, held_out, width, l1, [1000 + k] * len(missing), 0.0)
            evaluate = task.pop("evaluate")  # once, at the end
            fit(
                **task,
                index=np.repeat(rest[None], len(missing), 0),
                epochs=epochs,
                batch_size=config.autoencoder.batch_size,
                learning_rate=rate,
                seeds=[k] * len(missing),
                schedule=config.autoencoder.schedule,
                precision=config.precision,
                progress=progress,
            )
            scores[:, k] = np.nan_to_num(evaluate(task["model"]).cpu().numpy(), nan=np.inf)
        for folder, mse in zip(folders, scores, strict=True):
            save_arrays(folder / "scores.safetensors", {"mse": mse})

    architecture = architecture_settings(config)
    for name in ("epochs", "contractive", "contractive_weight"):  # of the training, not of the search
        del architecture[name]
    common = {"rate": rate, "width": width, "architecture": architecture, "seed": config.seed} | device_settings(config)
    common["search"] = {"folds": settings.folds, "fraction": settings.fraction, "epochs": epochs}
    items = [(common | {"l1": l1}, {"synthetic": keys["synthetic"]}) for _, l1, _ in candidates]
    return [key for _, key in store.stages("candidate", items, compute)]


def score_regressors(store, config, keys, transferred, net, kinds, epochs, progress=None):
    """Cross-validate one regressor architecture on the latents of one autoencoder, all folds as one stack.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Key of the stage ``synthetic``.
    transferred : str
        Key of the autoencoder's stage ``transfer``.
    net : RegressorConfig
    kinds : list of int
        Numbers of the parameters to estimate.
    epochs : int
    progress : callable, optional
        Called once per epoch.

    Returns
    -------
    list of str
        Key of the stage ``regressor_candidate`` for each parameter.
    """
    import torch

    from ...networks.regressor import RegressionTask
    from ...networks.training import choose_device
    from ..search import folds

    settings = config.search

    def compute(missing, folders, checkpoint):
        device = choose_device(config.device)
        labels = load_arrays(store.path("synthetic", keys["synthetic"]) / "synthetic.safetensors")["labels"]
        latents = tensors(store.path("transfer", transferred) / "latents.safetensors")["synthetic"].to(device)
        task = RegressionTask(latents[None], labels, config)
        tried = np.array([kinds[number] for number in missing])
        parts = [folds(np.asarray(row), settings.folds, [config.seed, 3]) for row in task.rows(tried)[0].cpu()]
        sides = []
        for side in (0, 1):
            length = min(len(fold[side]) for part in parts for fold in part)
            rows = np.stack([fold[side][:length] for part in parts for fold in part])
            sides.append(torch.as_tensor(rows, device=device))
        kind, number = np.repeat(tried, settings.folds), np.tile(np.arange(settings.folds), len(tried))
        _, history = task.fit(net, 0 * kind, kind, 10 * kind + number, rows=sides, epochs=epochs, progress=progress)
        scores = history["test"][-1].reshape(len(tried), settings.folds)
        for folder, mse in zip(folders, scores, strict=True):
            save_arrays(folder / "scores.safetensors", {"mse": mse.astype(float)})
        return history["seconds"]

    plain = {k: getattr(config.regression, k) for k in ("batch_size", "test_fraction", "schedule")}
    common = {"net": net, "regression": plain, "seed": config.seed, "folds": settings.folds, "epochs": epochs}
    items = [
        (common | device_settings(config) | {"kind": int(k)}, {"transfer": transferred, "synthetic": keys["synthetic"]})
        for k in kinds
    ]
    return [key for _, key in store.stages("regressor_candidate", items, compute)]
