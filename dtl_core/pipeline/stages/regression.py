"""Stage ``regression``: regressors of the four parameters on the latents."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ...files import load_arrays, save_arrays
from ...parameters import PARAMETERS
from .shared import (
    ENCODERS,
    device_settings,
    tensors,
)

__all__ = ["train_regressors"]


def train_regressors(store, config, keys, transferred, members, progress=None):
    """All regressors on the latents of some autoencoders: every parameter, ``n_models`` each.

    Those of one shape and learning rate train as one stack, of whichever autoencoder and parameter they are.

    Arguments: transferred, a key for each of the members; progress, called once an epoch of a stack with its share of
    all regressors. Returns: list of keys.
    """
    import torch

    from ...networks.regressor import RegressionTask, live_units
    from ...networks.stacks import take
    from ...networks.training import Checkpoint, choose_device

    settings = config.regression
    n = settings.n_models
    each = len(PARAMETERS) * n  # regressors of one autoencoder
    column = np.repeat(np.arange(len(PARAMETERS)), n)  # the parameter of each of them

    def compute(missing, folders, checkpoint):
        device = choose_device(config.device)
        labels = load_arrays(store.path("synthetic", keys["synthetic"]) / "synthetic.safetensors")["labels"]
        stored = [tensors(store.path("transfer", transferred[k]) / "latents.safetensors") for k in missing]
        latents = {name: torch.stack([one[name] for one in stored]).to(device) for name in stored[0]}
        task = RegressionTask(latents["synthetic"], labels, config)
        owner = np.repeat(np.arange(len(missing)), each)
        kind = np.tile(column, len(missing))
        first = np.repeat([1000 * members[m].seed for m in missing], each)
        seeds = first + 10 * kind + np.tile(np.arange(n), len(kind) // n)
        nets = [getattr(settings, PARAMETERS[k]) for k in kind]
        out, histories, seconds = {}, {}, 0.0
        weights = [{} for _ in missing]
        stacks = list(dict.fromkeys(nets))
        checkpoints = [
            Checkpoint(checkpoint.with_name(f"{checkpoint.stem}-{number}.safetensors"), keep=len(stacks) > 1)
            for number in range(len(stacks))
        ]
        for net, saved in zip(stacks, checkpoints, strict=True):
            rows = np.array([k for k, other in enumerate(nets) if other == net])
            model, history = task.fit(
                net,
                owner[rows],
                kind[rows],
                seeds[rows],
                progress=progress and functools.partial(progress, len(rows) / len(nets)),
                checkpoint=saved,
            )
            seconds = seconds + history.pop("seconds")
            mine = torch.as_tensor(owner[rows], device=device)
            estimates = {encoder: model.predict(latents[encoder][mine]) for encoder in ENCODERS}
            _, test = task.rows(kind[rows])
            estimates["test_prediction"] = model.predict(latents["synthetic"][mine[:, None], test])
            for name, value in estimates.items():
                out.setdefault(name, np.zeros((len(nets), value.shape[1]), np.float32))[rows] = value.cpu().numpy()
            for name, value in history.items():
                histories.setdefault(name, np.full((*value.shape[:-1], len(nets)), np.nan))[..., rows] = value
            for m, k in sorted(set(zip(owner[rows], kind[rows], strict=True))):
                own = np.flatnonzero((owner[rows] == m) & (kind[rows] == k))
                weights[m] |= {f"{PARAMETERS[k]}.{name}": value for name, value in take(model, own).items()}
        test = task.rows(column)[1]
        common = {"column": column, "test_truth": torch.gather(task.targets[column], 1, test)}
        for m, folder in enumerate(folders):
            save_arrays(folder / "weights.safetensors", weights[m])
            own = slice(m * each, (m + 1) * each)
            arrays = {name: value[own] for name, value in out.items()}
            arrays |= {f"history_{name}": value[..., own] for name, value in histories.items()}
            arrays["live"] = live_units(latents["synthetic"][m]).cpu().numpy().astype(np.uint8)
            save_arrays(folder / "estimates.safetensors", common | arrays)
        for saved in checkpoints:
            saved.remove()
        return seconds

    plain = {k: v for k, v in dataclasses.asdict(settings).items() if k != "n_kept"}
    common = {"regression": plain, "seed": config.seed} | device_settings(config)
    items = [
        (common | {"member": member.seed}, {"transfer": key, "synthetic": keys["synthetic"]})
        for member, key in zip(members, transferred, strict=True)
    ]
    return [key for _, key in store.stages("regression", items, compute)]
