r"""The one-dimensional CNN that predicts one stellar parameter from a latent (paper, section 3.3).

Each regressor maps a latent z of 32 numbers to one of the four parameters:

.. math:: \hat y = \mathrm{dense}_{256, 128, 64, 1}(\mathrm{conv}_{32}(\mathrm{conv}_{64}(z)))

with convolutions of kernel 2 and ReLU activations. Regressors are trained on latents of synthetic spectra, whose labels
are known, and applied to latents of observed spectra. As in :mod:`~dtl_core.networks.autoencoder`, E regressors form a
stack; they may differ in their parameter, in the autoencoder that their latents come from, and in their seed.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..files import load_arrays
from .stacks import StackedLinear, glorot, member_generators
from .training import fit_members, stratified_split

__all__ = ["RegressionTask", "Regressor", "live_units", "load_regressors", "regression_loss", "regressors_of"]


class Regressor(nn.Module):
    """A stack of E regressors: two convolutions, three dense layers, and a linear output.

    Inputs and targets are standardised inside the network: (value - mean) / spread. The spread of a dead unit counts
    as 1.

    Parameters
    ----------
    latent : tensor of shape (n, n_units) or (E, n, n_units)
        Latents of all synthetic spectra, for the standardisation; shared, or one set per member.
    target : tensor of shape (E, n_train)
        Training targets in physical units, for the standardisation.
    seeds : sequence of int, length E
        Seeds of the initial weights.
    filters : pair of int
        Filters of the convolutions.
    units : sequence of int
        Neurons of the dense layers.

    References
    ----------
    Mas-Buitrago et al. (2024, A&A 687, A205), section 3.3.

    Examples
    --------
    Two regressors, for Teff and log g, on random latents:

    >>> import torch
    >>> from dtl_core.networks.regressor import Regressor, regression_loss
    >>> from dtl_core.networks.training import fit
    >>> latent = torch.rand(200, 8, generator=torch.Generator().manual_seed(0))
    >>> target = torch.stack([3000 + 1000 * latent[:, 0], 4.5 + 0.5 * latent[:, 1]])
    >>> model = Regressor(latent, target, seeds=[0, 1], filters=(8, 4), units=(16, 16, 8))
    >>> history = fit(
    ...     model,
    ...     lambda m, rows: regression_loss(m, latent[rows], target[:, rows[0]]),
    ...     index=torch.arange(200)[None],
    ...     epochs=5,
    ...     batch_size=20,
    ...     learning_rate=1e-2,
    ...     seeds=[0],
    ... )
    >>> error = (model.predict(latent) - target).std(1)
    >>> bool((error < 0.3 * target.std(1)).all())
    True
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
        """Predict (E, B) in units of the training spread around the training mean."""
        h = ((latent - self.latent_mean) / self.latent_spread).unsqueeze(-1)  # E, B, units, 1
        for layer in self.convolutions:
            h = torch.relu(layer(h))
        h = h.flatten(2)
        for layer in self.dense[:-1]:
            h = torch.relu(layer(h))
        return self.dense[-1](h).squeeze(-1)

    def forward(self, latent):
        """Predict (E, B), in the units of the target, from latents (B, n_units) or (E, B, n_units)."""
        return self.standardised(latent) * self.target_spread + self.target_mean

    @torch.no_grad()
    def predict(self, latent, batch_size=256):
        """Predict (E, n) for latents (n, n_units) or (E, n, n_units), in batches to limit memory, without gradients."""
        return torch.cat([self(part) for part in latent.split(batch_size, dim=-2)], dim=1)


class _PairConvolution(nn.Module):
    """Convolution of kernel 2 with padding "same", as two matrix products: one for each neighbour of a pair."""

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


