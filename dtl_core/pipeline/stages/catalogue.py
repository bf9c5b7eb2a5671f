"""Stage ``catalogue``: one value with errors for every star, from the estimates of the best regressors."""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from ...estimates import density
from ...files import load_arrays, save_arrays
from ...parameters import PARAMETER_COLUMNS
from .shared import ENCODERS

__all__ = ["make_catalogue"]


def make_catalogue(store, config, keys, regressions, stars):
    """Select the best regressors, estimate densities and write one catalogue for each of ``ENCODERS``.

    Parameters
    ----------
    store : Store
    config : Config
    keys : dict
        Key of the stage ``observed``.
    regressions : list of str
        Keys of the stage ``regression``.
    stars : list of str
        Names of the observed stars.

    Returns
    -------
    folder : Path
    key : str
    """

    def compute(folder):
        parts = [load_arrays(store.path("regression", key) / "estimates.safetensors") for key in regressions]
        selection = {}
        for encoder in ENCODERS:
            table = Table(
                {"karmn": stars, "ra_gaiadr3": np.full(len(stars), np.nan), "dec_gaiadr3": np.full(len(stars), np.nan)}
            )
            for k, (name, column) in enumerate(PARAMETER_COLUMNS.items()):
                values = np.concatenate([part[encoder][part["column"] == k] for part in parts])
                error = np.concatenate([part["history_test"][-1][part["column"] == k] for part in parts])
                best = density.best_of(error, config.regression.n_kept)
                mode, lower, upper = density.kde_mode(
                    values[best], grid_size=config.estimate.grid_size, rule=config.estimate.bandwidth
                )
                table[column], table[f"e_{column}"], table[f"E_{column}"] = mode, lower, upper
                selection |= {f"{encoder}_{name}": values[best], f"kept_{name}": best, f"test_mse_{name}": error}
            for column, unit in (("Teff", "K"), ("vsini", "km / s"), ("ra_gaiadr3", "deg"), ("dec_gaiadr3", "deg")):
                for name in {column, f"e_{column}", f"E_{column}"} & set(table.colnames):
                    table[name].unit = unit
            table.meta = {
                "encoder": encoder,
                "profile": config.profile,
                "resolving_power": config.window.resolving_power,
            }
            table.write(folder / f"catalogue_{encoder}.ecsv")
        save_arrays(folder / "selection.safetensors", selection)

    settings = {"estimate": config.estimate, "n_kept": config.regression.n_kept, "profile": config.profile}
    inputs = {f"regression_{k}": key for k, key in enumerate(regressions)} | {"observed": keys["observed"]}
    return store.stage("catalogue", settings, inputs, compute)
