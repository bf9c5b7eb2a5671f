"""Methods with a network on fluxes: no transfer, augmented, randomised, informed, aligned, adversarial."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..estimates.posterior import fit_flow
from ..parameters import PARAMETERS
from .problem import Method
from .randomiser import AUGMENTATION, Randomiser
from .trained_networks import CONVOLUTIONS, DENSE

__all__ = ["Adversarial", "Aligned", "Augmented", "FluxNet", "Informed", "InformedPosterior", "OnFluxes", "Randomised"]


class FluxNet(nn.Module):
    """A network from fluxes to 64 features, by three strided convolutions and two dense layers, and to four labels.

    A second head predicts the error of each label. Its gradient does not reach the features.

    Parameters
    ----------
    flux : tensor of shape (n, n_pixels)
    labels : tensor of shape (n, 4)
        Training set, for the standardisation of inputs and outputs.
    seed : int
    """

    def __init__(self, flux, labels, seed):
        super().__init__()
        self.register_buffer("centre", flux.mean(0))
        self.register_buffer("spread", (flux - flux.mean(0)).std())
        self.register_buffer("label_mean", labels.mean(0))
        self.register_buffer("label_spread", labels.std(0))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.convolutions = nn.Sequential(*(f for shape in CONVOLUTIONS for f in (nn.Conv1d(*shape), nn.ReLU())))
            n = self.convolutions(torch.zeros(1, 1, flux.shape[1])).numel()
            first, last = DENSE
            self.dense = nn.Sequential(nn.Linear(n, first), nn.ReLU(), nn.Linear(first, last), nn.ReLU())
            self.head = nn.Linear(last, len(PARAMETERS))
            self.log_spread = nn.Linear(last, len(PARAMETERS))

    def features(self, flux):
        """Features (n, 64) of spectra (n, n_pixels)."""
        return self.dense(self.convolutions(((flux - self.centre) / self.spread).unsqueeze(1)).flatten(1))

    def standardised(self, labels):
        """Labels in units of the training spread around the training mean."""
        return (labels - self.label_mean) / self.label_spread

    def loss(self, features, labels):
        """Scalar loss: squared error of the standardised labels, plus the negative log-likelihood of the errors."""
        error = self.head(features) - self.standardised(labels)
        log_spread = self.log_spread(features.detach())
        return error.square().mean() + (0.5 * error.detach().square() * torch.exp(-2 * log_spread) + log_spread).mean()

    def forward(self, flux):
        """Labels and their standard errors, (n, 4) both."""
        features = self.features(flux)
        labels = self.head(features) * self.label_spread + self.label_mean
        return labels, self.log_spread(features).exp() * self.label_spread


class OnFluxes(Method):
    """A network trained on synthetic fluxes, without adaptation (Passegger et al. 2020)."""

    def learn(self, problem):
        self.problem = problem
        self.generator = torch.Generator().manual_seed(problem.seed)
        self.model = FluxNet(problem.flux[problem.train], problem.labels[problem.train], problem.seed)
        self.prepare()
        problem.fit(self.model, self.loss)

    def prepare(self):
        """Add to the network what is trained with it."""

    def seen(self, rows):
        """Synthetic fluxes of some rows, as the network sees them in training."""
        return self.problem.flux[rows]

    def loss(self, model, rows):
        """Scalar loss of synthetic rows: that of the labels and that of the alignment with the observed domain."""
        features = model.features(self.seen(rows))
        return model.loss(features, self.problem.labels[rows]) + self.alignment(model, features)

    def alignment(self, model, features):
        """Term of the loss that aligns synthetic and observed features."""
        return 0.0

    def observed(self, n):
        """Features of ``n`` observed spectra, drawn at random."""
        stars = self.problem.stars
        return self.model.features(stars[torch.randint(len(stars), (n,), generator=self.generator)])

    def latent(self, flux):
        """Features (n, 64) of observed spectra."""
        with torch.no_grad():
            return torch.cat([self.model.features(part) for part in torch.as_tensor(flux).split(2048)]).numpy()

    def synthetic_latent(self, rows):
        """Features of synthetic spectra, given by their rows."""
        return self.latent(self.problem.flux[rows])

    def predict(self, flux):
        return self._outputs(flux)[0]

    def spread(self, flux):
        """Standard errors (n_stars, 4) that the network predicts for its labels."""
        return self._outputs(flux)[1]

    def _outputs(self, flux):
        with torch.no_grad():
            parts = [self.model(part) for part in torch.as_tensor(flux).split(2048)]
        return [torch.cat(side).numpy() for side in zip(*parts, strict=True)]


class Randomised(OnFluxes):
    """A network on randomly changed fluxes: domain randomisation (Tobin et al. 2017, arXiv:1703.06907)."""

    randomiser = Randomiser()

    def seen(self, rows):
        return self.randomised(self.problem.flux[rows], rows)

    def randomised(self, flux, rows):
        """Change synthetic fluxes of some rows at random, with :class:`~dtl_core.bridging.randomiser.Randomiser`."""
        return self.problem.randomised(self.randomiser, flux, rows, self.generator)


class Augmented(Randomised):
    """A network on fluxes with random noise, continuum, velocity and resolution, and with the synthetic lines.

    What it gains over no transfer is due to generic augmentation. What :class:`Randomised` gains over it is due to
    random lines.
    """

    randomiser = AUGMENTATION


class Informed(Randomised):
    """A network on spectra of physics drawn at random, which are also changed at random.

    Every spectrum that it sees has its own microturbulence, abundances, opacities, damping and upper layers (see
    :mod:`dtl_core.synthetic.physics`), so that it marginalises over them, and errors of the line list as for
    :class:`Randomised`.
    """

    def prepare(self):
        drawn = self.problem.other_physics
        self.drawn = self.problem.flux[None] if drawn is None else drawn()

    def seen(self, rows):
        picked = torch.randint(len(self.drawn), (len(rows),), generator=self.generator)
        return self.randomised(self.drawn[picked, rows], rows)

    def learn(self, problem):
        super().learn(problem)
        del self.drawn  # large, and only needed in training


class InformedPosterior(Informed):
    """Neural posterior estimation with nuisances: a normalising flow on the features of :class:`Informed`.

    The flow is trained on spectra of physics and lines drawn at random, so that its posteriors are marginalised over
    them (Cranmer et al. 2020, arXiv:1911.01429). Estimates are means of the posteriors.

    Attributes
    ----------
    flow : dtl_core.estimates.posterior.Flow
    draws : int
        Changed copies of each synthetic spectrum that the flow is trained on.
    samples : int
        Of each posterior.
    """

    draws, samples = 5, 200

    def learn(self, problem):
        vars(self).update(vars(problem.learned(Informed)))  # the same network
        self.prepare()
        rows = torch.as_tensor(problem.train).repeat(self.draws)
        with torch.no_grad():
            features = torch.cat([self.model.features(self.seen(part)) for part in rows.split(2048)])
        self.flow = fit_flow(features, problem.labels[rows], epochs=problem.epochs, seed=problem.seed)
        del self.drawn

    def _outputs(self, flux):
        samples = self.flow.sample(self.latent(flux), self.samples, seed=self.problem.seed)
        return samples.mean(0), samples.std(0)


class _Jointly(OnFluxes):
    """A network trained on synthetic and observed spectra together."""

    def learn(self, problem):
        pass

    def adapt(self, problem):
        super().learn(problem)
        return self


class Aligned(_Jointly):
    """Mean and covariance of synthetic and observed features are aligned (CORAL).

    Written by hand: two short losses do not justify a dependency on a package for domain adaptation.

    References
    ----------
    Sun & Saenko (2016, arXiv:1607.01719).
    """

    weight = 1.0

    def alignment(self, model, features):
        other = self.observed(len(features))
        difference = (_covariance(features) - _covariance(other)).square().sum() / (4 * features.shape[1] ** 2)
        return self.weight * (difference + (features.mean(0) - other.mean(0)).square().mean())


def _covariance(x):
    x = x - x.mean(0)
    return x.T @ x / (len(x) - 1)


class _Reversed(torch.autograd.Function):
    """Identity whose gradient is multiplied by ``-weight``."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.weight * gradient, None


class Adversarial(_Jointly):
    """Features are trained so that a second network, the critic, cannot tell the domains apart (DANN).

    Written by hand, for the same reason as :class:`Aligned`.

    References
    ----------
    Ganin et al. (2016, arXiv:1505.07818).
    """

    weight = 0.1  # best of 0.03, 0.1, 0.3 and 1 on the half of the survey that is used for choices

    def prepare(self):
        with torch.random.fork_rng():
            torch.manual_seed(self.problem.seed + 1)
            self.model.critic = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        self.step, self.steps = 0, self.problem.epochs * -(-len(self.problem.train) // self.problem.batch_size)

    def alignment(self, model, features):
        self.step += 1
        weight = self.weight * (2 / (1 + np.exp(-10 * self.step / self.steps)) - 1)
        both = torch.cat([features, self.observed(len(features))])
        both = F.layer_norm(both, both.shape[1:])  # otherwise features grow without bound to escape the critic
        domain = torch.cat([torch.zeros(len(features)), torch.ones(len(features))])
        return F.binary_cross_entropy_with_logits(model.critic(_Reversed.apply(both, weight))[:, 0], domain)
