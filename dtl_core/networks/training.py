"""The training loop for any stack of networks, with its schedules, checkpoints and train/test splits."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import torch
from torch.optim.adam import adam

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


# ---------------------------------------------------------------- the loop


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

    The members do not interact, so a diverging member does not affect the others.

    Parameters
    ----------
    model : torch.nn.Module
        Stack of E members.
    loss : callable
        ``loss(model, rows)`` returns the loss (E,) of the samples ``rows``, a tensor of shape (1 or E, B).
    index : array of int, shape (1, n_train) or (E, n_train)
        Training samples, shared by all members or one set per member.
    epochs, batch_size : int
    learning_rate : float
        The peak of the schedule.
    seeds : sequence of int
        One per row of ``index``, for the order of its batches.
    schedule : str
        One of ``SCHEDULES``, see :func:`learning_rates`.
    precision : str
        One of ``PRECISIONS``, see :func:`autocast`.
    evaluate : callable, optional
        ``evaluate(model)`` returns the error (E,) on held-out data; called after each epoch.
    progress : callable, optional
        Called once per epoch, including epochs restored from a checkpoint.
    checkpoint : Checkpoint, optional

    Returns
    -------
    dict
        ``train`` (epochs, E), ``seconds`` (epochs,) since the start and, with ``evaluate``, ``test`` (epochs, E).
        Training ends early when the losses of all members are NaN or infinite.

    See Also
    --------
    fit_members : trains diverging members again.
    """
    index = np.asarray(index)
    n_steps = -(-index.shape[1] // batch_size)
    rates = learning_rates(schedule, learning_rate, epochs * n_steps)
    step = _Step(model, loss, precision, (len(index), batch_size))
    history = {"train": [], "test": [], "seconds": []}
    saved = checkpoint.load() if checkpoint else None
    first = _restore(saved, step, history) if saved is not None else 0
    for _ in range(first if progress else 0):
        progress()
    started = time.monotonic() - (history["seconds"][-1] if first else 0.0)
    for epoch in range(first, epochs):
        shuffled = np.stack([_order(row, seed, epoch) for row, seed in zip(index, seeds, strict=True)])
        shuffled = torch.as_tensor(shuffled, device=step.device)
        total = 0.0
        for number in range(n_steps):
            rows = shuffled[:, number * batch_size : (number + 1) * batch_size]
            total = total + step(rows, float(rates[epoch * n_steps + number])) * rows.shape[1]
        history["train"].append((total / index.shape[1]).cpu().numpy())  # the only wait for the device in an epoch
        if evaluate is not None:
            with torch.no_grad():
                history["test"].append(evaluate(model).float().cpu().numpy())
        history["seconds"].append(time.monotonic() - started)
        if progress:
            progress()
        if not np.isfinite(history["train"][-1]).any():
            break
        if checkpoint and checkpoint.due() and epoch + 1 < epochs:
            checkpoint.save(_state(step, history))
    if checkpoint and not checkpoint.keep:
        checkpoint.remove()
    elif checkpoint and first < len(history["train"]):
        checkpoint.save(_state(step, history))
    return {key: np.array(value) for key, value in history.items() if value}


class _Step:
    """One step of Adam on a batch, ``step(rows, rate)``, which returns the loss (E,) before the step.

    On a GPU its kernels are recorded once as a CUDA graph and then replayed, because small models spend most of their
    time launching kernels. A recording needs batches of one size; the last batch of an epoch may be run without it.
    """

    def __init__(self, model, loss, precision, shape):
        self.model, self.loss, self.precision, self.shape, self.graph = model, loss, precision, shape, None
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = next(model.parameters()).device
        self.on_gpu = self.device.type == "cuda"
        self.rate = torch.tensor(0.0, device=self.device) if self.on_gpu else 0.0
        self.state = [
            {
                "step": torch.zeros((), device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
            for parameter in self.parameters
        ]

    def __call__(self, rows, rate):
        if not self.on_gpu:
            self.rate = rate
            return self._plain(rows)
        self.rate.fill_(rate)
        if tuple(rows.shape) != self.shape:
            return self._plain(rows)
        if self.graph is None:
            return self._record(rows)
        self.rows.copy_(rows)
        self.graph.replay()
        return self.each

    def _plain(self, rows):
        for parameter in self.parameters:
            parameter.grad = None
        with autocast(self.precision, self.device):
            each = self.loss(self.model, rows)
        each.sum().backward()
        self._adam()
        return each.detach()

    @torch.no_grad()
    def _adam(self):
        """Adam by torch's function: the class ``torch.optim.Adam`` imports torch's compiler, 2 s in each process."""
        moved = [(one, state) for one, state in zip(self.parameters, self.state, strict=True) if one.grad is not None]
        averages = ([state[name] for _, state in moved] for name in ("exp_avg", "exp_avg_sq"))
        adam(
            [parameter for parameter, _ in moved],
            [parameter.grad for parameter, _ in moved],
            *averages,
            [],
            [state["step"] for _, state in moved],
            fused=True,
            capturable=self.on_gpu,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.rate,
            weight_decay=0.0,
            eps=1e-7,  # Keras's default
            maximize=False,
        )

    def _record(self, rows):
        self.rows = rows.clone()
        side = torch.cuda.Stream()  # a recording must be preceded by a warm-up; this one is a real step
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            first = self._plain(self.rows).clone()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):  # records the kernels without running them
            self.each = self._plain(self.rows)
        return first


def _order(row, seed, epoch):
    """The samples of one member in the order of an epoch, which depends on seed and epoch alone."""
    return np.random.default_rng([int(seed), 7, epoch]).permutation(row)


def learning_rates(schedule, peak, n_steps, warmup=0.15):
    r"""Learning rate of every step.

    ``constant`` is the peak at every step. ``one-cycle`` rises from 4 % of the peak along a cosine during the first
    ``warmup`` of the steps, then falls along another, :math:`\eta_t = \eta\,(1 + \cos \pi t / T) / 2`, to almost 0.

    Parameters
    ----------
    schedule : {"constant", "one-cycle"}
    peak : float
    n_steps : int
        Steps of the whole training.
    warmup : float
        Fraction of the steps.

    Returns
    -------
    array of shape (n_steps,)

    References
    ----------
    Smith & Topin (2019, arXiv:1708.07120); Loshchilov & Hutter (2017, arXiv:1608.03983).
    """
    if schedule == "constant":
        return np.full(n_steps, float(peak))
    up = max(1, round(warmup * n_steps))
    rise = 0.5 * (1 - np.cos(np.pi * np.arange(1, up + 1) / up))
    fall = 0.5 * (1 + np.cos(np.pi * np.arange(1, n_steps - up + 1) / max(1, n_steps - up)))
    return peak * np.concatenate([0.04 + 0.96 * rise, np.maximum(fall, 1e-4)])


# ---------------------------------------------------------------- members that diverge


def fit_members(task, n_members, *, learning_rate, restarts=3, **settings):
    """Train a stack, and train diverging members again, each time with half the learning rate.

    Parameters
    ----------
    task : callable
        ``task(members)`` returns a dict of the arguments model, loss, index, seeds and evaluate of :func:`fit` for
        these members.
    n_members : int
    learning_rate : float
        Of the first attempt.
    restarts : int
        Largest number of further attempts.
    **settings
        Further arguments of :func:`fit`.

    Returns
    -------
    model : torch.nn.Module
    history : dict
        That of :func:`fit` with ``restarts`` (E,), how often each member was trained again.

    Raises
    ------
    DTLError
        If a member diverges at every learning rate.
    """
    everyone = list(range(n_members))
    first = task(everyone)
    model, history = first["model"], fit(**first, learning_rate=learning_rate, **settings)
    history["restarts"] = np.zeros(n_members)
    settings = settings | {"checkpoint": None, "progress": None}  # few members, short trainings
    diverged = [m for m in everyone if _diverged(history["train"][:, m])]
    for attempt in range(1, restarts + 1):
        if not diverged:
            break
        again = task(diverged)
        retrained = fit(**again, learning_rate=learning_rate / 2**attempt, **settings)
        put(model, diverged, again["model"])
        history["restarts"][diverged] += 1
        for name in ("train", "test"):
            if name in retrained:
                history[name] = _columns(history[name], diverged, retrained[name])
        diverged = [m for m in diverged if _diverged(history["train"][:, m])]
    if diverged:
        count = f"{len(diverged)} of {n_members}"
        problem = f"the loss of {count} networks is not finite, even at 1/{2**restarts} of the rate"
        raise DTLError(problem, field="learning_rate", remedy="lower the learning rate")
    return model, history


def _diverged(train):
    """Whether the loss of one member (epochs,) ended as NaN or infinity, or far above its first value."""
    finite = train[np.isfinite(train)]
    return not len(finite) or not np.isfinite(train[-1]) or train[-1] > 100 * finite[0]


def _columns(old, columns, new):
    """Replace some columns of ``old`` (epochs, E); the result is as long as the longer one, padded with NaN."""
    out = np.full((max(len(old), len(new)), old.shape[1]), np.nan)
    out[: len(old)] = old
    out[:, columns] = np.nan
    out[: len(new), columns] = new
    return out


# ---------------------------------------------------------------- checkpoints


class Checkpoint:
    """The state of a training on disk, from which it continues as if it had never stopped.

    Parameters
    ----------
    path : path-like
        The file. It is written atomically, and removed when the training is complete.
    every : float, s
        Time between two saves.
    keep : bool
        Whether to keep the file when the training is complete, as a part of a longer one.
    """

    def __init__(self, path, every=60.0, *, keep=False):
        self.path, self.every, self.keep, self._last = Path(path), every, keep, time.monotonic()

    def due(self):
        """Whether it is time to save."""
        return time.monotonic() - self._last >= self.every

    def save(self, arrays):
        """Save a dict of arrays."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as part:
            save_arrays(part, arrays)
        self._last = time.monotonic()

    def load(self):
        """Load the saved arrays, a dict; None if there is no file or it is damaged."""
        try:
            return load_arrays(self.path)
        except DTLError:
            return None

    def remove(self):
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def _state(step, history):
    """All arrays that a training needs to continue, by name."""
    arrays = {f"history.{key}": np.array(value) for key, value in history.items() if value}
    for number, parameter in enumerate(step.parameters):
        arrays[f"{number}.weight"] = parameter.detach()
        arrays |= {f"{number}.{name}": value for name, value in step.state[number].items()}
    return arrays


def _restore(saved, step, history):
    """Restore a saved state; return the number of epochs that it has completed."""
    with torch.no_grad():
        for number, parameter in enumerate(step.parameters):
            parameter.copy_(torch.from_numpy(saved[f"{number}.weight"]))
            step.state[number] = {
                name: torch.from_numpy(saved[f"{number}.{name}"]).to(parameter.device).reshape(shape)
                for name, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape))
            }
    history |= {key: list(saved[f"history.{key}"]) for key in history if f"history.{key}" in saved}
    return len(history["train"])


# ---------------------------------------------------------------- splits


def split(n, test_fraction, seed):
    """Split 0 ... n - 1 at random into training and test rows: two sorted arrays."""
    order = np.random.default_rng(seed).permutation(n)
    n_test = max(1, round(n * test_fraction))
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def stratified_split(target, test_fraction, seed, n_strata=10):
    """Split at random within the quantiles of ``target`` (n,), so that both parts have the same distribution.

    Returns
    -------
    train, test : sorted arrays of int
    """
    rng = np.random.default_rng(seed)
    edges = np.unique(np.quantile(target, np.linspace(0, 1, n_strata + 1)[1:-1]))
    stratum = np.searchsorted(edges, target, side="right")
    test = []
    for value in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == value))
        test.append(members[: round(len(members) * test_fraction)])
    test = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(target)), test), test


# ---------------------------------------------------------------- device and precision


def choose_device(name="auto"):
    """Return the torch.device: ``cuda`` if asked for, or with ``auto`` if there is one; else ``cpu``.

    Raises
    ------
    DTLError
        If ``cuda`` is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DTLError("no CUDA device was found", field="device", remedy="choose cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def autocast(precision, device):
    """Context in which matrix products run in ``float32``, ``tf32`` (GPU only, else float32) or ``bf16``."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