def live_units(latent, tolerance=1e-4):
    """Find the bottleneck units that vary: a ReLU unit that is always zero carries no information.

    Parameters
    ----------
    latent : tensor of shape (..., n_spectra, n_units)
    tolerance : float
        A unit is dead if its spread is below this fraction of the largest spread of all units.

    Returns
    -------
    bool tensor of shape (..., n_units)
    """
    spread = latent.std(-2)
    return spread > tolerance * spread.amax(-1, keepdim=True)


def regression_loss(model, latent, target):
    r"""Mean squared error of each member: :math:`\frac{1}{B} \sum_i (\hat y_i - y_i)^2 / \sigma_y^2`.

    Parameters
    ----------
    model : Regressor
    latent : tensor of shape (B, n_units) or (E, B, n_units)
    target : tensor of shape (E, B)
        In physical units; :math:`\sigma_y` is the spread of the training targets.

    Returns
    -------
    tensor of shape (E,)
    """
    return ((model.standardised(latent) - (target - model.target_mean) / model.target_spread) ** 2).mean(1)


class RegressionTask:
    """Training data of many regressors: latents of labelled spectra, with a train/test split for each parameter.

    The splits are stratified on the target (paper, section 3.3).

    Parameters
    ----------
    latent : tensor of shape (A, n, n_units)
        Latents of the same n spectra from A autoencoders.
    labels : array of shape (n, 4)
        Columns in the order of ``PARAMETERS``.
    config : Config
    """

    def __init__(self, latent, labels, config):
        self.latent, self.config, self.device = latent, config, latent.device
        self.targets = torch.as_tensor(labels.T, dtype=torch.float32, device=self.device)
        fraction = config.regression.test_fraction
        self._parts = [stratified_split(target, fraction, [config.seed, 5, k]) for k, target in enumerate(labels.T)]

    def rows(self, kind):
        """Training and test rows, (E, n_train) and (E, n_test), of regressors of the parameters ``kind`` (E,)."""
        lengths = [min(len(part[side]) for part in self._parts) for side in (0, 1)]
        return [
            torch.as_tensor(np.stack([self._parts[k][side][:length] for k in kind]), device=self.device)
            for side, length in enumerate(lengths)
        ]

    def fit(self, net, owner, kind, seeds, *, rows=None, epochs=None, progress=None, checkpoint=None):
        """Train one stack of regressors.

        Parameters
        ----------
        net : RegressorConfig
            Architecture and learning rate.
        owner, kind, seeds : sequences of int, length E
            Autoencoder, parameter and seed of each regressor.
        rows : pair of tensors, optional
            Training and test rows instead of those of :meth:`rows`.
        epochs : int, optional
            Instead of ``config.regression.epochs``.
        progress : callable, optional
            Called once per epoch.
        checkpoint : Checkpoint, optional

        Returns
        -------
        model : Regressor
        history : dict
            See :func:`~dtl_core.networks.training.fit_members`; ``test`` holds mean squared errors in squared units of
            the parameter.
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
    """Load some of the regressors of one autoencoder and one parameter from a stored stage.

    Parameters
    ----------
    config : Config
    folder : Path
        Holds ``weights.safetensors``.
    parameter : str
    members : sequence of int

    Returns
    -------
    Regressor
    """
    prefix, members = f"{parameter}.", torch.as_tensor(np.asarray(members))
    weights = {
        name.removeprefix(prefix): torch.from_numpy(array)[members]
        for name, array in load_arrays(folder / "weights.safetensors").items()
        if name.startswith(prefix)
    }
    return regressors_of(config, parameter, weights)


def regressors_of(config, parameter, weights):
    """Build the stack of regressors of one parameter from its weights, tensors by name."""
    members, _, n_units = weights["latent_mean"].shape
    net = getattr(config.regression, parameter)
    # means and spreads come with the weights: the constructor may measure anything
    model = Regressor(
        torch.zeros(2, n_units), torch.zeros(members, 2), range(members), filters=net.filters, units=net.units
    )
    model.load_state_dict(weights)
    return model
