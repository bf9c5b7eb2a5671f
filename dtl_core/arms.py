"""The ways to bridge the synthetic gap that the test bench compares: the same data, seed and budget for each.

Every arm is a class with two calls:

    arm.fit(bench)          learns from labelled synthetic spectra and, where it can, from observed ones without labels
    arm.predict(flux)       (n_stars, 4) labels of observed spectra (n_stars, n_pixels)

``fit`` is ``learn``, from the synthetic spectra alone, and ``adapt``, to the observed ones, which can be done again for
others. Nothing but the anchor stars of ``bench`` tells an arm the truth of an observed star.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .autoencoder import Autoencoder, autoencoder_loss
from .config import PARAMETERS
from .emulator import fit_emulator, fit_labels, grid_labels, optical_depth
from .randomise import Randomiser
from .regressor import Regressor, regression_loss
from .training import fit

__all__ = [
    "ARMS",
    "Adversarial",
    "Aligned",
    "Bench",
    "ChiSquare",
    "Combined",
    "Direct",
    "FineTuned",
    "FrozenDecoder",
    "LeastSquares",
    "OnFluxes",
    "Prepared",
    "Randomised",
    "SelfCalibrated",
    "ZeroPoints",
]


@dataclass
class Bench:
    """What the arms are given.

    Attributes
    ----------
    wavelength : (n_pixels,) A, even steps
    flux, labels : (n, n_pixels), (n, 4) synthetic, as tensors;  train, valid : their row numbers
    stars : (m, n_pixels) observed, tensor, without labels
    resolving_power : of the run
    anchors : parameter -> (rows of ``stars``, known values): the few stars whose parameters others have measured
    seed : of everything random
    epochs, batch_size, learning_rate : budget of each network
    emulator_epochs : of an emulator, whose steps are short
    known : arms by class that have learnt from these synthetic spectra; a bench with other stars can share them
    progress : called once an epoch of a network or an emulator, optional
    """

    wavelength: np.ndarray
    flux: torch.Tensor
    labels: torch.Tensor
    train: np.ndarray
    valid: np.ndarray
    stars: torch.Tensor
    resolving_power: float
    anchors: dict = field(default_factory=dict)
    seed: int = 0
    epochs: int = 20
    emulator_epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 2e-3
    known: dict = field(default_factory=dict)
    progress: Callable | None = None

    def learned(self, kind):
        """An arm of a class that has learnt from the synthetic spectra, once for all that ask for it."""
        if kind not in self.known:
            self.known[kind] = kind()
            self.known[kind].learn(self)
        return copy.copy(self.known[kind])

    @property
    def step(self):
        return float(self.wavelength[1] - self.wavelength[0])

    def fit(self, model, loss, index=None, *, epochs=None, learning_rate=None):
        """Train a network with the bench's budget: ``loss(model, rows (B,))`` is a number."""
        fit(
            model,
            lambda m, rows: loss(m, rows[0]).reshape(1),
            np.asarray(self.train if index is None else index)[None],
            epochs=epochs or self.epochs,
            batch_size=self.batch_size,
            learning_rate=learning_rate or self.learning_rate,
            seeds=[self.seed],
            schedule="one-cycle",
            progress=self.progress,
        )
        return model


class Arm:
    """What all arms share."""

    def fit(self, bench):
        """Learn from all that the bench holds. Returns: the arm."""
        self.learn(bench)
        return self.adapt(bench)

    def learn(self, bench):
        """Whatever needs no observed spectra."""

    def adapt(self, bench):
        """Whatever needs them. Returns: the arm."""
        self.bench = bench
        return self


# ---------------------------------------------------------------- networks on fluxes


