"""Calibrated error bars of the recommended method: intervals, coverage, ranks and joint posteriors.

The part ``recommended`` of the record ``transfer`` has the estimates of every star of many simulated surveys.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bridging.benchmark import anchors_of, halves
from ..estimates.calibration import LEVELS, Calibration, group_edges, groups_of, joint_samples, leave_one_out
from ..estimates.diagnostics import sbc_ranks, tarp
from ..estimates.posterior import fit_flow
from ..literature import catalogues, comparison
from ..missing import unless_empty
from ..parameters import ANCHOR_ERRORS, PARAMETERS
from .benchmark_tables import N_ANCHORS, THIRDS, or_note, with_range

__all__ = [
    "calibrate",
    "coverage",
    "coverage_of",
    "coverage_table",
    "expected_inside",
    "few_star_coverage",
    "flow_posterior",
    "joint_diagnostics",
    "posterior",
]


def _divided(stars, own):
    """Yield for each survey: its number, the stars that calibrate it, and its reported stars, without anchors."""
    first, last = [], []
    for survey, table in stars.groupby("survey"):
        chosen, reported = halves(table, survey)
        anchors = [rows for rows, _ in anchors_of(table, halves(table)[0], survey).values()]
        first.append(table.iloc[chosen])
        last.append(table.iloc[np.setdiff1d(reported, np.concatenate(anchors))])
    first, last = pd.concat(first), pd.concat(last)
    for survey, reported in last.groupby("survey"):
        yield survey, first[(first["survey"] == survey) == own], reported


def _groups(*tables):
    """Thirds of the estimated Teff, with edges from the first table: one array for each table."""
    edges = group_edges(tables[0]["found_teff"])
    return [groups_of(table["found_teff"], edges) for table in tables]


@unless_empty(dict)
def calibrate(stars, *, own=False):
    """Calibrated intervals of the recommended method, for one half of the stars of every survey.

    Each survey is divided at random in a different way, so that no single division dominates. Anchor stars are not
    reported.

    Parameters
    ----------
    stars : DataFrame
        Part ``recommended`` of the record.
    own : bool
        Calibrate each survey on its own other half, as a run does, instead of on the halves of all other surveys. The
        latter do not contain the errors that its stars have in common, like simulations of a real survey.

    Returns
    -------
    dict of str to DataFrame
        For each parameter, the reported stars: survey, truth, found, third (0, 1, 2 of true Teff), low and high of each
        level, such as ``low_0.68``; and truths, the number of stars of the survey whose truth was used.
    """
    true_edges, parts = group_edges(stars["teff"]), {name: [] for name in PARAMETERS}
    for survey, known, reported in _divided(stars, own):
        groups = _groups(known, reported)
        truths = int((stars["survey"] == survey).sum()) - len(reported) if own else N_ANCHORS
        for name in PARAMETERS:
            columns = [f"found_{name}", name, f"spread_{name}"]
            calibration = Calibration(*known[columns].to_numpy().T, group=groups[0])
            found, truth, spread = reported[columns].to_numpy().T
            third = groups_of(reported["teff"], true_edges)
            table = {"survey": survey, "truth": truth, "found": found, "third": third, "truths": truths}
            for level in LEVELS:
                bounds = calibration.interval(found, spread, level, group=groups[1])
                table[f"low_{level:.2f}"], table[f"high_{level:.2f}"] = bounds
            parts[name].append(pd.DataFrame(table))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


@unless_empty(lambda: (pd.DataFrame(columns=[*PARAMETERS, "survey"]), pd.DataFrame()))
def joint_diagnostics(stars, *, own=False, n=500, n_references=20, seed=0):
    """Ranks of the truth in the calibrated joint posteriors, and their expected coverage.

    The posteriors are of the same stars as in :func:`calibrate`, from the errors of calibration stars in the same third
    of the estimated Teff.

    Parameters
    ----------
    stars : DataFrame
        Part ``recommended`` of the record.
    own : bool
        As for :func:`calibrate`.
    n : int
        Posterior samples of each star.
    n_references : int
        Reference points of each star for :func:`~dtl_core.estimates.diagnostics.tarp`, which lie around its estimate,
        with the expected error as standard deviation.
    seed : int

    Returns
    -------
    ranks : DataFrame
        One row per reported star: survey, and the rank of each parameter, 0 to 1.
    curves : DataFrame
        Expected coverage, indexed by level, with one column per survey.
    """
    rng, ranks, curves = np.random.default_rng(seed), [], {}
    columns = [[f"{kind}{name}" for name in PARAMETERS] for kind in ("found_", "", "spread_")]
    for survey, known, reported in _divided(stars, own):
        groups, (found, truth, spread) = _groups(known, reported), (reported[names].to_numpy() for names in columns)
        samples = np.empty((n, *truth.shape))
        for group in np.unique(groups[1]):
            others, rows = known[groups[0] == group], groups[1] == group
            errors = (others[names].to_numpy() for names in columns)
            drawn = {"n": n, "seed": [seed, int(survey), int(group)]}
            samples[:, rows] = joint_samples(*errors, found[rows], spread[rows], **drawn)
        ranks.append(pd.DataFrame(sbc_ranks(samples, truth, rng), columns=list(PARAMETERS)).assign(survey=survey))
        references = found + spread * rng.normal(size=(n_references, *found.shape))
        level, curves[survey] = tarp(samples, truth, rng, references=references)
    return pd.concat(ranks, ignore_index=True), pd.DataFrame(curves, index=pd.Index(level, name="level"))


def coverage(intervals):
    """Share of stars whose truth is inside their intervals.

    Parameters
    ----------
    intervals : dict of str to DataFrame
        As returned by :func:`calibrate`.

    Returns
    -------
    DataFrame
        Parameter, third (``all``, 0, 1, 2), level, share, error, least, most, n, truths. The error is the standard
        error over surveys, because stars of one survey share the errors of the line list; least and most are the
        smallest and the largest share of a survey; truths is the number of stars of a survey whose truth was used.
    """
    rows = []
    for name, table in intervals.items():
        for third in ("all", 0, 1, 2):
            own = table if third == "all" else table[table["third"] == third]
            for level in LEVELS:
                inside = (own["truth"] >= own[f"low_{level:.2f}"]) & (own["truth"] <= own[f"high_{level:.2f}"])
                each = inside.groupby(own["survey"]).mean()
                error = each.std() / np.sqrt(len(each))
                shares = inside.mean(), error, each.min(), each.max()
                rows.append((name, str(third), level, *shares, len(own), own["truths"].max()))
    columns = ["parameter", "third", "level", "share", "error", "least", "most", "n", "truths"]
    return pd.DataFrame(rows, columns=columns)


@or_note
def coverage_table(covered, levels=(0.68, 0.90)):
    """Coverage of intervals, mean and range over the surveys, as text.

    Parameters
    ----------
    covered : DataFrame
        Result of :func:`coverage`.
    levels : tuple of float

    Returns
    -------
    DataFrame
        One row per parameter and third of Teff, with the number of known truths of a survey in the first column.
    """
    out = {}
    for level in levels:
        own = covered[covered["level"] == level].set_index(["parameter", "third"])
        out["known truths"] = own["truths"]
        values = zip(own["share"], own["least"], own["most"], strict=True)
        out[f"inside {100 * level:.0f} % intervals"] = pd.Series([with_range(*v, 2) for v in values], own.index)
    return pd.DataFrame(out).rename(index=dict(zip("012", THIRDS, strict=True)))


def few_star_coverage(run):
    """Test error bars on a few stars of known parameters.

    The samples are 14 interferometric temperatures and 6 metallicities of FGK companions with the published catalogue,
    if the files are there, and as many stars of the run's survey with the recommended estimates.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        One row per sample and parameter: sample, parameter, n, the number of stars inside the 68 % errors as given,
        with those of the known values in quadrature, and inside after leave-one-out calibration at 50 and 68 %, which
        contains them; NaN where there are too few stars for such an interval.
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
        row["as given"] = comparison.coverage(catalogue, known, p, assumed=ANCHOR_ERRORS[p])["inside_both"]
        for level, (inside, n) in leave_one_out(found, true, (low + high) / 2, (0.50, 0.68)).items():
            enough = n - 1 >= np.ceil(2 / (1 - level) - 1)
            row[f"calibrated, {level:.0%}"] = inside if enough else np.nan
        out.append(row)
    return pd.DataFrame(out)


