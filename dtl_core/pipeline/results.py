"""What a run has found, read from the store when it is asked for."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from astropy.table import Table

from ..networks.autoencoder import load_autoencoders
from .headline import headline
from .stored import StoredSpectra

__all__ = ["Run"]


@dataclass
class Run(StoredSpectra):
    """What a run has found: its spectra, networks and catalogues.

    Attributes
    ----------
    search : DataFrame, one row per combination of the grid search
    architectures : DataFrame, its rows that were kept, best first
    """

    search: pd.DataFrame | None = None
    architectures: pd.DataFrame | None = None

    def autoencoder(self, member=0, *, tuned=False):
        """One trained autoencoder, before fine-tuning or after."""
        stage = "transfer" if tuned else "autoencoder"
        width = int(self.architectures["width"].iloc[member])
        return load_autoencoders(self.config, [self.store.path(stage, self.keys[stage][member])], width)

    @property
    def catalogue(self):
        """The catalogue (astropy Table) with observed latents from the fine-tuned encoder."""
        return self.catalogue_of("transfer")

    def catalogue_of(self, name):
        """A catalogue by name: ``transfer``, ``direct`` with observed latents from before fine-tuning, or
        ``recommended`` with the columns method, p_domain and strange besides (those of ``transfer`` where the profile
        chooses the paper's method).
        """
        if name == "recommended" and "recommended" in self.keys:
            return Table.read(self.store.path("recommended", self.keys["recommended"]) / "catalogue_recommended.ecsv")
        if name == "recommended":
            table = self.catalogue_of("transfer")
            table["method"], table["p_domain"], table["strange"] = "paper", np.nan, ""
            return table
        return Table.read(self.store.path("catalogue", self.keys["catalogue"]) / f"catalogue_{name}.ecsv")

    @functools.cached_property
    def figures(self):
        """Headline figures by name; see :mod:`dtl_core.pipeline.headline`."""
        return headline(self)

    def restarts(self):
        """How many networks of each stage diverged and began anew; stages without any are left out."""
        files = {"autoencoder": ("history", "restarts"), "transfer": ("history", "restarts"),
                 "regression": ("estimates", "history_restarts")}  # fmt: skip
        counts = {
            stage: sum(int((self.arrays(stage, file, k)[name] > 0).sum()) for k in range(len(self.keys[stage])))
            for stage, (file, name) in files.items()
            if stage in self.keys
        }
        return {stage: count for stage, count in counts.items() if count}

    def seconds(self):
        """Computing time, s, of every stage, summed over its members."""
        total = {}
        for stage, keys in self.keys.items():
            keys = [keys] if isinstance(keys, str) else keys
            total[stage] = float(np.nansum([self.store.seconds(stage, key) for key in keys]))
        return total

    def peak_memory(self):
        """Largest memory, bytes, of a process in every stage: of the member that took most."""
        return {
            stage: max(
                self.store.timing(stage, key).get("peak_memory", float("nan"))
                for key in ([keys] if isinstance(keys, str) else keys)
            )
            for stage, keys in self.keys.items()
        }
