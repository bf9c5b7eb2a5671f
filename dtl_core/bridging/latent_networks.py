"""Methods with regressors on a few features of a spectrum: latents of an autoencoder, or principal components."""

from __future__ import annotations

import abc
import copy

import numpy as np
import torch

from ..config import AutoencoderConfig, Config, TransferConfig
from ..networks.autoencoder import Autoencoder, autoencoder_loss
from ..networks.fine_tuning import fine_tune
from ..networks.regressor import Regressor, regression_loss
from ..parameters import PARAMETERS
from .problem import Method
from .randomiser import AUGMENTATION

__all__ = [
    "Direct",
    "FineTuned",
    "FrozenDecoder",
    "NoisyAutoencoder",
    "NoisyFineTuned",
    "NoisyPrincipalComponents",
    "PrincipalComponents",
    "RefittedPrincipalComponents",
]


class _OnFeatures(Method):
    """The paper's regressors on features of synthetic spectra, one per parameter.

    Attributes
    ----------
    augmentation : Randomiser, optional
        Changes the spectra whose features the regressors see in training, in a different way at each step.
    model : Regressor
        One member per parameter.
    """

    augmentation = None

    @abc.abstractmethod
    def encoded(self, flux):
        """Features (n, n_features) of synthetic spectra (n, n_pixels), both tensors."""

    def regress(self, problem):
        """Train the regressors."""
        self.problem, self.generator = problem, torch.Generator().manual_seed(problem.seed)
        features = torch.cat([self.encoded(self.seen(rows)) for rows in torch.arange(len(problem.flux)).split(2048)])
        seeds = [10 * problem.seed + k for k in range(len(PARAMETERS))]
        self.model = Regressor(features, problem.labels[problem.train].T, seeds)

        def loss(model, rows):
            own = self.encoded(self.seen(rows)) if self.augmentation else features[rows]
            return regression_loss(model, own, problem.labels[rows].T).sum()

        problem.fit(self.model, loss)

    def seen(self, rows):
        """Synthetic fluxes of some rows, as the regressors see them in training."""
        flux = self.problem.flux[rows]
        if self.augmentation is None:
            return flux
        return self.problem.randomised(self.augmentation, flux, rows, self.generator)

    def latent(self, flux):
        """Features (n, n_features) of observed spectra."""
        return self.encoded(torch.as_tensor(flux)).numpy()

    def synthetic_latent(self, rows):
        """Features of synthetic spectra, given by their rows."""
        return self.encoded(self.problem.flux[rows]).numpy()

    def predict(self, flux):
        return self.model.predict(torch.as_tensor(self.latent(flux))).T.numpy()


class Direct(_OnFeatures):
    """The paper's method without fine-tuning: an autoencoder of synthetic spectra and regressors on its latents.

    Attributes
    ----------
    source : Autoencoder
        Trained on synthetic spectra, without the contractive penalty.
    encoder : Autoencoder
        The one that encodes observed spectra; here the same.
    """

    width, l1 = 256, 1e-7

    def learn(self, problem):
        self.problem, self._l1 = problem, torch.tensor([self.l1])
        self.source = Autoencoder(problem.flux.shape[1], self.width, [problem.seed], sample=problem.flux[problem.train])

        def loss(m, rows):
            return autoencoder_loss(m, problem.flux[rows], l1=self._l1, weight=0.0).sum()

        problem.fit(self.source, loss, learning_rate=1e-3)
        self.regress(problem)

    def adapt(self, problem):
        self.problem = problem
        self.encoder = self.tuned()
        return self

    def tuned(self):
        """Return the autoencoder for observed spectra."""
        return self.source

    @staticmethod
    def encode(model, flux):
        """Latents (n, bottleneck) of spectra (n, n_pixels) by the first autoencoder of a stack."""
        with torch.no_grad():
            return torch.cat([model.encode(part)[0] for part in flux.split(2048)])

    def encoded(self, flux):
        return self.encode(self.source, flux)

    def latent(self, flux):
        return self.encode(self.encoder, torch.as_tensor(flux)).numpy()


