"""Headline figures of a run by name: the one source from which the book and other programs take their numbers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ..bridging.benchmark import halves
from ..errors import StoreError
from ..estimates import density, gravity
from ..estimates.gap import nearest_distance
from ..parameters import PARAMETER_COLUMNS, PARAMETERS, TABLE
from .stages.shared import ENCODERS
from .store import Store

__all__ = ["PUBLISHED_STARS", "headline", "last_run", "real_star_table"]


# Published parameters of the HPF stars: (Teff [K], log g, [M/H], v sin i [km/s], source); None where none is given.
PUBLISHED_STARS = {
    "GJ 699": [
        (3254, 5.13, -0.57, 2.0, "Marfil+ 2021; v sin i: upper limit of Reiners+ 2018"),
        (3353, 4.96, -0.22, 3.1, "Mas-Buitrago+ 2024"),
    ],
    "G 9-40": [(3404, None, -0.08, None, "Stefansson+ 2020, same instrument")],
    "VB 10": [(2508, 5.24, None, 2.7, "Pineda+ 2021, log g from their mass and radius; v sin i: Reiners+ 2018")],
}


def headline(run):
    """Headline figures of a finished run.

    Parameters
    ----------
    run : Run

    Returns
    -------
    dict of str to float, int, str or None

    Notes
    -----
    For each parameter p (teff [K], logg, mh [dex], vsini [km/s]) and method m (``transfer``, the paper's; ``direct``,
    with observed latents from before fine-tuning; ``recommended``), over the stars of the simulated survey:
    ``rmse_p_m``, ``bias_p_m`` (estimate minus truth), ``coverage_p_m`` (number of stars whose truth is within 1 sigma)
    and ``pearson_p_m``. The coverage of ``recommended`` counts only the half of the survey on which its error bars were
    not calibrated. ``rmse_logg_relation_m`` and ``rmse_logg_survey_relation_m`` are the rmse of log g by the relations
    in :mod:`dtl_core.estimates.gravity` at the estimated Teff and [M/H]. ``rmse_p_mean`` is the rmse of predicting the
    mean training label, ``spread_p`` the standard deviation of the truth, ``worst_kept_mse_p`` the largest test error
    of a kept regressor.
    """
    config, truth = run.config, run.truth
    members = range(len(run.architectures))
    transfer = [run.arrays("transfer", "history", k) for k in members]
    latents = [run.arrays("transfer", "latents", k) for k in members]
    selection = run.arrays("catalogue", "selection")
    seconds = run.seconds()
    out = {
        "profile": config.profile,
        "resolving_power": config.window.resolving_power,
        "n_synthetic": len(run.synthetic["labels"]),
        "n_pixels": run.observed.shape[1],
        "n_survey": len(truth),
        "n_real": len(run.reports),
        "n_observed": len(run.observed),
        "n_autoencoders": len(run.architectures),
        "n_regressors_trained": len(PARAMETERS) * config.regression.n_models * len(run.architectures),
        "n_regressors_kept": sum(len(selection[f"kept_{p}"]) for p in PARAMETERS),
        "live_units_median": float(
            np.median([run.arrays("regression", "estimates", k)["live"].sum() for k in members])
        ),
        "autoencoder_test_mse": float(np.mean([run.arrays("autoencoder", "history", k)["test"][-1] for k in members])),
        "reconstruction_before": float(np.mean([h["before"] for h in transfer])),
        "reconstruction_after": float(np.mean([h["after"] for h in transfer])),
        "distance_flux": float(run.arrays("gap", "gap")["distance_flux"].mean()),
    }
    for encoder, name in (("direct", "before"), ("transfer", "after")):
        means = [nearest_distance(z[encoder], z["synthetic"]).mean() for z in latents]
        out[f"distance_latent_{name}"] = float(np.mean(means))
    labels, n = run.synthetic["labels"], len(truth)
    for k, p in enumerate(PARAMETERS):
        column = PARAMETER_COLUMNS[p]
        for encoder in ENCODERS:
            table = run.catalogue_of(encoder)[:n]
            values = [np.asarray(table[name], float) for name in (column, f"e_{column}", f"E_{column}")]
            for name, value in density.recovery(*values, truth[p].to_numpy()).items():
                out[f"{name}_{p}_{encoder}"] = value
        table = run.catalogue_of("recommended")[:n]
        values = [np.asarray(table[name], float) for name in (column, f"e_{column}", f"E_{column}")]
        half = halves(truth)[1]
        for name, value in density.recovery(*values, truth[p].to_numpy()).items():
            out[f"{name}_{p}_recommended"] = value
        reported = density.recovery(*(v[half] for v in values), truth[p].to_numpy()[half])
        out[f"coverage_{p}_recommended"] = reported["coverage"]
        out[f"spread_{p}"] = float(truth[p].std(ddof=0))
        out[f"rmse_{p}_mean"] = float(np.sqrt(np.mean((labels[:, k].mean() - truth[p]) ** 2)))
        out[f"worst_kept_mse_{p}"] = float(selection[f"test_mse_{p}"][selection[f"kept_{p}"]].max())
    for method in (*ENCODERS, "recommended"):
        table = run.catalogue_of(method)[:n]
        estimates = np.stack([np.asarray(table[column], float) for column in PARAMETER_COLUMNS.values()], axis=1)
        for name, rmse in gravity.relation_errors(estimates, truth["logg"].to_numpy()).items():
            out[f"rmse_logg_{name}_{method}"] = rmse
    out |= {f"time_{stage}_s": value for stage, value in seconds.items()}
    out["time_total_s"] = float(sum(seconds.values()))
    return {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in out.items()}


def real_star_table(run):
    """Estimates of the real stars by all methods, with published values.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        Star, source, Teff [K], log g, [M/H] and v sin i [km/s] as text with errors; a single row with a note if the run
        had no real star.
    """
    digits = {parameter.column: parameter.digits for parameter in TABLE.values()}
    if not len(run.reports):
        return pd.DataFrame(
            [{"star": "none", "source": "no real spectrum took part in this run (`dtl data fetch hpf` brings three)"}]
        )
    rows = []
    for k, star in enumerate(run.reports["star"], len(run.truth)):
        for encoder in (*ENCODERS, "recommended"):
            row = run.catalogue_of(encoder)[k]
            text = {c: f"{row[c]:.{n}f} -{row['e_' + c]:.{n}f} +{row['E_' + c]:.{n}f}" for c, n in digits.items()}
            name = encoder if encoder in ENCODERS else f"recommended ({row['method']})"
            rows.append({"star": star, "source": f"this run, {name}"} | text)
        for *values, source in PUBLISHED_STARS.get(star, []):
            text = {c: "" if v is None else f"{v:.{n}f}" for (c, n), v in zip(digits.items(), values, strict=True)}
            rows.append({"star": star, "source": source} | text)
    return pd.DataFrame(rows)


def last_run(profile=None, root=None):
    """Read the record of the last finished run.

    Parameters
    ----------
    profile : str, optional
        The last run of this profile.
    root : path, optional
        Folder of the results.

    Returns
    -------
    dict

    Raises
    ------
    StoreError
        There is none, or it is damaged.
    """
    path = Store(root).root / "runs" / f"{profile or 'last'}.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise StoreError("no finished run", file=path, remedy=f"dtl run --profile {profile or 'demo'}") from None
    except ValueError:
        raise StoreError("is not a whole record", file=path, remedy="run again") from None
