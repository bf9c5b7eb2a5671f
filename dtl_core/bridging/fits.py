"""Classical fits: chi-square over the grid, least squares through an emulator."""

from __future__ import annotations

from .emulator import fit_emulator, fit_labels, grid_labels
from .problem import Arm

__all__ = ["ChiSquare", "LeastSquares"]


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
