"""Tables of the benchmark's results, from its record: errors of the methods, gap metrics, coverage, goals.

``benchmarks/transfer.py`` writes the record ``transfer``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bridging.benchmark import anchors_of, halves
from ..bridging.methods import METHODS
from ..errors import DataError
from ..estimates import gravity
from ..estimates.calibration import LEVELS, Calibration, group_edges, groups_of, joint_samples, leave_one_out
from ..estimates.diagnostics import sbc_ranks, tarp
from ..estimates.posterior import fit_flow
from ..literature import catalogues, comparison
from ..parameters import PARAMETERS, TABLE
from . import records
from .headline import known_stars, recovery
from .stages.shared import ENCODERS

__all__ = [
    "calibrate",
    "conclusions",
    "coverage",
    "coverage_of",
    "coverage_range",
    "coverage_table",
    "error_table",
    "expected_inside",
    "few_star_coverage",
    "flow_posterior",
    "goals",
    "joint_diagnostics",
    "known_truths",
    "meaning",
    "metric_verdicts",
    "paired",
    "paper_and_recommended",
    "posterior",
    "read",
    "real_table",
    "relation_table",
    "relative_errors",
    "rivals",
    "sentence",
    "unmeasured",
    "with_spread",
]


REFERENCE, CLASSICAL, WINNER = "no transfer", "chi-square", "combined"
COMPARED = {  # method and reference of each sentence of the summary
    "tuned": ("fine-tuned", "autoencoder"),
    "plain": ("autoencoder", REFERENCE),
    "chi": ("fine-tuned", CLASSICAL),
    "aligned": ("aligned", REFERENCE),
    "aligned_tuned": ("aligned", "fine-tuned"),
    "adversarial": ("adversarial", REFERENCE),
    "frozen": ("frozen decoder", "autoencoder"),
}
GOALS = {"teff": 0.6, "logg": 0.7, "mh": 0.5, "vsini": 1.0}  # of the rmse without transfer, at most


def read(part, table, folder=None):
    """Read a table of the record ``transfer``.

    Parameters
    ----------
    part, table : str
    folder : path, optional
        Of the records.

    Returns
    -------
    DataFrame
    """
    return records.frame(records.read("transfer", folder)["values"][part]["values"][table])


def error_table(errors, region="all", column="rmse"):
    """Mean and standard deviation over seeds of the errors of each method.

    Parameters
    ----------
    errors : DataFrame
        Of the record.
    region : str or int
        ``all``, or a third of Teff.
    column : str
        ``rmse``, ``bias`` or ``scatter``.

    Returns
    -------
    mean, spread : DataFrame
        Methods by parameters, and by ``logg_relation`` and ``logg_survey_relation`` where the record has them (see
        :func:`dtl_core.bridging.benchmark.scores`).
    """
    own = errors[errors["region"].astype(str) == str(region)].pivot_table(
        index="arm", columns="parameter", values=column, aggfunc=["mean", "std"], sort=False
    )
    columns = [name for name in DIGITS if name in PARAMETERS or name in own["mean"]]
    return tuple(own[name][columns].loc[errors["arm"].unique()] for name in ("mean", "std"))


def known_truths(errors):
    """Number of stars whose truth each method knows, none of which is counted in its errors.

    Parameters
    ----------
    errors : DataFrame
        Of the record.

    Returns
    -------
    Series
        By method.
    """
    return errors.groupby("arm", sort=False)["truths"].max()


def unmeasured(errors):
    """Say which methods have been added since the record was measured.

    Parameters
    ----------
    errors : DataFrame
        Of the record.

    Returns
    -------
    str
        One sentence.
    """
    new = [name for name in METHODS if name not in set(errors["arm"])]
    return f"Added since the record was measured, and not in it: {_listed(new)}." if new else "All were measured."


def relative_errors(errors, spread):
    """Geometric mean over the parameters of the rmse in units of the spread of the truth.

    Parameters
    ----------
    errors : DataFrame
        With parameter and rmse, region ``all`` only.
    spread : dict of str to float
        By parameter.

    Returns
    -------
    Series
        By method and seed, and by effect and strength where there are any.
    """
    errors = errors[errors["parameter"].isin(PARAMETERS)]
    keys = [name for name in ("effect", "strength", "arm", "seed") if name in errors]
    ratio = np.log(errors["rmse"] / errors["parameter"].map(spread))
    return np.exp(ratio.groupby([errors[name] for name in keys], sort=False).mean()).rename("relative")


def metric_verdicts(gaps, relative, n_resamples=500, seed=0):
    """Measure how well each gap metric ranks the methods by their errors.

    Parameters
    ----------
    gaps : DataFrame
        Of the record: metrics in the latent space of each method.
    relative : Series
        As of :func:`relative_errors`.
    n_resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        Metric, Spearman's correlation with the errors over all methods and seeds, its 68 % interval, and n. The
        interval is from a bootstrap over methods, because seeds of one method are correlated.
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
        level, such as ``low_0.68``.
    """
    true_edges, parts = group_edges(stars["teff"]), {name: [] for name in PARAMETERS}
    for survey, known, reported in _divided(stars, own):
        groups = _groups(known, reported)
        for name in PARAMETERS:
            columns = [f"found_{name}", name, f"spread_{name}"]
            calibration = Calibration(*known[columns].to_numpy().T, group=groups[0])
            found, truth, spread = reported[columns].to_numpy().T
            table = {"survey": survey, "truth": truth, "found": found, "third": groups_of(reported["teff"], true_edges)}
            for level in LEVELS:
                bounds = calibration.interval(found, spread, level, group=groups[1])
                table[f"low_{level:.2f}"], table[f"high_{level:.2f}"] = bounds
            parts[name].append(pd.DataFrame(table))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


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
        As of :func:`calibrate`.

    Returns
    -------
    DataFrame
        Parameter, third (``all``, 0, 1, 2), level, share, error, least, most, n. The error is the standard error over
        surveys, because stars of one survey share the errors of the line list; least and most are the smallest and the
        largest share of a survey.
    """
    rows = []
    for name, table in intervals.items():
        for third in ("all", 0, 1, 2):
            own = table if third == "all" else table[table["third"] == third]
            for level in LEVELS:
                inside = (own["truth"] >= own[f"low_{level:.2f}"]) & (own["truth"] <= own[f"high_{level:.2f}"])
                each = inside.groupby(own["survey"]).mean()
                error = each.std() / np.sqrt(len(each))
                rows.append((name, str(third), level, inside.mean(), error, each.min(), each.max(), len(own)))
    return pd.DataFrame(rows, columns=["parameter", "third", "level", "share", "error", "least", "most", "n"])


