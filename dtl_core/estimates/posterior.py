"""Posteriors from a normalising flow: the joint distribution of all labels, given features of a spectrum."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..errors import ConfigError
from ..networks.training import fit

__all__ = ["Flow", "fit_flow"]


class Flow(nn.Module):
    r"""A conditional neural spline flow over standardised labels.

    A chain of monotonic rational-quadratic splines transforms a Gaussian z into labels :math:`y = f_x(z)` of density

    .. math:: p(y | x) = N(f_x^{-1}(y)) \, |\det \partial f_x^{-1} / \partial y|

    The knots of the splines depend on the features x and on the preceding labels.

    Parameters
    ----------
    features : tensor of shape (n, k)
    labels : tensor of shape (n, p)
        Training set, for the standardisation.
    transforms : int
        Number of splines.
    hidden : sequence of int
        Neurons of the networks that predict the knots.
    seed : int

    Raises
    ------
    ConfigError
        If zuko is not installed.

    References
    ----------
    Durkan et al. (2019, arXiv:1906.04032), as implemented by ``NSF`` of zuko.
    """

    def __init__(self, features, labels, *, transforms=3, hidden=(64, 64), seed=0):
        super().__init__()
        try:
            import zuko
        except ImportError:
            remedy = "pip install 'dtl-mdwarfs[flow]'"
            raise ConfigError("normalising flows need zuko, which is not installed", remedy=remedy) from None
        for name, values in (("feature", features), ("label", labels)):
            self.register_buffer(f"{name}_mean", values.mean(0))
            self.register_buffer(f"{name}_spread", values.std(0).clamp_min(1e-9))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = {"transforms": transforms, "hidden_features": hidden}
            self.flow = zuko.flows.NSF(labels.shape[1], features.shape[1], **sizes)

    def _given(self, features):
        features = torch.as_tensor(np.asarray(features), dtype=torch.float32)
        return self.flow((features - self.feature_mean) / self.feature_spread)

    def log_prob(self, features, labels):
        """Log-density of labels (n, p), in their units, given features (n, k): tensor of shape (n,)."""
        labels = torch.as_tensor(np.asarray(labels), dtype=torch.float32)
        standard = (labels - self.label_mean) / self.label_spread
        return self._given(features).log_prob(standard) - self.label_spread.log().sum()

    def sample(self, features, n, *, seed=0):
        """Draw ``n`` samples (n, m, p) from the posteriors of features (m, k)."""
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return (self._given(features).sample((n,)) * self.label_spread + self.label_mean).numpy()


def fit_flow(features, labels, *, epochs=40, seed=0, batch_size=256, learning_rate=3e-3, transforms=3, hidden=(64, 64)):
    """Train a flow by maximum likelihood.

    Parameters
    ----------
    features : array of shape (n, k)
    labels : array of shape (n, p)
        Of stars or spectra of known truth.
    epochs, seed, batch_size, learning_rate
        As for :func:`dtl_core.networks.training.fit`.
    transforms, hidden
        As for :class:`Flow`.

    Returns
    -------
    Flow
        Reproducible for a given seed with one thread.
    """
    features, labels = (torch.as_tensor(np.asarray(v), dtype=torch.float32) for v in (features, labels))
    model = Flow(features, labels, transforms=transforms, hidden=hidden, seed=seed)

    def loss(m, rows):
        return -m.log_prob(features[rows[0]], labels[rows[0]]).mean().reshape(1)

    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "schedule": "one-cycle"}
    fit(model, loss, np.arange(len(features))[None], seeds=[seed], **settings)
    return model
