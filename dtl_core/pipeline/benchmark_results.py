"""Results of the benchmark, from its record: errors of the methods, gap metrics, coverage, goals.

The record ``transfer`` is written by ``benchmarks/transfer.py``; the tables here have a row for what a reader compares.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bridging.benchmark import anchors_of, halves
from ..estimates.calibration import LEVELS, Calibration, group_edges, groups_of, joint_samples, leave_one_out, pit
from ..estimates.posterior import fit_flow
from ..literature import catalogues, comparison
from ..parameters import PARAMETERS, TABLE
from . import records

__all__ = [
    "calibrate",
    "coverage",
    "coverage_of",
    "coverage_table",
    "error_table",
    "expected_inside",
    "few_star_coverage",
    "flow_posterior",
    "goals",
    "meaning",
    "metric_verdicts",
    "paper_and_recommended",
    "posterior",
    "read",
    "real_table",
    "relative_errors",
    "with_spread",
]


REFERENCE, CLASSICAL, WINNER = "no transfer", "chi-square", "combined"
GOALS = {"teff": 0.6, "logg": 0.7, "mh": 0.5, "vsini": 1.0}  # of the rmse without transfer, at most


def read(part, table, folder=None):
    """A table of the record ``transfer``: DataFrame."""
    return records.frame(records.read("transfer", folder)["values"][part]["values"][table])


def error_table(errors, region="all", column="rmse"):
    """Mean over seeds of each method's errors, and their spread: two DataFrames, methods by parameters.

    Arguments: errors, of the record; region, ``all`` or a third of Teff; column, rmse, bias or scatter.
    """
    own = errors[errors["region"].astype(str) == str(region)].pivot_table(
        index="arm", columns="parameter", values=column, aggfunc=["mean", "std"], sort=False
    )
    return tuple(own[name][list(PARAMETERS)].loc[errors["arm"].unique()] for name in ("mean", "std"))


def relative_errors(errors, spread):
    """Geometric mean over the parameters of rmse / spread of the truth: Series by method, seed and any other key.

    Arguments: errors, DataFrame with parameter and rmse (region ``all`` only); spread, dict by parameter.
    """
    keys = [name for name in ("effect", "strength", "arm", "seed") if name in errors]
    ratio = np.log(errors["rmse"] / errors["parameter"].map(spread))
    return np.exp(ratio.groupby([errors[name] for name in keys], sort=False).mean()).rename("relative")


def metric_verdicts(gaps, relative, n_resamples=500, seed=0):
    """How well each gap metric ranks the methods by error: DataFrame of metric, correlation, 68 % interval.

    Spearman's correlation between a metric in the latent space of a method and the method's error, over all methods
    and seeds. The interval comes from resampling methods with replacement, since the seeds of one method are alike.
    """
    from scipy.stats import spearmanr

    rng, rows = np.random.default_rng(seed), []
    for metric, own in gaps[gaps["arm"] != "fluxes"].groupby("metric", sort=False):
        joined = own.set_index(["arm", "seed"])["value"].to_frame().join(relative, how="inner").reset_index()
        methods = joined["arm"].unique()
        parts = {method: part for method, part in joined.groupby("arm")}
        found = []
        for _ in range(n_resamples):
            drawn = pd.concat([parts[method] for method in rng.choice(methods, len(methods))])
            found.append(spearmanr(drawn["value"], drawn["relative"]).statistic)
        low, high = np.nanpercentile(found, [16, 84])
        middle = spearmanr(joined["value"], joined["relative"]).statistic
        rows.append({"metric": metric, "correlation": middle, "low": low, "high": high, "n": len(joined)})
    return pd.DataFrame(rows)


def calibrate(stars, *, own=False):
    """Calibrated intervals of the recommended method, of one half of the stars of every survey.

    Each survey is divided at random in its own way, because one division of 286 stars has peculiarities of its own; its
    anchor stars are left out of those that are reported.

    Arguments
    ---------
    stars : DataFrame of the record's recommended part
    own : each survey is calibrated on its own other half, as a run's is; else on those of all other surveys, which know
        nothing of what its stars have in common, as simulations of a real survey would not

    Returns
    -------
    dict of parameter -> DataFrame of the reported stars: survey, truth, found, third (0, 1, 2 of true Teff), low and
    high of each level, such as ``low_0.68``, and rank, 0 to 1, of the truth in the star's posterior
    """

    first, last = [], []
    for survey, table in stars.groupby("survey"):
        chosen, reported = halves(table, survey)
        anchors = [rows for rows, _ in anchors_of(table, halves(table)[0], survey).values()]
        first.append(table.iloc[chosen])
        last.append(table.iloc[np.setdiff1d(reported, np.concatenate(anchors))])
    first, last = pd.concat(first), pd.concat(last)
    true_edges, parts = group_edges(stars["teff"]), {name: [] for name in PARAMETERS}
    for survey, reported in last.groupby("survey"):
        known = first[(first["survey"] == survey) == own]
        edges = group_edges(known["found_teff"])
        groups = [groups_of(part["found_teff"], edges) for part in (known, reported)]
        for name in PARAMETERS:
            columns = [f"found_{name}", name, f"spread_{name}"]
            calibration = Calibration(*known[columns].to_numpy().T, group=groups[0])
            found, truth, spread = reported[columns].to_numpy().T
            table = {"survey": survey, "truth": truth, "found": found, "third": groups_of(reported["teff"], true_edges)}
            for level in LEVELS:
                bounds = calibration.interval(found, spread, level, group=groups[1])
                table[f"low_{level:.2f}"], table[f"high_{level:.2f}"] = bounds
            table["rank"] = np.zeros(len(reported))
            for group in np.unique(groups[1]):
                rows = groups[1] == group
                scores = np.repeat(calibration.scores[groups[0] == group][:, None], rows.sum(), 1)
                table["rank"][rows] = pit(scores, ((truth - found) / spread)[rows])
            parts[name].append(pd.DataFrame(table))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def coverage(intervals):
    """Share of stars inside their intervals: DataFrame of parameter, third (``all``, 0, 1, 2), level, share, error, n.

    The error is the spread over surveys of their own shares, divided by the root of their number: stars of one survey
    have the line list's errors in common.
    """
    rows = []
    for name, table in intervals.items():
        for third in ("all", 0, 1, 2):
            own = table if third == "all" else table[table["third"] == third]
            for level in LEVELS:
                inside = (own["truth"] >= own[f"low_{level:.2f}"]) & (own["truth"] <= own[f"high_{level:.2f}"])
                each = inside.groupby(own["survey"]).mean()
                error = each.std() / np.sqrt(len(each))
                rows.append((name, str(third), level, inside.mean(), error, len(own)))
    return pd.DataFrame(rows, columns=["parameter", "third", "level", "share", "error", "n"])


def coverage_table(covered, levels=(0.68, 0.90)):
    """Coverage by several calibrations side by side, in words: DataFrame, a row a parameter and third of Teff.

    Arguments: covered, dict of name -> DataFrame of :func:`coverage`.
    """
    out = {}
    for name, table in covered.items():
        for level in levels:
            own = table[table["level"] == level].set_index(["parameter", "third"])
            values = zip(own["share"], own["error"], strict=True)
            out[f"{level:.0%}, {name}"] = pd.Series([f"{s:.3f} ± {e:.3f}" for s, e in values], own.index)
    return pd.DataFrame(out).rename(index=dict(zip("012", ("cool", "middle", "hot"), strict=True)))


def goals(errors):
    """The goals for errors and what was reached, means over seeds: DataFrame of goal, parameter, wanted, found, met."""
    mean, _ = error_table(errors)
    rows = []
    for name, factor in GOALS.items():
        wanted = {
            f"{factor:g} of {REFERENCE}": factor * mean.loc[REFERENCE, name],
            CLASSICAL: mean.loc[CLASSICAL, name],
        }
        rows += [
            (goal, name, value, mean.loc[WINNER, name], mean.loc[WINNER, name] <= value)
            for goal, value in wanted.items()
        ]
    return pd.DataFrame(rows, columns=["goal", "parameter", "wanted", "found", "met"])


DIGITS = {name: parameter.digits + (parameter.digits > 0) for name, parameter in TABLE.items()}  # of an rmse


def with_spread(mean, spread):
    """Both in words, ``37 ± 4``: DataFrame of methods by parameters."""
    out = pd.DataFrame(index=mean.index)
    for name, digits in DIGITS.items():
        out[name] = [f"{m:.{digits}f} ± {s:.{digits}f}" for m, s in zip(mean[name], spread[name], strict=True)]
    return out


def paper_and_recommended(figures):
    """Errors of a run's survey with both encoders and as recommended: one row per parameter and catalogue."""
    rows, n = [], figures["n_survey"]
    for p in PARAMETERS:
        for method, counted in (("transfer", n), ("direct", n), ("recommended", n - n // 2)):
            row = {name: figures[f"{name}_{p}_{method}"] for name in ("rmse", "bias", "pearson")}
            rows.append(
                {"parameter": p, "estimates": method} | row | {"coverage": figures[f"coverage_{p}_{method}"] / counted}
            )
    return pd.DataFrame(rows)


def few_star_coverage(run):
    """What a handful of stars of known parameters say of error bars: DataFrame, a row a sample and parameter.

    The 14 interferometric temperatures and 6 metallicities of FGK companions with the published catalogue, where these
    are at hand, and as many stars of the run's survey with the recommended estimates. Columns: sample, parameter, n,
    inside (stars inside the 68 % errors as given), and inside after leave-one-out calibration at 50 and 68 %; NaN where
    so few stars allow no such interval.
    """

    samples, truth = [], run.truth
    if catalogues.available() and catalogues.at_hand("interferometric_14.csv"):
        published = catalogues.read_published()
        known = catalogues.read_sources(["Interferometric", "FGK+M"])
        samples += [
            ("published catalogue", p, published, known[s]) for p, s in (("teff", "Interferometric"), ("mh", "FGK+M"))
        ]
    ours = catalogues.tidy(run.catalogue_of("recommended")[: len(truth)])
    for p, (rows, values) in anchors_of(truth, halves(truth)[1], run.config.seed).items():
        known = pd.DataFrame({"karmn": truth["karmn"].to_numpy()[rows], p: values})
        samples.append(("simulated, recommended", p, ours, known))
    out = []
    for sample, p, catalogue, known in samples:
        found, true, low, high = comparison.pairs(catalogue, known, p, (f"e_{p}", f"E_{p}"))
        row = {"sample": sample, "parameter": p, "n": len(found)}
        row["as given"] = comparison.coverage(catalogue, known, p)["inside"]
        for level, (inside, n) in leave_one_out(found, true, (low + high) / 2, (0.50, 0.68)).items():
            enough = n - 1 >= np.ceil(2 / (1 - level) - 1)
            row[f"calibrated, {level:.0%}"] = inside if enough else np.nan
        out.append(row)
    return pd.DataFrame(out)


def real_table(stars, published):
    """The real stars by every method, mean and spread over seeds, beside published values: DataFrame of text.

    Arguments: stars, of the record; published, see :data:`dtl_core.pipeline.headline.PUBLISHED_STARS`.
    """
    rows = []
    for star, own in stars.groupby("star", sort=False):
        for method, part in own.groupby("arm", sort=False):
            mean, spread = (getattr(part[list(PARAMETERS)], name)() for name in ("mean", "std"))
            values = {p: f"{mean[p]:.{n}f} ± {spread[p]:.{n}f}" for p, n in DIGITS.items()}
            rows.append({"star": star, "by": method} | values)
        for *values, source in published.get(star, []):
            text = {p: "" if v is None else f"{v:g}" for p, v in zip(PARAMETERS, values, strict=True)}
            rows.append({"star": star, "by": source} | text)
    return pd.DataFrame(rows)


def meaning(axes):
    """What became of the latent units in fine-tuning: dict of plain numbers for the text, medians over live units.

    ``units_total``, ``units_live`` (mean over surveys); and of each way of fine-tuning ``kept_`` (correlation of a unit
    with its former self), ``moved_`` (rms change over the synthetic spread), ``turned_`` (share of the units that
    correlate by less than a half) and ``woken_`` (units dead on synthetic spectra that are not on stars, a survey).
    """
    n = axes["seed"].nunique()
    own = axes[axes["arm"] == "autoencoder"]
    out = {"units_total": int(own["unit"].nunique()), "units_live": float(own["live"].sum() / n)}
    for method in ("fine-tuned", "frozen decoder"):
        part, name = axes[axes["arm"] == method], method.replace("-", "_").replace(" ", "_")
        live = part[part["live"]]
        out[f"kept_{name}"] = float(live["correlation"].median())
        out[f"moved_{name}"] = float(live["moved"].median())
        out[f"turned_{name}"] = float((live["correlation"] < 0.5).mean())
        out[f"woken_{name}"] = float((np.isinf(part["moved"])).sum() / n)
    return out


def coverage_of(run, method):
    """Share of a run's survey inside the 68 % error bars of a method: DataFrame of parameter, level and share."""
    n = len(run.truth)
    rows = [(name, 0.68, run.figures[f"coverage_{name}_{method}"] / n) for name in PARAMETERS]
    return pd.DataFrame(rows, columns=["parameter", "level", "share"])


def expected_inside(n, level, share=0.95):
    """Between how many of ``n`` stars a right interval holds in a share of all cases: (low, high)."""
    from scipy.stats import binom

    return tuple(int(v) for v in binom.interval(share, n, level))


def posterior(run, star, n=4000):
    """Joint posterior samples (n, 4) of a star of a run's survey, from the half of it that calibrates."""

    chosen, _ = halves(run.truth)
    found, spread = (run.arrays("recommended", "recommended")[name] for name in ("found", "spread"))
    truth = run.truth[list(PARAMETERS)].to_numpy()[chosen]
    samples = joint_samples(
        found[chosen], truth, spread[chosen], found[[star]], spread[[star]], n, seed=run.config.seed
    )
    return samples[:, 0]


def flow_posterior(run, star, n=4000, *, n_features=16, epochs=30):
    """The same from a normalising flow, trained on the network's features of synthetic spectra; it needs zuko.

    Arguments: star, row of the survey; n, samples; n_features, principal components of the features that the flow sees.
    Returns: (n, 4). Errors: ConfigError, zuko is not installed.
    """
    from sklearn.decomposition import PCA

    known = run.arrays("recommended", "features")
    components = PCA(n_features, whiten=True, random_state=run.config.seed).fit(known["synthetic"])
    features, own = (components.transform(known[name]) for name in ("synthetic", "stars"))
    flow = fit_flow(features, known["labels"], epochs=epochs, seed=run.config.seed)
    return flow.sample(own[[star]], n, seed=run.config.seed)[:, 0] - known["zero"]
