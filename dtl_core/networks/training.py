"""The one training loop, for any stack of models; its schedules and checkpoints; and the random splits."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import torch

from ..errors import DTLError
from ..files import atomic_path, load_arrays, save_arrays
from .stacks import put

__all__ = [
    "Checkpoint",
    "PRECISIONS",
    "SCHEDULES",
    "autocast",
    "choose_device",
    "fit",
    "fit_members",
    "learning_rates",
    "split",
    "stratified_split",
]


PRECISIONS, SCHEDULES = ("float32", "tf32", "bf16"), ("constant", "one-cycle")


def choose_device(name="auto"):
    """``cuda`` when it is asked for or, with ``auto``, when there is one; else ``cpu``."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DTLError("no CUDA device was found", field="device", remedy="choose cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def autocast(precision, device):
    """Matrix products in ``float32``, in ``tf32`` (on a GPU; elsewhere the same as float32), or in ``bf16``."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


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


def learning_rates(schedule, peak, n_steps, warmup=0.15):
    r"""Learning rate of every step.

    ``constant``: the peak. ``one-cycle``: from 4 % of the peak up to it along a cosine in the first ``warmup`` of the
    steps, then down along another, :math:`\eta_t = \eta\,(1 + \cos \pi t / T) / 2`, to nearly nothing.

    Arguments: schedule, one of ``SCHEDULES``; peak; n_steps, of the whole training; warmup, a fraction of it.
    Returns: (n_steps,).
    Source: Smith & Topin (2019, arXiv:1708.07120); Loshchilov & Hutter (2017, arXiv:1608.03983).
    """
    if schedule == "constant":
        return np.full(n_steps, float(peak))
    up = max(1, round(warmup * n_steps))
    rise = 0.5 * (1 - np.cos(np.pi * np.arange(1, up + 1) / up))
    fall = 0.5 * (1 + np.cos(np.pi * np.arange(1, n_steps - up + 1) / max(1, n_steps - up)))
    return peak * np.concatenate([0.04 + 0.96 * rise, np.maximum(fall, 1e-4)])


class Checkpoint:
    """The state of a training on disk, from which it goes on as if it had never stopped.

    Arguments
    ---------
    path : where it lies; it is written whole or not at all, and removed when the training is over
    every : seconds between two of them
    keep : whether it stays when the training is over, because that is a part of something longer
    """

    def __init__(self, path, every=60.0, *, keep=False):
        self.path, self.every, self.keep, self._last = Path(path), every, keep, time.monotonic()

    def due(self):
        return time.monotonic() - self._last >= self.every

    def save(self, arrays):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as part:
            save_arrays(part, arrays)
        self._last = time.monotonic()

    def load(self):
        """What was saved last, as numpy arrays; None where there is nothing whole."""
        try:
            return load_arrays(self.path)
        except DTLError:
            return None

    def remove(self):
        self.path.unlink(missing_ok=True)


class _Step:
    """One step of Adam on the rows of a batch.

    On a GPU its kernels are recorded once and then replayed, because small models wait for their launch. A recording
    needs batches of one size; others, such as the last of an epoch, go without.
    """

    def __init__(self, model, loss, optimiser, precision, shape):
        self.model, self.loss, self.optimiser, self.precision = model, loss, optimiser, precision
        self.device, self.shape, self.graph = next(model.parameters()).device, shape, None

    def __call__(self, rows):
        if self.device.type != "cuda" or tuple(rows.shape) != self.shape:
            return self._plain(rows)
        if self.graph is None:
            return self._record(rows)
        self.rows.copy_(rows)
        self.graph.replay()
        return self.each

    def _plain(self, rows):
        self.optimiser.zero_grad(set_to_none=True)
        with autocast(self.precision, self.device):
            each = self.loss(self.model, rows)
        each.sum().backward()
        self.optimiser.step()
        return each.detach()

    def _record(self, rows):
        self.rows = rows.clone()
        side = torch.cuda.Stream()  # the first step warms up, as a recording must be preceded by one; it counts
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            first = self._plain(self.rows).clone()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):  # notes the kernels, and runs none of them
            self.each = self._plain(self.rows)
        return first


def fit(
    model,
    loss,
    index,
    *,
    epochs,
    batch_size,
    learning_rate,
    seeds,
    schedule="constant",
    precision="float32",
    evaluate=None,
    progress=None,
    checkpoint=None,
):
    """Train every member of a stack with Adam.

    No value of one member enters another, so that one whose loss is no longer a number harms none of the others.

    Arguments
    ---------
    model : module with an ensemble axis of length E
    loss : callable(model, rows) -> (E,), where rows (1 or E, B) are the samples of a batch
    index : (1, n_train) sample numbers shared by all members, or (E, n_train), one set a member
    seeds : one integer for each row of ``index``: the order of its batches
    schedule : one of ``SCHEDULES``, see :func:`learning_rates`
    precision : one of ``PRECISIONS``, see :func:`autocast`
    evaluate : callable(model) -> (E,), on held-out data after each epoch
    progress : callable, called once an epoch, also for those that a checkpoint spares
    checkpoint : :class:`Checkpoint`, optional

    Returns
    -------
    dict of train (epochs, E), seconds (epochs,) since the start and, with ``evaluate``, test (epochs, E); it ends early
    where no member's loss is a number any more. :func:`fit_members` deals with such members.
    """
    device = next(model.parameters()).device
    parameters = [p for p in model.parameters() if p.requires_grad]
    index = np.asarray(index)
    n_steps = -(-index.shape[1] // batch_size)
    rates = learning_rates(schedule, learning_rate, epochs * n_steps)
    on_gpu = device.type == "cuda"
    rate = torch.tensor(float(rates[0]), device=device) if on_gpu else float(rates[0])
    optimiser = torch.optim.Adam(parameters, rate, eps=1e-7, fused=True, capturable=on_gpu)  # eps: Keras's default
    step = _Step(model, loss, optimiser, precision, (len(index), batch_size))
    history = {"train": [], "test": [], "seconds": []}
    saved = checkpoint.load() if checkpoint else None
    first = _restore(saved, parameters, optimiser, history) if saved is not None else 0
    for _ in range(first if progress else 0):
        progress()
    started = time.monotonic() - (history["seconds"][-1] if first else 0.0)
    for epoch in range(first, epochs):
        shuffled = np.stack([_order(row, seed, epoch) for row, seed in zip(index, seeds, strict=True)])
        shuffled = torch.as_tensor(shuffled, device=device)
        total = 0.0
        for number in range(n_steps):
            if on_gpu:
                rate.fill_(rates[epoch * n_steps + number])
            else:
                optimiser.param_groups[0]["lr"] = float(rates[epoch * n_steps + number])
            rows = shuffled[:, number * batch_size : (number + 1) * batch_size]
            total = total + step(rows) * rows.shape[1]
        history["train"].append((total / index.shape[1]).cpu().numpy())  # the one wait for the device in an epoch
        if evaluate is not None:
            with torch.no_grad():
                history["test"].append(evaluate(model).float().cpu().numpy())
        history["seconds"].append(time.monotonic() - started)
        if progress:
            progress()
        if not np.isfinite(history["train"][-1]).any():
            break
        if checkpoint and checkpoint.due() and epoch + 1 < epochs:
            checkpoint.save(_state(parameters, optimiser, history))
    if checkpoint and not checkpoint.keep:
        checkpoint.remove()
    elif checkpoint and first < len(history["train"]):
        checkpoint.save(_state(parameters, optimiser, history))
    return {key: np.array(value) for key, value in history.items() if value}


def fit_members(task, n_members, *, learning_rate, restarts=3, **settings):
    """Train a stack; the members that diverge are trained again by themselves with half the learning rate, and so on.

    Arguments
    ---------
    task : callable(members) -> dict of model, loss, index, seeds and evaluate for :func:`fit`, of these members only
    n_members : int
    learning_rate : of the first try
    restarts : how often at most
    settings : for :func:`fit`

    Returns
    -------
    The model, and the history of :func:`fit` with restarts (E,) besides: how often each member began anew.

    Errors
    ------
    DTLError : a member diverges at every rate.
    """
    everyone = list(range(n_members))
    first = task(everyone)
    model, history = first["model"], fit(**first, learning_rate=learning_rate, **settings)
    history["restarts"] = np.zeros(n_members)
    settings = settings | {"checkpoint": None, "progress": None}  # few and short
    bad = [m for m in everyone if _diverged(history["train"][:, m])]
    for attempt in range(1, restarts + 1):
        if not bad:
            break
        again = task(bad)
        found = fit(**again, learning_rate=learning_rate / 2**attempt, **settings)
        put(model, bad, again["model"])
        history["restarts"][bad] += 1
        for name in ("train", "test"):
            if name in found:
                history[name] = _columns(history[name], bad, found[name])
        bad = [m for m in bad if _diverged(history["train"][:, m])]
    if bad:
        problem = f"the loss of {len(bad)} of {n_members} networks is not finite, even at 1/{2**restarts} of the rate"
        raise DTLError(problem, field="learning_rate", remedy="lower the learning rate")
    return model, history


def _diverged(train):
    """Whether the loss of one member over the epochs ended in no number, or far above where it began."""
    known = train[np.isfinite(train)]
    return not len(known) or not np.isfinite(train[-1]) or train[-1] > 100 * known[0]


def _columns(old, columns, new):
    """``old`` (epochs, E) with some columns replaced, as long as the longer of the two; NaN where there is nothing."""
    out = np.full((max(len(old), len(new)), old.shape[1]), np.nan)
    out[: len(old)] = old
    out[:, columns] = np.nan
    out[: len(new), columns] = new
    return out


def _order(row, seed, epoch):
    """The samples of one member in the order of an epoch: it depends on nothing that was before."""
    return np.random.default_rng([int(seed), 7, epoch]).permutation(row)


def _state(parameters, optimiser, history):
    """All that a training needs to go on, by name."""
    arrays = {f"history.{key}": np.array(value) for key, value in history.items() if value}
    for number, parameter in enumerate(parameters):
        arrays[f"{number}.weight"] = parameter.detach()
        arrays |= {f"{number}.{name}": value for name, value in optimiser.state[parameter].items()}
    return arrays


def _restore(saved, parameters, optimiser, history):
    """Put a saved state back in place; the number of epochs that it has behind it."""
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            parameter.copy_(torch.from_numpy(saved[f"{number}.weight"]))
            optimiser.state[parameter] = {
                name: torch.from_numpy(saved[f"{number}.{name}"]).to(parameter.device).reshape(shape)
                for name, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape))
            }
    history |= {key: list(saved[f"history.{key}"]) for key in history if f"history.{key}" in saved}
    return len(history["train"])