def coverage_of(run, method):
    """Share of a run's survey inside the 68 % error bars of a method: DataFrame of parameter, level and share."""
    n = run.figures[f"n_scored_{method}"]
    rows = [(name, 0.68, run.figures[f"coverage_{name}_{method}"] / n) for name in PARAMETERS]
    return pd.DataFrame(rows, columns=["parameter", "level", "share"])


def expected_inside(n, level, share=0.95):
    """Range (low, high) of the number of ``n`` stars inside a correct interval, in a share of all cases."""
    from scipy.stats import binom

    return tuple(int(v) for v in binom.interval(share, n, level))


def posterior(run, star, n=4000):
    """Joint posterior samples (n, 4) of a star of a run's survey, from the half that calibrates."""
    chosen, _ = halves(run.truth)
    found, spread = (run.arrays("recommended", "recommended")[name] for name in ("found", "spread"))
    truth = run.truth[list(PARAMETERS)].to_numpy()[chosen]
    samples = joint_samples(
        found[chosen], truth, spread[chosen], found[[star]], spread[[star]], n, seed=run.config.seed
    )
    return samples[:, 0]


def flow_posterior(run, star, n=4000, *, n_features=16, epochs=30):
    """Joint posterior samples from a normalising flow, trained on the network's features of synthetic spectra.

    Parameters
    ----------
    run : Run
    star : int
        Row of the survey.
    n : int
        Number of samples.
    n_features : int
        Principal components of the features that the flow is trained on.
    epochs : int

    Returns
    -------
    ndarray of shape (n, 4)

    Raises
    ------
    ConfigError
        zuko is not installed.
    """
    from sklearn.decomposition import PCA

    known = run.arrays("recommended", "features")
    components = PCA(n_features, whiten=True, random_state=run.config.seed).fit(known["synthetic"])
    features, own = (components.transform(known[name]) for name in ("synthetic", "stars"))
    flow = fit_flow(features, known["labels"], epochs=epochs, seed=run.config.seed)
    return flow.sample(own[[star]], n, seed=run.config.seed)[:, 0] - known["zero"]
