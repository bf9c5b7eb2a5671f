"""Stage ``regression``: regressors of the four parameters on the latents."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ...files import load_arrays, save_arrays
from ...parameters import PARAMETERS
from .shared import ENCODERS, device_settings, tensors

__all__ = ["train_regressors"]


def train_regressors(store, config, keys, transferred, members, progress=None):
    """Train all regressors on the latents of some autoencoders: ``n_models`` for each of them and each parameter.

    Regressors of one shape and learning rate train as one stack, whatever their autoencoder and parameter.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Key of the stage ``synthetic``.
    transferred : list of str
        Key of the stage ``transfer`` for each member.
    members : list of Member
    progress : callable, optional
        Called once per epoch of a stack with its share of all regressors.

    Returns
    -------
    list of str
        Key of the stage ``regression`` for each member.
    """

    def compute(missing, folders, checkpoint):
        labels = load_arrays(store.path("synthetic", keys["synthetic"]) / "synthetic.safetensors")["labels"]
        latents = [tensors(store.path("transfer", transferred[k]) / "latents.safetensors") for k in missing]
        training = _Training(config, [members[k].seed for k in missing], latents, labels)
        checkpoints = training.checkpoints(checkpoint)
        seconds = training.train(checkpoints, progress)
        training.save(folders)
        for saved in checkpoints:
            saved.remove()
        return seconds

    plain = {k: v for k, v in dataclasses.asdict(config.regression).items() if k != "n_kept"}
    common = {"regression": plain, "seed": config.seed} | device_settings(config)
    items = [
        (common | {"member": member.seed}, {"transfer": key, "synthetic": keys["synthetic"]})
        for member, key in zip(members, transferred, strict=True)
    ]
    return [key for _, key in store.stages("regression", items, compute)]


class _Training:
    """The regressors of some autoencoders, in one long row: all of the first autoencoder, then of the second, ...

    Attributes
    ----------
    column : (n_each,) of the regressors of one autoencoder, their parameter
    owner, kind : (n,) of all regressors, their autoencoder and their parameter
    """

    def __init__(self, config, members, latents, labels):
        import torch

        from ...networks.regressor import RegressionTask
        from ...networks.training import choose_device

        device, settings = choose_device(config.device), config.regression
        self.latents = {name: torch.stack([part[name] for part in latents]).to(device) for name in latents[0]}
        self.task = RegressionTask(self.latents["synthetic"], labels, config)
        self.column = np.repeat(np.arange(len(PARAMETERS)), settings.n_models)
        each = len(self.column)
        self.owner, self.kind = np.repeat(np.arange(len(members)), each), np.tile(self.column, len(members))
        first = np.repeat([1000 * seed for seed in members], each)
        self.seeds = first + 10 * self.kind + np.tile(np.arange(settings.n_models), len(members) * len(PARAMETERS))
        self.nets = [getattr(settings, PARAMETERS[k]) for k in self.kind]
        self.estimates, self.histories, self.weights = {}, {}, [{} for _ in members]

    def checkpoints(self, path):
        """A checkpoint for each stack."""
        from ...networks.training import Checkpoint

        n = len(set(self.nets))
        return [Checkpoint(path.with_name(f"{path.stem}-{k}.safetensors"), keep=n > 1) for k in range(n)]

    def train(self, checkpoints, progress):
        """Train one stack after the other; returns the seconds from the start to each epoch."""
        seconds = 0.0
        for net, saved in zip(dict.fromkeys(self.nets), checkpoints, strict=True):
            rows = np.array([k for k, other in enumerate(self.nets) if other == net])
            model, history = self.task.fit(
                net,
                self.owner[rows],
                self.kind[rows],
                self.seeds[rows],
                progress=progress and functools.partial(progress, len(rows) / len(self.nets)),
                checkpoint=saved,
            )
            seconds = seconds + history.pop("seconds")
            self._keep(rows, model, history)
        return seconds

    def _keep(self, rows, model, history):
        """Keep estimates, histories and weights of a trained stack."""
        import torch

        from ...networks.stacks import take

        n, owner = len(self.nets), torch.as_tensor(self.owner[rows], device=self.latents["synthetic"].device)
        estimates = {encoder: model.predict(self.latents[encoder][owner]) for encoder in ENCODERS}
        _, test = self.task.rows(self.kind[rows])
        estimates["test_prediction"] = model.predict(self.latents["synthetic"][owner[:, None], test])
        for name, value in estimates.items():
            empty = np.zeros((n, value.shape[1]), np.float32)
            self.estimates.setdefault(name, empty)[rows] = value.cpu().numpy()
        for name, value in history.items():
            self.histories.setdefault(name, np.full((*value.shape[:-1], n), np.nan))[..., rows] = value
        for m, k in sorted(set(zip(self.owner[rows], self.kind[rows], strict=True))):
            own = np.flatnonzero((self.owner[rows] == m) & (self.kind[rows] == k))
            self.weights[m] |= {f"{PARAMETERS[k]}.{name}": value for name, value in take(model, own).items()}

    def save(self, folders):
        """Write the regressors of each autoencoder into its folder."""
        import torch

        from ...networks.regressor import live_units

        test, each = self.task.rows(self.column)[1], len(self.column)
        common = {"column": self.column, "test_truth": torch.gather(self.task.targets[self.column], 1, test)}
        for m, folder in enumerate(folders):
            save_arrays(folder / "weights.safetensors", self.weights[m])
            own = slice(m * each, (m + 1) * each)
            arrays = {name: value[own] for name, value in self.estimates.items()}
            arrays |= {f"history_{name}": value[..., own] for name, value in self.histories.items()}
            arrays["live"] = live_units(self.latents["synthetic"][m]).cpu().numpy().astype(np.uint8)
            save_arrays(folder / "estimates.safetensors", common | arrays)
