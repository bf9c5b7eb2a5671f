"""Methods with an autoencoder and regressors on its latents: the paper's, with and without fine-tuning."""

from __future__ import annotations

import copy

import numpy as np
import torch

from ..config import AutoencoderConfig, Config, TransferConfig
from ..networks.autoencoder import Autoencoder, autoencoder_loss
from ..networks.fine_tuning import fine_tune
from ..networks.regressor import Regressor, regression_loss
from ..parameters import PARAMETERS
from .problem import Method

__all__ = ["Direct", "FineTuned", "FrozenDecoder"]


class Direct(Method):
    """The paper's method without fine-tuning: an autoencoder of synthetic spectra and regressors on its latents.

    Attributes
    ----------
    source : Autoencoder
        Trained on synthetic spectra, without the contractive penalty.
    encoder : Autoencoder
        The one that encodes observed spectra; here the same.
    model : Regressor
        One member per parameter.
    """

    width, l1 = 256, 1e-7

    def learn(self, problem):
        self.problem, self._l1 = problem, torch.tensor([self.l1])
        self.source = Autoencoder(problem.flux.shape[1], self.width, [problem.seed], sample=problem.flux[problem.train])

        def loss(m, rows):
            return autoencoder_loss(m, problem.flux[rows], l1=self._l1, weight=0.0).sum()

        problem.fit(self.source, loss, learning_rate=1e-3)
        latent = self._encode(self.source, problem.flux)
        seeds = [10 * problem.seed + k for k in range(len(PARAMETERS))]
        self.model = Regressor(latent, problem.labels[problem.train].T, seeds)
        problem.fit(self.model, lambda m, rows: regression_loss(m, latent[rows], problem.labels[rows].T).sum())

    def adapt(self, problem):
        self.problem = problem
        self.encoder = self.tuned()
        return self

    def tuned(self):
        """Return the autoencoder for observed spectra."""
        return self.source

    @staticmethod
    def _encode(model, flux):
        with torch.no_grad():
            return torch.cat([model.encode(part)[0] for part in flux.split(2048)])

    def latent(self, flux):
        return self._encode(self.encoder, torch.as_tensor(flux)).numpy()

    def synthetic_latent(self, rows):
        return self._encode(self.source, self.problem.flux[rows]).numpy()

    def predict(self, flux):
        return self.model.predict(self._encode(self.encoder, torch.as_tensor(flux))).T.numpy()


class FineTuned(Direct):
    """The paper's method: the late layers of the autoencoder are fine-tuned on the observed spectra (section 3.2).

    The contractive penalty is left out, as in the training of the autoencoder. The results on record were obtained with
    a one-cycle learning rate of the same peak; :func:`~dtl_core.networks.fine_tuning.fine_tune` keeps it constant.
    """

    transfer = TransferConfig(epochs=60, batch_size=64, learning_rate=3e-4, frozen_layers=4)

    def learn(self, problem):
        vars(self).update(vars(problem.learned(Direct)))  # the same autoencoder and regressors

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
        code = self._encode(self.source, flux)
        spread = code.std(0).clamp_min(1e-3)
        generator = torch.Generator().manual_seed(self.problem.seed)
        train = torch.as_tensor(self.problem.train)

        def loss(m, rows):
            again = train[torch.randint(len(train), (len(rows),), generator=generator)]
            kept = (((m.encode(flux[again])[0] - code[again]) / spread) ** 2).mean()
            return ((m(stars[rows])[0] - stars[rows]) ** 2).mean() * 1e3 + kept

        settings = {"epochs": self.transfer.epochs, "learning_rate": self.transfer.learning_rate}
        return self.problem.fit(model, loss, np.arange(len(stars)), **settings)