def coverage_range(covered, level=0.68):
    """Say between which shares the coverage of single surveys lies, for all parameters, as text.

    Parameters
    ----------
    covered : DataFrame
        Result of :func:`coverage`.
    level : float

    Returns
    -------
    str
        Such as ``42 to 80 % in Teff and 17 to 88 % in [M/H]``.
    """
    own = covered[(covered["level"] == level) & (covered["third"] == "all")].set_index("parameter")
    ranges = [f"{own.loc[p, 'least']:.0%} to {own.loc[p, 'most']:.0%} in {TABLE[p].symbol}" for p in own.index]
    return _listed([text.replace("%", "", 1).replace("%", " %") for text in ranges])


def coverage_table(covered, levels=(0.68, 0.90)):
    """Coverage of several calibrations side by side, mean and range over the surveys, as text.

    Parameters
    ----------
    covered : dict of str to DataFrame
        Name -> result of :func:`coverage`.
    levels : tuple of float

    Returns
    -------
    DataFrame
        One row per parameter and third of Teff.
    """
    out = {}
    for name, table in covered.items():
        for level in levels:
            own = table[table["level"] == level].set_index(["parameter", "third"])
            values = zip(own["share"], own["error"], own["least"], own["most"], strict=True)
            texts = [f"{share:.3f} ± {error:.3f} ({least:.2f}–{most:.2f})" for share, error, least, most in values]
            out[f"{level:.0%}, {name}"] = pd.Series(texts, own.index)
    return pd.DataFrame(out).rename(index=dict(zip("012", ("cool", "middle", "hot"), strict=True)))


def goals(errors):
    """Goals for the errors and the results, means over seeds.

    Parameters
    ----------
    errors : DataFrame
        Of the record.

    Returns
    -------
    DataFrame
        Goal, parameter, wanted, found, met, and the number of stars whose truth the method knows that is to meet it.
    """
    mean, _ = error_table(errors)
    truths = known_truths(errors)[WINNER]
    rows = []
    for name, factor in GOALS.items():
        wanted = {
            f"{factor:g} of {REFERENCE}": factor * mean.loc[REFERENCE, name],
            CLASSICAL: mean.loc[CLASSICAL, name],
        }
        rows += [
            (goal, name, value, mean.loc[WINNER, name], mean.loc[WINNER, name] <= value, truths)
            for goal, value in wanted.items()
        ]
    return pd.DataFrame(rows, columns=["goal", "parameter", "wanted", "found", "met", "known truths"])


