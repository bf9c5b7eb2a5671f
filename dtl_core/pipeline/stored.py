"""The spectra of a run, read from the store when they are asked for."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from astropy.table import Table

from ..files import load_arrays
from ..spectra.operators import window_grid

if TYPE_CHECKING:
    from ..config import Config
    from .store import Store

__all__ = ["StoredSpectra"]


@dataclass
class StoredSpectra:
    """The spectra of a run, synthetic and observed, read from the store on demand.

    Attributes
    ----------
    config : Config
    store : Store
    keys : dict
        Stage -> key, or list of keys.
    """

    config: Config
    store: Store
    keys: dict

    def arrays(self, stage, file, member=None):
        """Load arrays that a stage stored, as in ``run.arrays("autoencoder", "history", 0)``.

        Parameters
        ----------
        stage, file : str
        member : int, optional
            Of the ensemble.

        Returns
        -------
        dict of str to ndarray
        """
        key = self.keys[stage] if member is None else self.keys[stage][member]
        return load_arrays(self.store.path(stage, key) / f"{file}.safetensors")

    @property
    def wavelength(self):
        """Wavelengths: (n_pixels,), vacuum Angstrom."""
        return window_grid(self.config.window, margin=False)

    @functools.cached_property
    def synthetic(self):
        """Synthetic spectra: dict of ``flux`` (n, n_pixels) and ``labels`` (n, 4)."""
        return self.arrays("synthetic", "synthetic")

    @functools.cached_property
    def observed(self):
        """Observed fluxes (n_stars, n_pixels), those of the simulated survey first."""
        return self.arrays("observed", "observed")["flux"]

    @functools.cached_property
    def truth(self):
        """True labels of the simulated survey: DataFrame."""
        return Table.read(self.store.path("observed", self.keys["observed"]) / "truth.ecsv").to_pandas()

    @functools.cached_property
    def reports(self):
        """One row per real star with the fields of :class:`dtl_core.preparing.chain.Report`: DataFrame."""
        return pd.DataFrame(self._real["stars"])

    @functools.cached_property
    def refused(self):
        """Real spectra that could not be used: DataFrame of file and error."""
        return pd.DataFrame(self._real["refused"], columns=["file", "error"])

    @property
    def _real(self):
        return json.loads((self.store.path("observed", self.keys["observed"]) / "reports.json").read_text())

    @property
    def stars(self):
        """Names of all observed stars, in the order of ``observed``."""
        return [*self.truth["karmn"], *(self.reports["star"] if len(self.reports) else [])]
