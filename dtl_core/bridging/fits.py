"""Classical fits: chi-square over the grid, least squares through an emulator."""

from __future__ import annotations

from .emulator import fit_emulator
from .label_fits import fit_labels, grid_labels
from .problem import Method

__all__ = ["ChiSquare", "LeastSquares"]


class ChiSquare(Method):
    """Chi-square over the synthetic grid, with free continuum and velocity (after Passegger et al. 2019)."""

    def predict(self, flux):
        problem = self.problem
        return grid_labels(
            flux, problem.flux[problem.train], problem.labels[problem.train], wavelength=problem.wavelength
        )[0]


class LeastSquares(ChiSquare):
    """Least-squares fit with an emulator of the spectra, with free continuum and velocity (after Ting et al. 2019).

    Attributes
    ----------
    emulator : Emulator
    weight : tensor of shape (n_pixels,), optional
        Weights of the squared residuals.
    """

    weight = None

    def learn(self, problem):
        settings = {"epochs": problem.emulator_epochs, "seed": problem.seed, "progress": problem.progress}
        self.emulator = fit_emulator(problem.flux, problem.labels, problem.train, problem.wavelength, **settings)

    def predict(self, flux):
        start = super().predict(flux)
        return fit_labels(self.emulator, flux, self.problem.wavelength, start, weight=self.weight)[0]