def relation_table(stars):
    """Compare log g of the recommended method with what its Teff and [M/H] imply.

    Parameters
    ----------
    stars : DataFrame
        Part ``recommended`` of the record.

    Returns
    -------
    DataFrame
        Rmse [dex] of log g over all surveys: by the spectrum, and by each relation in
        :data:`dtl_core.estimates.gravity.RELATIONS` at the estimated Teff and [M/H]; of all stars, and of the cool,
        middle and hot third of true Teff.
    """
    groups = np.array(["cool", "middle", "hot"])[groups_of(stars["teff"], group_edges(stars["teff"]))]
    out = {}
    for name in ("all", "cool", "middle", "hot"):
        own = stars if name == "all" else stars[groups == name]
        errors = {"spectrum": float(np.sqrt(np.mean((own["found_logg"] - own["logg"]) ** 2)))}
        found = own[[f"found_{parameter}" for parameter in PARAMETERS]].to_numpy()
        errors |= gravity.relation_errors(found, own["logg"].to_numpy())
        out[name] = {gravity.TITLES.get(key, key): value for key, value in errors.items()}
    return pd.DataFrame(out)


DIGITS = {name: parameter.digits + (parameter.digits > 0) for name, parameter in TABLE.items()}  # of an rmse
DIGITS |= {f"logg_{name}": DIGITS["logg"] for name in gravity.RELATIONS}


def with_spread(mean, spread, truths):
    """Format mean and spread as text, ``37 ± 4``.

    Parameters
    ----------
    mean, spread : DataFrame
        As of :func:`error_table`.
    truths : Series
        As of :func:`known_truths`.

    Returns
    -------
    DataFrame
        Methods by parameters, with the number of known truths in the first column.
    """
    out = pd.DataFrame({"known truths": truths.loc[mean.index]}, index=mean.index)
    for name, digits in DIGITS.items():
        if name not in mean:
            continue
        out[name] = [f"{m:.{digits}f} ± {s:.{digits}f}" for m, s in zip(mean[name], spread[name], strict=True)]
    return out


def paired(errors, method, reference, parameter):
    """Compare the errors of two methods survey by survey, so that what makes a survey difficult counts for both.

    Parameters
    ----------
    errors : DataFrame
        Of the record.
    method, reference : str
    parameter : str

    Returns
    -------
    dict
        ``difference``, median over the surveys of the rmse of the method minus that of the reference; ``low`` and
        ``high``, the central 68 % of these differences; ``equal``, whether this range contains zero; ``method`` and
        ``reference``, median rmse of each; ``smaller``, number of surveys in which the method has the smaller rmse;
        ``n``, number of surveys.

    Raises
    ------
    DataError
        No survey was measured with both methods.
    """
    own = errors[(errors["region"].astype(str) == "all") & (errors["parameter"] == parameter)]
    rmse = own[own["arm"].isin([method, reference])].pivot_table(index="seed", columns="arm", values="rmse")
    both = rmse.reindex(columns=[method, reference]).dropna()
    if both.empty:
        known = ", ".join(errors["arm"].unique())
        raise DataError(
            f"no survey has errors in {parameter} of {method!r} and {reference!r}", remedy=f"known: {known}"
        )
    difference = both[method] - both[reference]
    low, middle, high = np.percentile(difference, [16, 50, 84])
    return {
        "difference": middle,
        "low": low,
        "high": high,
        "equal": bool(low <= 0 <= high),
        "method": both[method].median(),
        "reference": both[reference].median(),
        "smaller": int((difference < 0).sum()),
        "n": len(both),
    }


def _listed(texts):
    """Join texts as in a sentence: ``a, b and c``."""
    *others, last = texts
    return f"{', '.join(others)} and {last}" if others else last


