"""The one training loop, for any stack of models; and the random splits."""

from __future__ import annotations

import numpy as np
import torch

from .errors import DTLError

__all__ = ["choose_device", "fit", "split", "stratified_split"]


def choose_device(name="auto"):
    """``cuda`` when it is asked for or, with ``auto``, when there is one; else ``cpu``."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DTLError("no CUDA device was found", field="device", remedy="choose cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def split(n, test_fraction, seed):
    """Random train and test indices, sorted: two arrays that together hold 0..n-1 once."""
    order = np.random.default_rng(seed).permutation(n)
    n_test = max(1, round(n * test_fraction))
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def stratified_split(target, test_fraction, seed, n_strata=10):
    """Random train and test indices with the same distribution of ``target`` (n,): split within its quantiles."""
    rng = np.random.default_rng(seed)
    edges = np.unique(np.quantile(target, np.linspace(0, 1, n_strata + 1)[1:-1]))
    stratum = np.searchsorted(edges, target, side="right")
    test = []
    for value in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == value))
        test.append(members[: round(len(members) * test_fraction)])
    test = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(target)), test), test


def fit(model, loss, index, *, epochs, batch_size, learning_rate, seeds, evaluate=None, progress=None):
    """Train every member of a stack with Adam.

    Arguments
    ---------
    model : module with an ensemble axis of length E
    loss : callable(model, rows) -> (E,), where rows (1 or E, B) are the samples of a batch
    index : (1, n_train) sample numbers shared by all members, or (E, n_train), one set a member
    seeds : one integer for each row of ``index``: the order of its batches
    evaluate : callable(model) -> (E,), on held-out data after each epoch
    progress : callable, called once an epoch

    Returns
    -------
    dict of train (epochs, E) and, with ``evaluate``, test (epochs, E), as float arrays.

    Errors
    ------
    DTLError : the loss is no longer a number.
    """
    device = next(model.parameters()).device
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, learning_rate, eps=1e-7, fused=True)  # eps: Keras's default
    orders = [np.random.default_rng([int(seed), 7]) for seed in seeds]
    index = np.asarray(index)
    history = {"train": [], "test": []}
    for epoch in range(epochs):
        shuffled = torch.as_tensor(
            np.stack([rng.permutation(row) for rng, row in zip(orders, index, strict=True)]), device=device
        )
        total = 0.0
        for start in range(0, shuffled.shape[1], batch_size):
            rows = shuffled[:, start : start + batch_size]
            optimiser.zero_grad(set_to_none=True)
            each = loss(model, rows)
            each.sum().backward()
            optimiser.step()
            total = total + each.detach() * rows.shape[1]
        history["train"].append((total / shuffled.shape[1]).cpu().numpy())
        if evaluate is not None:
            with torch.no_grad():
                history["test"].append(evaluate(model).cpu().numpy())
        if not all(np.all(np.isfinite(values[-1])) for values in history.values() if values):
            raise DTLError(
                f"the loss is not finite in epoch {epoch + 1}",
                field="learning_rate",
                remedy="lower the learning rate",
            )
        if progress:
            progress()
    return {key: np.array(value) for key, value in history.items() if value}