class FluxNet(nn.Module):
    """Three strided convolutions and two dense layers, from fluxes to features and from these to four labels.

    A second head says how far off the labels are likely to be; it learns from the features and leaves them alone.
    """

    def __init__(self, flux, labels, seed):
        super().__init__()
        self.register_buffer("centre", flux.mean(0))
        self.register_buffer("spread", (flux - flux.mean(0)).std())
        self.register_buffer("label_mean", labels.mean(0))
        self.register_buffer("label_spread", labels.std(0))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            shapes = ((1, 16, 11, 4), (16, 32, 7, 4), (32, 32, 5, 2))  # channels in and out, kernel, stride
            self.convolutions = nn.Sequential(*(f for shape in shapes for f in (nn.Conv1d(*shape), nn.ReLU())))
            n = self.convolutions(torch.zeros(1, 1, flux.shape[1])).numel()
            self.dense = nn.Sequential(nn.Linear(n, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
            self.head = nn.Linear(64, len(PARAMETERS))
            self.log_spread = nn.Linear(64, len(PARAMETERS))

    def features(self, flux):
        return self.dense(self.convolutions(((flux - self.centre) / self.spread).unsqueeze(1)).flatten(1))

    def standardised(self, labels):
        return (labels - self.label_mean) / self.label_spread

    def loss(self, features, labels):
        """Squared error of standardised labels, and the Gaussian likelihood of its size. Returns: number."""
        error = self.head(features) - self.standardised(labels)
        log_spread = self.log_spread(features.detach())
        return error.square().mean() + (0.5 * error.detach().square() * torch.exp(-2 * log_spread) + log_spread).mean()

    def forward(self, flux):
        """Labels and their standard errors, (n, 4) both."""
        features = self.features(flux)
        labels = self.head(features) * self.label_spread + self.label_mean
        return labels, self.log_spread(features).exp() * self.label_spread


class OnFluxes(Arm):
    """A network on synthetic fluxes, no transfer (Passegger et al. 2020)."""

    def learn(self, bench):
        self.bench = bench
        self.generator = torch.Generator().manual_seed(bench.seed)
        self.model = FluxNet(bench.flux[bench.train], bench.labels[bench.train], bench.seed)
        self.prepare()
        bench.fit(self.model, self.loss)

    def prepare(self):
        """Whatever else is trained with the network becomes a part of it."""

    def seen(self, rows):
        """Synthetic fluxes as the network sees them in training."""
        return self.bench.flux[rows]

    def loss(self, model, rows):
        features = model.features(self.seen(rows))
        return model.loss(features, self.bench.labels[rows]) + self.alignment(model, features)

    def alignment(self, model, features):
        """What is added to the loss for the sake of the observed domain."""
        return 0.0

    def observed(self, n):
        """Features of as many observed spectra, drawn at random."""
        stars = self.bench.stars
        return self.model.features(stars[torch.randint(len(stars), (n,), generator=self.generator)])

    def latent(self, flux):
        """(n, n_features) of observed spectra."""
        with torch.no_grad():
            return torch.cat([self.model.features(part) for part in torch.as_tensor(flux).split(2048)]).numpy()

    def synthetic_latent(self, rows):
        """The same of synthetic spectra."""
        return self.latent(self.bench.flux[rows])

    def predict(self, flux):
        return self._outputs(flux)[0]

    def spread(self, flux):
        """Standard errors (n_stars, 4) that the network expects of its labels."""
        return self._outputs(flux)[1]

    def _outputs(self, flux):
        with torch.no_grad():
            parts = [self.model(part) for part in torch.as_tensor(flux).split(2048)]
        return [torch.cat(side).numpy() for side in zip(*parts, strict=True)]


class Randomised(OnFluxes):
    """A network on fluxes that were changed at random: domain randomisation (Tobin et al. 2017, arXiv:1703.06907)."""

    randomiser = Randomiser()

    def seen(self, rows):
        return self.randomised(self.bench.flux[rows], rows)

    def randomised(self, flux, rows):
        bench = self.bench
        return self.randomiser(flux, bench.labels[rows, 3], bench.step, bench.resolving_power, self.generator)


class _Jointly(OnFluxes):
    """Trained on synthetic and observed spectra at once."""

    def learn(self, bench):
        pass

    def adapt(self, bench):
        super().learn(bench)
        return self


class Aligned(_Jointly):
    """Mean and covariance of synthetic and observed features are made alike: CORAL (Sun & Saenko 2016, 1607.01719)."""

    weight = 1.0

    def alignment(self, model, features):
        other = self.observed(len(features))
        difference = (_covariance(features) - _covariance(other)).square().sum() / (4 * features.shape[1] ** 2)
        return self.weight * (difference + (features.mean(0) - other.mean(0)).square().mean())


def _covariance(x):
    x = x - x.mean(0)
    return x.T @ x / (len(x) - 1)


class _Reversed(torch.autograd.Function):
    """The same forwards; the gradient with the other sign backwards."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.weight * gradient, None


class Adversarial(_Jointly):
    """A second network must not be able to tell the domains apart: DANN (Ganin et al. 2016, arXiv:1505.07818)."""

    weight = 0.1  # of 0.03, 0.1, 0.3 and 1, on the half of a survey that choices are made on

    def prepare(self):
        with torch.random.fork_rng():
            torch.manual_seed(self.bench.seed + 1)
            self.model.critic = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        self.step, self.steps = 0, self.bench.epochs * -(-len(self.bench.train) // self.bench.batch_size)

    def alignment(self, model, features):
        self.step += 1
        weight = self.weight * (2 / (1 + np.exp(-10 * self.step / self.steps)) - 1)
        both = torch.cat([features, self.observed(len(features))])
        both = F.layer_norm(both, both.shape[1:])  # else features grow without end to outrun the critic
        domain = torch.cat([torch.zeros(len(features)), torch.ones(len(features))])
        return F.binary_cross_entropy_with_logits(model.critic(_Reversed.apply(both, weight))[:, 0], domain)


# ---------------------------------------------------------------- networks on latents


class Direct(Arm):
    """The paper's way without its fine-tuning: autoencoder on synthetic spectra, regressors on its latents."""

    width, l1 = 256, 1e-7

    def learn(self, bench):
        self.bench, self._l1 = bench, torch.tensor([self.l1])
        self.source = Autoencoder(bench.flux.shape[1], self.width, [bench.seed], sample=bench.flux[bench.train])
        self._fit_autoencoder(self.source, bench.flux)
        latent = self._encode(self.source, bench.flux)
        seeds = [10 * bench.seed + k for k in range(len(PARAMETERS))]
        self.model = Regressor(latent, bench.labels[bench.train].T, seeds)
        bench.fit(self.model, lambda m, rows: regression_loss(m, latent[rows], bench.labels[rows].T).sum())

    def adapt(self, bench):
        self.bench = bench
        self.encoder = self.tuned()
        return self

    def _fit_autoencoder(self, model, flux):
        def loss(m, rows):
            return autoencoder_loss(m, flux[rows], l1=self._l1, weight=0.0).sum()

        self.bench.fit(model, loss, learning_rate=1e-3)

    def tuned(self):
        """The autoencoder of observed spectra."""
        return self.source

    @staticmethod
    def _encode(model, flux):
        with torch.no_grad():
            return torch.cat([model.encode(part)[0] for part in flux.split(2048)])

    def latent(self, flux):
        return self._encode(self.encoder, torch.as_tensor(flux)).numpy()

    def synthetic_latent(self, rows):
        return self._encode(self.source, self.bench.flux[rows]).numpy()

    def predict(self, flux):
        return self.model.predict(self._encode(self.encoder, torch.as_tensor(flux))).T.numpy()


class FineTuned(Direct):
    """The paper's way: last encoder layer, bottleneck and decoder are trained on to reconstruct observed spectra."""

    frozen, epochs, learning_rate = 4, 60, 3e-4

    def learn(self, bench):
        vars(self).update(vars(bench.learned(Direct)))  # the same autoencoder and regressors

    def tuned(self):
        model = copy.deepcopy(self.source).freeze(self.frozen)
        stars = self.bench.stars
        self.bench.fit(
            model,
            lambda m, rows: autoencoder_loss(m, stars[rows], l1=self._l1, weight=0.0).sum(),
            np.arange(len(stars)),
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        return model


class FrozenDecoder(FineTuned):
    """The decoder stays as it is, so that observed spectra must speak the synthetic code; so do synthetic ones."""

    def tuned(self):
        model, stars, flux = copy.deepcopy(self.source), self.bench.stars, self.bench.flux
        for layer in model.decoder:
            layer.requires_grad_(False)
        code = self._encode(self.source, flux)
        spread = code.std(0).clamp_min(1e-3)
        generator = torch.Generator().manual_seed(self.bench.seed)
        train = torch.as_tensor(self.bench.train)

        def loss(m, rows):
            again = train[torch.randint(len(train), (len(rows),), generator=generator)]
            kept = (((m.encode(flux[again])[0] - code[again]) / spread) ** 2).mean()
            return ((m(stars[rows])[0] - stars[rows]) ** 2).mean() * 1e3 + kept

        settings = {"epochs": self.epochs, "learning_rate": self.learning_rate}
        return self.bench.fit(model, loss, np.arange(len(stars)), **settings)


# ---------------------------------------------------------------- classical fits


class ChiSquare(Arm):
    """Chi-square over the synthetic grid, continuum and velocity free (after Passegger et al. 2019)."""

    def predict(self, flux):
        bench = self.bench
        return grid_labels(flux, bench.flux[bench.train], bench.labels[bench.train], wavelength=bench.wavelength)[0]


class LeastSquares(ChiSquare):
    """Least squares through an emulator of the spectra, continuum and velocity free (after Ting et al. 2019)."""

    weight = None  # of the squared residuals, (n_pixels,)

    def learn(self, bench):
        settings = {"epochs": bench.emulator_epochs, "seed": bench.seed, "progress": bench.progress}
        self.emulator = fit_emulator(bench.flux, bench.labels, bench.train, bench.wavelength, **settings)

    def predict(self, flux):
        start = super().predict(flux)
        return fit_labels(self.emulator, flux, self.bench.wavelength, start, weight=self.weight)[0]


# ---------------------------------------------------------------- on top of another arm


def zero_points(found, anchors):
    """Median of estimate minus known value of the anchor stars, for each parameter; 0 where there are none: (4,)."""
    out = np.zeros(len(PARAMETERS))
    for k, name in enumerate(PARAMETERS):
        rows, known = anchors.get(name, ((), ()))
        if len(rows):
            out[k] = np.median(found[rows, k] - known)
    return out


class ZeroPoints(Arm):
    """The arm below, moved by a constant for each parameter so that the anchor stars come out right in the median."""

    base = Randomised

    def learn(self, bench):
        self.arm = bench.learned(self.base)

    def adapt(self, bench):
        self.bench = bench
        self.arm = copy.copy(self.arm).adapt(bench)
        self.zero = zero_points(self.arm.predict(bench.stars), bench.anchors)
        return self

    def predict(self, flux):
        return self.arm.predict(flux) - self.zero


class SelfCalibrated(Arm):
    """What all observed stars have in common against emulated spectra of their labels is taken off, and again.

    In optical depth, pixel by pixel over the stars: t_observed = a + r t_emulated. The emulator with the lines a + r t
    then stands for the observed domain: a fit below uses it, a network below sees spectra without the difference that
    it makes; both give new labels. a and r are drawn towards 0 and 1, so that pixels without lines stay, and come from
    the half of the stars that rotate least, because rotation averages over lines. With ``anchored`` the labels that are
    compared with are moved by the zero points of the anchor stars, so that the line strengths settle where these come
    out right.
    """

    base, rounds, ridge, anchored = Randomised, 3, 0.02, False

    def learn(self, bench):
        self.arm = bench.learned(self.base)
        self.emulator = bench.learned(LeastSquares).emulator

    def adapt(self, bench):
        self.bench = bench
        self.arm = copy.copy(self.arm).adapt(bench)
        self.calibrated, self.zero = self.emulator, np.zeros(len(PARAMETERS))
        self._use(None)
        for _ in range(self.rounds):
            labels = self._estimate(bench.stars)
            if self.anchored:
                labels = labels - zero_points(labels, bench.anchors)
            self._compare(bench.stars, torch.as_tensor(labels, dtype=torch.float32))
        if self.anchored:
            found = self._estimate(bench.stars)
            self.zero = zero_points(found, bench.anchors)
            self.labels = found - self.zero  # of the bench's stars
        return self

    def _use(self, weight):
        if isinstance(self.arm, LeastSquares):
            self.arm.emulator, self.arm.weight = self.calibrated, weight

    def _compare(self, stars, labels):
        """Lines and weights of the pixels from stars (n, n_pixels) of known or estimated labels (n, 4)."""
        with torch.no_grad():
            labels = self.emulator.clamped(labels)
            slow = torch.argsort(labels[:, 3])[: max(2, len(labels) // 2)]
            expected = optical_depth(self.emulator(labels[slow]))
            self.calibrated = self.emulator.with_lines(*common_lines(optical_depth(stars[slow]), expected, self.ridge))
            left = (stars - self.calibrated(labels)).abs().median(0).values
        weight = 1 / (left**2 + (0.3 * left.median()) ** 2)
        self._use(weight / weight.mean())

    def _estimate(self, flux):
        found = self.arm.predict(flux)
        if not isinstance(self.arm, LeastSquares):
            for _ in range(2):
                found = self.arm.predict(self.corrected(flux, found))
        return found

    def difference(self, labels):
        """What the lines of the observed domain change in spectra of labels (n, 4): (n, n_pixels)."""
        labels = self.emulator.clamped(torch.as_tensor(labels, dtype=torch.float32))
        with torch.no_grad():
            return torch.cat([self.calibrated(part) - self.emulator(part) for part in labels.split(2048)])

    def corrected(self, flux, labels):
        """Observed spectra with the lines of synthetic ones."""
        return torch.as_tensor(flux) - self.difference(labels)

    def latent(self, flux):
        return self.arm.latent(self.corrected(flux, self._estimate(flux)))

    def synthetic_latent(self, rows):
        return self.arm.synthetic_latent(rows)

    def predict(self, flux):
        return self._estimate(flux) - self.zero


def common_lines(observed, expected, ridge):
    """Ridge regression of observed on expected optical depths, every pixel for itself, robust against single stars.

    Arguments: observed, expected (n_stars, n_pixels); ridge, the depth to which noise matters.
    Returns: offset (n_pixels,), drawn towards 0, and scale (n_pixels,), drawn towards 1.
    """
    difference = observed - expected
    middle = difference.median(0).values
    limit = 3 * 1.4826 * (difference - middle).abs().median(0).values + 1e-6
    weight = ((difference - middle).abs() <= limit).float()
    x, y, n = expected, difference, weight.sum(0)
    penalty = len(x) * ridge**2
    xx, x1, xy, y1 = ((weight * v).sum(0) for v in (x * x, x, x * y, y))
    determinant = (xx + penalty) * (n + penalty) - x1**2
    scale = (1 + ((n + penalty) * xy - x1 * y1) / determinant).clamp(0.3, 3.0)
    return ((xx + penalty) * y1 - x1 * xy) / determinant, scale


class Anchored(SelfCalibrated):
    """Network on randomised fluxes, self-calibrated, with the anchor stars."""

    anchored = True


class LeastSquaresSelfCalibrated(SelfCalibrated):
    """Least squares through the emulator, self-calibrated, each pixel as well as it is known."""

    base = LeastSquares


class LeastSquaresAnchored(LeastSquaresSelfCalibrated):
    """The same, with the anchor stars."""

    anchored = True


class Prepared(Arm):
    """A network on randomised fluxes, and the emulator's fit as a second opinion: for stars without a survey."""

    zero = 0.0  # of the labels

    def learn(self, bench):
        self.network, self.arm = bench.learned(Randomised), bench.learned(LeastSquares)

    def adapt(self, bench):
        self.bench, self.arm = bench, copy.copy(self.arm).adapt(bench)
        self.emulator = self.arm.emulator
        return self

    def latent(self, flux):
        return self.network.latent(flux)

    def synthetic_latent(self, rows):
        return self.network.synthetic_latent(rows)

    def predict(self, flux):
        return self.network.predict(flux) - self.zero

    def spread(self, flux):
        return self.network.spread(flux)

    def reconstruct(self, labels):
        """Spectra (n, n_pixels) that stars of labels (n, 4) have in the observed domain, as far as it is known."""
        with torch.no_grad():
            return self.emulator(self.emulator.clamped(torch.as_tensor(labels, dtype=torch.float32)))


class Combined(Prepared):
    """A network trained on synthetic spectra with the lines of the survey, and with what else its spectra show.

    The anchored fit below says how strong the lines of the observed domain are, and what it leaves of every star:
    noise, continuum, tellurics, activity, whatever it is. Synthetic spectra get the first, and the second of stars
    drawn at random; a network learns labels from them, so it learns as well which features to trust.
    """

    def learn(self, bench):
        self.arm = bench.learned(LeastSquaresAnchored)

    def adapt(self, bench):
        self.bench, self.arm = bench, copy.copy(self.arm).adapt(bench)
        self.emulator = self.arm.calibrated
        left = bench.stars - self.reconstruct(self.arm.labels)
        self.network = _OnLeftovers(bench.flux + self.arm.difference(bench.labels), left)
        self.network.learn(bench)
        self.zero = zero_points(self.network.predict(bench.stars), bench.anchors)
        return self


class _OnLeftovers(Randomised):
    """A network on ``lines`` (n, n_pixels), spectra of the bench's labels, with leftovers (m, n_pixels) added."""

    randomiser = Randomiser(noise=0.005, line_strength=0.1, lines=0)

    def __init__(self, lines, left):
        self.lines, self.left = lines, left

    def synthetic_latent(self, rows):
        return self.latent(self.lines[rows])

    def seen(self, rows):
        flux = self.randomised(self.lines[rows], rows)
        picked = torch.randint(len(self.left), (len(flux),), generator=self.generator)
        size = 1 + 0.3 * torch.randn(len(flux), 1, generator=self.generator)
        return flux + size * self.left[picked]


ARMS = {
    "no transfer": OnFluxes,
    "autoencoder": Direct,
    "fine-tuned": FineTuned,
    "frozen decoder": FrozenDecoder,
    "aligned": Aligned,
    "adversarial": Adversarial,
    "randomised": Randomised,
    "self-calibrated": SelfCalibrated,
    "zero points": ZeroPoints,
    "anchored": Anchored,
    "combined": Combined,
    "chi-square": ChiSquare,
    "least squares": LeastSquares,
    "least squares self-calibrated": LeastSquaresSelfCalibrated,
    "least squares anchored": LeastSquaresAnchored,
}