def sentence(errors, method, reference, parameters=PARAMETERS):
    """Conclusion from the paired differences of two methods, as text.

    Parameters
    ----------
    errors : DataFrame
        Of the record.
    method, reference : str
    parameters : sequence of str

    Returns
    -------
    str
        One sentence with the median rmse of both methods, and the number of surveys that agree, for each parameter in
        which they differ by more than the scatter of the surveys.

    Examples
    --------
    >>> import pandas as pd
    >>> from dtl_core.pipeline.benchmark_results import sentence
    >>> rows = [("teff", "all", arm, seed, rmse + seed) for arm, rmse in (("A", 40), ("B", 97)) for seed in range(5)]
    >>> errors = pd.DataFrame(rows, columns=["parameter", "region", "arm", "seed", "rmse"])
    >>> sentence(errors, "A", "B", ["teff"])
    'A is better than B in Teff: 42 against 99 K, in 5 of 5 surveys.'
    """
    texts = {"better": [], "worse": [], "equal": []}
    for p in parameters:
        found, unit, digits = paired(errors, method, reference, p), TABLE[p].unit, DIGITS[p]
        if found["equal"]:
            texts["equal"].append(TABLE[p].symbol)
            continue
        word, count = ("better", found["smaller"]) if found["high"] < 0 else ("worse", found["n"] - found["smaller"])
        both = f"{found['method']:.{digits}f} against {found['reference']:.{digits}f} {unit}"
        texts[word].append(f"{TABLE[p].symbol}: {both}, in {count} of {found['n']} surveys")
    parts = [f"{word} than {reference} in {'; in '.join(texts[word])}" for word in ("better", "worse") if texts[word]]
    clauses = [f"{method} is {'; it is '.join(parts)}"] if parts else []
    if texts["equal"]:
        both = "they" if parts else f"{method} and {reference}"
        clauses.append(f"{both} do not differ within the scatter of the surveys in {_listed(texts['equal'])}")
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def rivals(errors, method=WINNER):
    """Say which other methods are as good as one or better, in each parameter, from the paired differences, as text.

    Parameters
    ----------
    errors : DataFrame
        Of the record.
    method : str

    Returns
    -------
    str
        One or two sentences.
    """
    better, equal = [], []
    for other in errors["arm"].unique():
        found = {TABLE[p].symbol: paired(errors, other, method, p) for p in PARAMETERS if other != method}
        ahead = [symbol for symbol, pair in found.items() if pair["high"] < 0]
        level = [symbol for symbol, pair in found.items() if pair["equal"]]
        better += [f"{other} in {_listed(ahead)}"] if ahead else []
        equal += [f"{other} in {_listed(level)}"] if level else []
    first = f"Better than {method}: {'; '.join(better)}." if better else f"No method is better than {method}."
    second = f" Not different from it within the scatter of the surveys: {'; '.join(equal)}." if equal else ""
    return first + second


def conclusions(errors):
    """Sentences of the summary of notebook 07, from the paired differences.

    Parameters
    ----------
    errors : DataFrame
        Of the record.

    Returns
    -------
    dict of str to str
        Results of :func:`sentence` for the pairs in ``COMPARED``, and as ``rivals`` that of :func:`rivals`.
    """
    return {name: sentence(errors, *pair) for name, pair in COMPARED.items()} | {"rivals": rivals(errors)}


def paper_and_recommended(run):
    """Errors of all methods on the same stars of a run's survey, whose truth none of them used.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        One row per parameter and method: parameter, estimates, the number of stars whose truth the method knows, the
        number of stars that are counted, rmse, bias (estimate minus truth), pearson, and the share of stars whose truth
        is within 1 sigma.
    """
    methods = (*ENCODERS, "recommended")
    known = {method: known_stars(run, method) for method in methods}
    counted = ~np.any(list(known.values()), axis=0)
    found, n = {method: recovery(run, method, counted) for method in methods}, int(counted.sum())
    rows = []
    for p in PARAMETERS:
        for method in methods:
            values = found[method][p]
            row = {"parameter": p, "estimates": method, "known truths": int(known[method].sum()), "stars": n}
            row |= {name: values[name] for name in ("rmse", "bias", "pearson")}
            rows.append(row | {"coverage": values["coverage"] / n})
    return pd.DataFrame(rows)


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
        One row per sample and parameter: sample, parameter, n, the number of stars inside the 68 % errors as given, and
        inside after leave-one-out calibration at 50 and 68 %; NaN where there are too few stars for such an interval.
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
    """Estimates of the real stars by every method, mean and spread over seeds, with published values.

    Parameters
    ----------
    stars : DataFrame
        Of the record.
    published : dict
        As of :func:`dtl_core.literature.real_stars.published_rows`.

    Returns
    -------
    DataFrame
        Of text.
    """
    rows = []
    for star, own in stars.groupby("star", sort=False):
        for method, part in own.groupby("arm", sort=False):
            mean, spread = (getattr(part[list(PARAMETERS)], name)() for name in ("mean", "std"))
            values = {p: f"{mean[p]:.{DIGITS[p]}f} ± {spread[p]:.{DIGITS[p]}f}" for p in PARAMETERS}
            rows.append({"star": star, "by": method} | values)
        for *values, source in published.get(star, []):
            text = {p: "" if v is None else f"{v:g}" for p, v in zip(PARAMETERS, values, strict=True)}
            rows.append({"star": star, "by": source} | text)
    return pd.DataFrame(rows)


def meaning(axes):
    """How fine-tuning changes the meaning of the latent units.

    Parameters
    ----------
    axes : DataFrame
        Of the record.

    Returns
    -------
    dict of str to float
        ``units_total`` and ``units_live`` (mean over surveys). For each way of fine-tuning, medians over live units:
        ``kept_``, correlation of a unit with itself before; ``moved_``, rms change in units of the synthetic spread;
        ``turned_``, share of units with a correlation below 0.5; ``woken_``, units per survey that are dead on
        synthetic spectra but not on stars.
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
