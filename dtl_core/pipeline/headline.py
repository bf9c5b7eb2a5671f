"""Headline figures of a run by name: the one source from which the book and other programs take their numbers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ..errors import StoreError
from ..estimates import density, gravity
from ..estimates.gap import nearest_distance
from ..parameters import PARAMETER_COLUMNS, PARAMETERS, TABLE, heading
from .stages.shared import ENCODERS
from .store import Store

__all__ = ["ESTIMATES", "estimates_table", "headline", "known_stars", "last_run", "real_star_table", "recovery"]


ESTIMATES = {"transfer": "fine-tuned", "direct": "not fine-tuned"}  # what the two encoders are called in tables
MINUS = "\N{MINUS SIGN}"


def known_stars(run, method):
    """Find the stars of the simulated survey whose truth a method used, so that they do not count in its errors.

    Parameters
    ----------
    run : Run
    method : str
        ``transfer`` and ``direct`` use no truth. ``recommended`` uses that of its anchor stars and of the half of the
        survey that calibrates its estimates and their error bars.

    Returns
    -------
    bool array of shape (n_survey,)
    """
    n = len(run.truth)
    if method == "recommended" and "recommended" in run.keys:
        return run.arrays("recommended", "recommended")["known"][:n]
    return np.zeros(n, bool)


def recovery(run, method, stars):
    """Compare the estimates of a method with the truth of some stars of the simulated survey.

    Parameters
    ----------
    run : Run
    method : str
        ``transfer``, ``direct`` or ``recommended``.
    stars : bool array of shape (n_survey,)

    Returns
    -------
    dict of parameter -> dict
        As returned by :func:`dtl_core.estimates.density.recovery`.
    """
    table, out = run.catalogue_of(method)[: len(run.truth)], {}
    for name, column in PARAMETER_COLUMNS.items():
        values = [np.asarray(table[c], float)[stars] for c in (column, f"e_{column}", f"E_{column}")]
        out[name] = density.recovery(*values, run.truth[name].to_numpy()[stars])
    return out


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
    with observed latents from before fine-tuning; ``recommended``), over those stars of the simulated survey whose
    truth the method did not use (see :func:`known_stars`): ``rmse_p_m``, ``bias_p_m`` (estimate minus truth),
    ``coverage_p_m`` (number of stars whose truth is within 1 sigma) and ``pearson_p_m``. ``n_scored_m`` is the number
    of these stars, ``n_truths_m`` that of the others. ``rmse_logg_relation_m`` and ``rmse_logg_survey_relation_m`` are
    the rmse of log g by the relations in :mod:`dtl_core.estimates.gravity` at the estimated Teff and [M/H].
    ``rmse_p_mean`` is the rmse of predicting the mean training label, ``spread_p`` the standard deviation of the truth,
    ``worst_kept_mse_p`` the largest test error of a kept regressor.
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
    for method in (*ENCODERS, "recommended"):
        known = known_stars(run, method)
        out |= {f"n_scored_{method}": int((~known).sum()), f"n_truths_{method}": int(known.sum())}
        for p, values in recovery(run, method, ~known).items():
            out |= {f"{name}_{p}_{method}": value for name, value in values.items()}
        table = run.catalogue_of(method)[: len(truth)][~known]
        estimates = np.stack([np.asarray(table[column], float) for column in PARAMETER_COLUMNS.values()], axis=1)
        relations = gravity.relation_errors(estimates, truth["logg"].to_numpy()[~known])
        out |= {f"rmse_logg_{name}_{method}": rmse for name, rmse in relations.items()}
    labels = run.synthetic["labels"]
    for k, p in enumerate(PARAMETERS):
        out[f"spread_{p}"] = float(truth[p].std(ddof=0))
        out[f"rmse_{p}_mean"] = float(np.sqrt(np.mean((labels[:, k].mean() - truth[p]) ** 2)))
        out[f"worst_kept_mse_{p}"] = float(selection[f"test_mse_{p}"][selection[f"kept_{p}"]].max())
    out |= {f"time_{stage}_s": value for stage, value in seconds.items()}
    out["time_total_s"] = float(sum(seconds.values()))
    return {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in out.items()}


def estimates_table(table):
    """Estimates of stars as text, with their errors.

    Parameters
    ----------
    table : astropy.table.Table
        A catalogue.

    Returns
    -------
    pandas.DataFrame
        Star, the four parameters and, of a catalogue of the recommended method, method and p_domain.
    """
    out = {"star": list(table["karmn"])}
    for entry in TABLE.values():
        names = (entry.column, f"e_{entry.column}", f"E_{entry.column}")
        values = zip(*(np.asarray(table[name], float) for name in names), strict=True)
        out[heading(entry.name)] = [_with_errors(*row, entry.digits) for row in values]
    if "p_domain" in table.colnames:
        p = np.asarray(table["p_domain"], float)
        out |= {"method": list(table["method"]), "p (ordinary)": [f"{value:.2f}" for value in p]}
    return pd.DataFrame(out)


def _with_errors(value, low, high, digits):
    return f"{value:.{digits}f} -{low:.{digits}f} +{high:.{digits}f}".replace("-", MINUS)


def real_star_table(run, published):
    """Estimates of the real stars by all methods, with published values.

    Parameters
    ----------
    run : Run
    published : dict
        As returned by :func:`dtl_core.literature.real_stars.published_rows`.

    Returns
    -------
    DataFrame
        Star, source and the parameters as text with errors, named with their units; a single row with a note if the
        run had no real star.
    """
    if not len(run.reports):
        return pd.DataFrame(
            [{"star": "none", "source": "no real spectrum took part in this run; dtl data fetch hpf brings three"}]
        )
    rows = []
    for k, star in enumerate(run.reports["star"], len(run.truth)):
        for encoder in (*ENCODERS, "recommended"):
            row = run.catalogue_of(encoder)[k : k + 1]
            name = ESTIMATES.get(encoder) or f"recommended ({row['method'][0]})"
            text = estimates_table(row)[list(map(heading, PARAMETERS))].iloc[0].to_dict()
            rows.append({"star": star, "source": f"this run, {name}"} | text)
        for *values, source in published.get(star, []):
            pairs = zip(PARAMETERS, values, strict=True)
            text = {heading(p): "" if v is None else f"{v:.{TABLE[p].digits}f}".replace("-", MINUS) for p, v in pairs}
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
