"""The one-dimensional CNN that turns a latent into one stellar parameter (paper, section 3.3), as stacks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..files import load_arrays
from .stacks import StackedLinear, glorot, member_generators
from .training import fit_members, stratified_split

__all__ = ["RegressionTask", "Regressor", "live_units", "load_regressors", "regression_loss", "regressors_of"]


def live_units(latent, tolerance=1e-4):
    """Which bottleneck units vary: (..., n_units) bool; a unit that never leaves zero carries nothing.

    Arguments
    ---------
    latent : (..., n_spectra, n_units)
    tolerance : spread below which a unit is dead, relative to the largest spread of all units
    """
    spread = latent.std(-2)
    return spread > tolerance * spread.amax(-1, keepdim=True)


class _PairConvolution(nn.Module):
    """Convolution of kernel 2, padding "same", as two matrix products: one for each neighbour of a pair."""

    def __init__(self, n_in, n_out, generators):
        super().__init__()
        # E, 2 * n_in, n_out; rows: left neighbour, right neighbour
        self.weight = nn.Parameter(glorot(generators, 2 * n_in, n_out, fan_in=2 * n_in, fan_out=2 * n_out))
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, n_out))

    def forward(self, x):  # E, B, L, n_in
        members, batch, length, n_in = x.shape
        flat = x.reshape(members, batch * length, n_in)
        left = torch.baddbmm(self.bias, flat, self.weight[:, :n_in]).reshape(members, batch, length, -1)
        right = torch.bmm(flat, self.weight[:, n_in:]).reshape(members, batch, length, -1)
        return left + F.pad(right[:, :, 1:], (0, 0, 0, 1))


class Regressor(nn.Module):
    """A stack of E regressors: Conv1d - ReLU - Conv1d - ReLU - Dense x 3 - linear.

    Inputs and targets are standardised inside: (z - mean) / spread, where a dead unit's spread counts as 1.

    Arguments
    ---------
    latent : (n, n_units) latents of all synthetic spectra, for the standardisation, or (E, n, n_units), each its own
    target : (E, n_train) training targets in physical units, likewise
    seeds : one integer a member

    Shapes
    ------
    input : (B, n_units) or (E, B, n_units);  output : (E, B) in the target's units
    """

    shared = ()

    def __init__(self, latent, target, seeds, *, filters=(64, 32), units=(256, 128, 64)):
        super().__init__()
        generators = member_generators(seeds)
        mean = latent.mean(-2)
        spread = torch.where(live_units(latent), latent.std(-2), torch.ones_like(mean))
        for name, value in (("latent_mean", mean), ("latent_spread", spread)):  # E, 1, n_units
            self.register_buffer(name, value.expand(len(seeds), -1).unsqueeze(1).contiguous())
        self.register_buffer("target_mean", target.mean(1, keepdim=True))
        self.register_buffer("target_spread", target.std(1, keepdim=True).clamp_min(1e-6))
        self.convolutions = nn.ModuleList(
            _PairConvolution(a, b, generators) for a, b in zip((1, *filters[:-1]), filters, strict=True)
        )
        widths = (latent.shape[-1] * filters[-1], *units, 1)
        self.dense = nn.ModuleList(
            StackedLinear(a, b, generators) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )

    def standardised(self, latent):
        """Prediction (E, B) in units of the training spread around the training mean."""
        h = ((latent - self.latent_mean) / self.latent_spread).unsqueeze(-1)  # E, B, units, 1
        for layer in self.convolutions:
            h = torch.relu(layer(h))
        h = h.flatten(2)
        for layer in self.dense[:-1]:
            h = torch.relu(layer(h))
        return self.dense[-1](h).squeeze(-1)

    def forward(self, latent):
        return self.standardised(latent) * self.target_spread + self.target_mean

    @torch.no_grad()
    def predict(self, latent, batch_size=256):
        """Predictions (E, n) for any number of latents (n, n_units) or (E, n, n_units), in batches to spare memory."""
        return torch.cat([self(part) for part in latent.split(batch_size, dim=-2)], dim=1)


def regression_loss(model, latent, target):
    """Mean squared error (E,) of standardised predictions against targets (E, B) in physical units."""
    return ((model.standardised(latent) - (target - model.target_mean) / model.target_spread) ** 2).mean(1)


class RegressionTask:
    """What there is to learn for stacks of regressors: latents of labelled spectra, split for each parameter.

    Arguments
    ---------
    latent : (A, n, n_units), of A autoencoders
    labels : (n, 4), in the order of ``PARAMETERS``
    config : Config
    """

    def __init__(self, latent, labels, config):
        self.latent, self.config, self.device = latent, config, latent.device
        self.targets = torch.as_tensor(labels.T, dtype=torch.float32, device=self.device)
        fraction = config.regression.test_fraction
        self._parts = [stratified_split(target, fraction, [config.seed, 5, k]) for k, target in enumerate(labels.T)]

    def rows(self, kind):
        """Training and test spectra (E, n_train), (E, n_test) of regressors of the parameters ``kind`` (E,)."""
        lengths = [min(len(part[side]) for part in self._parts) for side in (0, 1)]
        return [
            torch.as_tensor(np.stack([self._parts[k][side][:length] for k in kind]), device=self.device)
            for side, length in enumerate(lengths)
        ]

    def fit(self, net, owner, kind, seeds, *, rows=None, epochs=None, progress=None, checkpoint=None):
        """Train one stack.

        Arguments
        ---------
        net : RegressorConfig
        owner, kind, seeds : (E,) autoencoder, parameter and seed of each regressor
        rows : its training and test spectra, instead of those of :meth:`rows`
        epochs : instead of the configuration's

        Returns
        -------
        Regressor, and the history of :func:`dtl_core.networks.training.fit_members`.
        """
        train, test = rows or self.rows(kind)
        owner, kind, seeds = (np.asarray(values) for values in (owner, kind, seeds))
        settings = self.config.regression

        def task(numbers):
            own = torch.as_tensor(owner[numbers], device=self.device)
            target, mine = self.targets[kind[numbers]], train[numbers]
            seen, truth = self.latent[own[:, None], test[numbers]], torch.gather(target, 1, test[numbers])
            model = Regressor(
                self.latent[own],
                torch.gather(target, 1, mine),
                seeds[numbers],
                filters=net.filters,
                units=net.units,
            ).to(self.device)

            def loss(m, batch):
                return regression_loss(m, self.latent[own[:, None], batch], torch.gather(target, 1, batch))

            return {
                "model": model,
                "loss": loss,
                "index": mine.cpu().numpy(),
                "seeds": seeds[numbers],
                "evaluate": lambda m: ((m.predict(seen) - truth) ** 2).mean(1),
            }

        return fit_members(
            task,
            len(owner),
            epochs=epochs or settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=net.learning_rate,
            schedule=settings.schedule,
            precision=self.config.precision,
            progress=progress,
            checkpoint=checkpoint,
        )


def load_regressors(config, folder, parameter, members):
    """The stack of some regressors of one autoencoder and parameter, whose weights lie in a stage's folder."""
    import torch

    prefix, members = f"{parameter}.", torch.as_tensor(np.asarray(members))
    weights = {
        name.removeprefix(prefix): torch.from_numpy(array)[members]
        for name, array in load_arrays(folder / "weights.safetensors").items()
        if name.startswith(prefix)
    }
    return regressors_of(config, parameter, weights)


def regressors_of(config, parameter, weights):
    """The stack of regressors of a parameter that has these weights, tensors by name."""
    import torch

    pass

    members, _, n_units = weights["latent_mean"].shape
    net, blank = getattr(config.regression, parameter), torch.zeros(2, n_units)
    nothing = torch.zeros(members, 2)  # all that the constructor measures comes with the weights
    model = Regressor(blank, nothing, range(members), filters=net.filters, units=net.units)
    model.load_state_dict(weights)
    return model