class FineTuned(Direct):
    """The paper's method: the late layers of the autoencoder are fine-tuned on the observed spectra (section 3.2).

    The contractive penalty is left out, as in the training of the autoencoder. The results on record were obtained with
    a one-cycle learning rate of the same peak; :func:`~dtl_core.networks.fine_tuning.fine_tune` keeps it constant.
    """

    base = Direct
    transfer = TransferConfig(epochs=60, batch_size=64, learning_rate=3e-4, frozen_layers=4)

    def learn(self, problem):
        vars(self).update(vars(problem.learned(self.base)))  # the same autoencoder and regressors

    def tuned(self):
        problem, everyone = self.problem, np.arange(len(self.problem.stars))
        config = Config(autoencoder=AutoencoderConfig(contractive_weight=0.0), transfer=self.transfer)
        options = {"l1": self._l1, "seeds": [problem.seed], "progress": problem.progress}
        return fine_tune(self.source, problem.stars, everyone, None, config, **options)[0]


class FrozenDecoder(FineTuned):
    """Fine-tuning of the encoder alone, so that observed spectra must map into the synthetic latent space.

    The latents of synthetic spectra are held in place by a second term of the loss.
    """

    def tuned(self):
        model, stars, flux = copy.deepcopy(self.source), self.problem.stars, self.problem.flux
        for layer in model.decoder:
            layer.requires_grad_(False)
        code = self.encode(self.source, flux)
        spread = code.std(0).clamp_min(1e-3)
        generator = torch.Generator().manual_seed(self.problem.seed)
        train = torch.as_tensor(self.problem.train)

        def loss(m, rows):
            again = train[torch.randint(len(train), (len(rows),), generator=generator)]
            kept = (((m.encode(flux[again])[0] - code[again]) / spread) ** 2).mean()
            return ((m(stars[rows])[0] - stars[rows]) ** 2).mean() * 1e3 + kept

        settings = {"epochs": self.transfer.epochs, "learning_rate": self.transfer.learning_rate}
        return self.problem.fit(model, loss, np.arange(len(stars)), **settings)


class NoisyAutoencoder(Direct):
    """As :class:`Direct`, but the regressors see latents of spectra with random noise, continuum, velocity, resolution.

    The autoencoder is the same: only the regressors learn which latent units these disturb.
    """

    augmentation = AUGMENTATION

    def learn(self, problem):
        plain = problem.learned(Direct)
        self.source, self._l1 = plain.source, plain._l1
        self.regress(problem)


class NoisyFineTuned(FineTuned):
    """The paper's fine-tuning, with the regressors of :class:`NoisyAutoencoder`."""

    base = NoisyAutoencoder


class PrincipalComponents(_OnFeatures):
    """Principal components of the synthetic spectra in place of the autoencoder: the linear baseline.

    The scores are standardised like latents, and the regressors and their training are the same.

    Attributes
    ----------
    n_components : int
        As many as the autoencoder has latent units.
    components : sklearn.decomposition.PCA
    """

    n_components = 32

    def learn(self, problem):
        self._decompose(problem.flux[problem.train])
        self.regress(problem)

    def _decompose(self, flux):
        """Find the components of spectra (n, n_pixels)."""
        n = min(self.n_components, *flux.shape)
        from sklearn.decomposition import PCA

        self.components = PCA(n, svd_solver="covariance_eigh", whiten=True).fit(flux.double().numpy())

    def encoded(self, flux):
        return torch.as_tensor(self.components.transform(flux.double().numpy()), dtype=torch.float32)


class NoisyPrincipalComponents(PrincipalComponents):
    """Principal components whose regressors see scores of augmented spectra, like :class:`NoisyAutoencoder`.

    Standardised components of low variance contain more noise than signal; these regressors learn to ignore them.
    """

    augmentation = AUGMENTATION


class RefittedPrincipalComponents(PrincipalComponents):
    """Principal components of synthetic and observed spectra together: the linear counterpart of fine-tuning.

    Both domains have the same weight, because a few hundred stars among thousands of synthetic spectra would hardly
    change the components. The regressors are trained on the synthetic scores in these components.
    """

    def learn(self, problem):
        """Nothing can be learned without the observed spectra."""

    def adapt(self, problem):
        flux, stars = problem.flux[problem.train], problem.stars
        self._decompose(torch.cat([flux, stars.repeat(max(1, round(len(flux) / len(stars))), 1)]))
        self.regress(problem)
        return self
