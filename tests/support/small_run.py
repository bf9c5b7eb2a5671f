"""What pages and notebooks need of a finished run, without the run."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from astropy.table import Table

from dtl_core.config import load_profile
from dtl_core.parameters import PARAMETER_COLUMNS


def small_run(n_stars=24, *, real=("GJ 699",), first="S000"):
    """Stars of known labels, found with known errors."""
    rng = np.random.default_rng(5)
    names = [first, *(f"S{k:03d}" for k in range(1, n_stars))]
    truth = pd.DataFrame({
        "karmn": names, "teff": rng.uniform(3000, 4000, n_stars), "logg": rng.uniform(4.7, 5.1, n_stars),
        "mh": rng.uniform(-0.6, 0.2, n_stars), "vsini": rng.uniform(1.5, 30, n_stars),
        "active": np.arange(n_stars) % 3 == 0,
        "population": np.array(["D", "YD", "TD-D", "TD"])[np.arange(n_stars) % 4],
    })  # fmt: skip

    def catalogue_of(name):
        out = Table({"karmn": [*names, *real]})
        for p, column in PARAMETER_COLUMNS.items():
            shift = {"transfer": 0.1, "direct": 0.2, "recommended": 0.3}[name]
            values = np.append(truth[p] + shift, np.full(len(real), 3.0))
            out[column], out[f"e_{column}"], out[f"E_{column}"] = values, 0.01 + 0 * values, 0.02 + 0 * values
        if name == "recommended":
            out["method"], out["p_domain"], out["strange"] = "combined", 0.5, "latent"
        return out

    return SimpleNamespace(config=load_profile("smoke"), truth=truth, catalogue=catalogue_of("transfer"),
                           catalogue_of=catalogue_of)  # fmt: skip
