"""Small tables as those of the benchmark's record."""

import numpy as np
import pandas as pd

from dtl_core.parameters import PARAMETERS

UNITS = dict(zip(PARAMETERS, (100, 0.1, 0.2, 2), strict=True))
COLUMNS = ["parameter", "region", "n", "rmse", "bias", "scatter", "truths", "arm", "seed"]


def errors():
    """Two methods and a classical one on three surveys: one with anchor stars has a tenth of the others' errors."""
    rows = []
    for seed in range(3):
        for method, factor in (("no transfer", 1.0), ("combined", 0.1), ("chi-square", 0.5)):
            for name, unit in UNITS.items():
                for region in ("all", "0", "1", "2"):
                    value = factor * unit * (1 + 0.1 * (seed - 1))
                    truths = 20 if method == "combined" else 0
                    rows.append((name, region, 143, value, value / 2, value, truths, method, seed))
    return pd.DataFrame(rows, columns=COLUMNS)


def rmse_of(**values):
    """Errors in Teff of methods, one value for each survey."""
    rows = [("teff", "all", name, seed, rmse) for name, own in values.items() for seed, rmse in enumerate(own)]
    return pd.DataFrame(rows, columns=["parameter", "region", "arm", "seed", "rmse"])


def kinds(seed=0):
    """Errors of four methods against three kinds of gap, two surveys each, at random."""
    rng, rows = np.random.default_rng(seed), []
    units = UNITS | {"logg_relation": 0.1, "logg_survey_relation": 0.1}
    for kind in ("line list", "spots", "zeeman"):
        for method in ("no transfer", "informed", "combined", "zero points"):
            for survey in (1, 2):
                for name, unit in units.items():
                    value, truths = unit * rng.lognormal(0, 0.6), 20 if method in ("combined", "zero points") else 0
                    rows.append((name, 143, value, value / 2, value, truths, kind, method, survey))
    return pd.DataFrame(rows, columns=["parameter", "n", "rmse", "bias", "scatter", "truths", "kind", "arm", "seed"])


def truth(n=286, seed=0):
    """Labels of stars, at random."""
    rng = np.random.default_rng(seed)
    values = {"teff": rng.uniform(2900, 4300, n), "logg": rng.uniform(4.6, 5.1, n), "mh": rng.normal(0, 0.2, n)}
    return pd.DataFrame(values | {"vsini": rng.uniform(1.5, 20, n)})


def survey_stars(n_surveys=8, factor=3.0):
    """Stars of several surveys whose errors are skewed and ``factor`` times what their network expects."""
    rng, parts = np.random.default_rng(1), []
    for survey in range(n_surveys):
        table = truth(286, 0)
        columns = {"survey": survey, "star": [f"S{k}" for k in range(286)]}
        for name, unit in zip(PARAMETERS, (30, 0.03, 0.05, 1), strict=True):
            spread = unit * np.exp(rng.normal(0, 0.3, 286))
            error = factor * spread * (rng.exponential(1, 286) - 1)
            columns |= {name: table[name], f"found_{name}": table[name] - error, f"spread_{name}": spread}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
