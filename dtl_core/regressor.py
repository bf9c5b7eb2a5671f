"""The one-dimensional CNN that turns a latent into one stellar parameter (paper, section 3.3), as stacks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .stacks import StackedLinear, glorot, member_generators

__all__ = ["Regressor", "live_units", "regression_loss"]


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
