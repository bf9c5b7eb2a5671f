"""Methods with an autoencoder and regressors on its latents: the paper's, with and without fine-tuning."""

from __future__ import annotations

import copy

import numpy as np
import torch

from ..networks.autoencoder import Autoencoder, autoencoder_loss
from ..networks.regressor import Regressor, regression_loss
from ..parameters import PARAMETERS
from .problem import Method

__all__ = ["Direct", "FineTuned", "FrozenDecoder"]


# ---------------------------------------------------------------- networks on latents


class Direct(Method):
    """The paper's way without its fine-tuning: autoencoder on synthetic spectra, regressors on its latents."""

    width, l1 = 256, 1e-7

    def learn(self, problem):
        self.problem, self._l1 = problem, torch.tensor([self.l1])
        self.source = Autoencoder(problem.flux.shape[1], self.width, [problem.seed], sample=problem.flux[problem.train])
        self._fit_autoencoder(self.source, problem.flux)
        latent = self._encode(self.source, problem.flux)
        seeds = [10 * problem.seed + k for k in range(len(PARAMETERS))]
        self.model = Regressor(latent, problem.labels[problem.train].T, seeds)
        problem.fit(self.model, lambda m, rows: regression_loss(m, latent[rows], problem.labels[rows].T).sum())

    def adapt(self, problem):
        self.problem = problem
        self.encoder = self.tuned()
        return self

    def _fit_autoencoder(self, model, flux):
        def loss(m, rows):
            return autoencoder_loss(m, flux[rows], l1=self._l1, weight=0.0).sum()

        self.problem.fit(model, loss, learning_rate=1e-3)

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
        return self._encode(self.source, self.problem.flux[rows]).numpy()

    def predict(self, flux):
        return self.model.predict(self._encode(self.encoder, torch.as_tensor(flux))).T.numpy()


class FineTuned(Direct):
    """The paper's way: last encoder layer, bottleneck and decoder are trained on to reconstruct observed spectra."""

    frozen, epochs, learning_rate = 4, 60, 3e-4

    def learn(self, problem):
        vars(self).update(vars(problem.learned(Direct)))  # the same autoencoder and regressors

    def tuned(self):
        model = copy.deepcopy(self.source).freeze(self.frozen)
        stars = self.problem.stars
        self.problem.fit(
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

        settings = {"epochs": self.epochs, "learning_rate": self.learning_rate}
        return self.problem.fit(model, loss, np.arange(len(stars)), **settings)
