"""Tests of the consensus of catalogues: anchors left out, and simulated catalogues of known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import catalogues
from .consensus import ANCHORS, PAPER, TRAINED_ON_ANCHORS
from .consensus_model import SCALES, Draws, outcomes, sample, simulate

__all__ = ["against_anchors", "anchor_coverage", "anchored_frames", "left_out", "mock", "mock_summary"]


def left_out(draws, n=400, seed=0):
    """Predict each anchor from the other values, as if it had not been known.

    Given the parameters of the catalogues, stars are independent. So an anchor is left out by removing it from its star
    and weighting each draw of the parameters by the inverse probability of the anchor given the other values of the
    star (exact importance weights; Gelfand et al. 1992). ``effective`` is the effective number of draws that remain.

    Parameters
    ----------
    draws : Draws
    n : int
        Draws of the parameters.
    seed : int

    Returns
    -------
    pandas.DataFrame
        karmn; anchor, its value, and e_anchor, its quoted error; consensus (median), low, high (68 %) without it;
        with_scatter_low and with_scatter_high, 68 % of the expected values of an anchor, with its scatter; effective,
        the number of effective draws.
    """
    values, random = draws.values, np.random.default_rng(seed)
    column = values.names.index(values.anchors[0])
    known = np.flatnonzero(np.isfinite(values.value[:, column]) & (np.isfinite(values.value).sum(1) > 1))
    hidden = np.zeros(values.value.shape, bool)
    hidden[known, column] = True
    full = outcomes(draws, n, seed).evidence
    without = outcomes(Draws(values.without(hidden), draws.parameters, draws.diagnostics), n, seed)
    true, rest = without.true, without.evidence
    scatter, scale = draws.subset(n)["s"][:, column], SCALES[values.parameter]
    rows = []
    for star in known:
        weight = np.exp(np.min(full[:, star] - rest[:, star]) - (full[:, star] - rest[:, star]))
        weight /= weight.sum()
        chosen = random.choice(len(weight), 20 * len(weight), p=weight)
        error = values.error[star, column]
        noise = random.normal(size=len(chosen)) * np.hypot(error, scale * scatter[chosen])
        low, middle, high = np.quantile(true[chosen, star], [0.16, 0.5, 0.84])
        wide = np.quantile(true[chosen, star] + noise, [0.16, 0.84])
        rows.append([values.stars[star], values.value[star, column], error, middle, low, high, *wide])
        rows[-1].append(1 / np.sum(weight**2))
    names = ["karmn", "anchor", "e_anchor", "consensus", "low", "high", "with_scatter_low", "with_scatter_high"]
    return pd.DataFrame(rows, columns=[*names, "effective"])


def against_anchors(predicted, parameter, frames):
    """Compare the consensus without each anchor, the plain mean and each catalogue with the anchors.

    Parameters
    ----------
    predicted : pandas.DataFrame
        Result of :func:`left_out`.
    parameter : str
    frames : dict of str to pandas.DataFrame
        Tidy frames by catalogue.

    Returns
    -------
    pandas.DataFrame
        One row each: name; n, anchors that it has; bias, scatter (standard deviation) and rmse against them; consensus,
        the rmse of the consensus for these; trained, whether it learned from the anchors.
    """
    anchor = predicted.set_index("karmn")["anchor"]
    given = {name: frame.set_index("karmn")[parameter].reindex(anchor.index) for name, frame in frames.items()}
    table = pd.DataFrame({name: column for name, column in given.items() if column.notna().any()})
    table.insert(0, "plain mean", table.drop(columns=list(TRAINED_ON_ANCHORS), errors="ignore").mean(axis=1))
    table.insert(0, "consensus", predicted.set_index("karmn")["consensus"])
    rows = []
    for name, column in table.items():
        there = column.notna()
        delta, ours = (column - anchor)[there], (table["consensus"] - anchor)[there]
        statistics = {"n": len(delta), "bias": delta.mean(), "scatter": delta.std(), "rmse": np.sqrt((delta**2).mean())}
        rows.append({"name": name} | statistics | {"consensus": np.sqrt((ours**2).mean())})
        rows[-1]["trained"] = name in TRAINED_ON_ANCHORS
    return pd.DataFrame(rows)


def anchor_coverage(predicted):
    """Share of the anchors inside the 68 % intervals of the consensus without them.

    Parameters
    ----------
    predicted : pandas.DataFrame
        Result of :func:`left_out`.

    Returns
    -------
    dict
        n; alone, with the error of the consensus only; quoted, with the quoted error of the anchor in quadrature;
        scatter, with the scatter that the model finds for the anchors as well.
    """
    delta = predicted["anchor"] - predicted["consensus"]
    side = np.where(delta > 0, predicted["high"] - predicted["consensus"], predicted["consensus"] - predicted["low"])
    inside = predicted["anchor"].between(predicted["with_scatter_low"], predicted["with_scatter_high"])
    quoted = np.abs(delta) <= np.hypot(side, predicted["e_anchor"])
    shares = {"alone": (np.abs(delta) <= side), "quoted": quoted, "scatter": inside}
    return {"n": len(delta)} | {name: float(share.mean()) for name, share in shares.items()}


def mock(draws, number, /, *, seed=0, **settings):
    """Simulate a table of known truth from one draw of the parameters, and fit it as if it were published.

    Parameters
    ----------
    draws : Draws
        Draws for the real table: stars, errors and gaps are those of its values.
    number : int
        Number of the draw that is taken as the truth.
    seed : int
    **settings
        For :func:`dtl_core.literature.consensus_model.sample`.

    Returns
    -------
    dict
        coverage and coverage_95, shares of the true values inside the central 68 and 95 %; and for zero points, slopes
        and scatters, ``z_`` (found minus true, in errors) and ``rank_`` (share of draws below the truth), lists over
        the catalogues that have them; max_rhat and divergences.
    """
    theta = {name: drawn[number] for name, drawn in draws.parameters.items()}
    values, true = simulate(draws.values, theta, seed)
    found = sample(values, seed=seed, **settings)
    drawn = outcomes(found, 300, seed).true
    free = values.structure[0]
    out = {name: found.diagnostics[name] for name in ("max_rhat", "divergences")}
    for name, level in (("coverage", 0.68), ("coverage_95", 0.95)):
        low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        out[name] = float(np.mean((low <= true) & (true <= high)))
    for name, key, which in (("zero", "a", free), ("slope", "b", free), ("scatter", "s", np.isfinite(free))):
        each, truth = found.parameters[key][:, which], theta[key][which]
        out[f"z_{name}"] = ((each.mean(0) - truth) / each.std(0)).tolist()
        out[f"rank_{name}"] = (each < truth).mean(0).tolist()
    return out


def mock_summary(mocks):
    """Summarise mocks.

    Parameters
    ----------
    mocks : list of dict
        Result of :func:`mock`.

    Returns
    -------
    dict
        n; coverage and coverage_95 (means) and e_coverage (standard error, from the scatter of the mocks); for each of
        zero, slope and scatter: ``inside_`` (share of ranks in the central 68 %), ``rms_z_`` and ``ks_`` (distance of
        the distribution of the ranks from a uniform one); and the largest max_rhat.
    """
    from scipy import stats

    coverage = np.array([one["coverage"] for one in mocks])
    out = {
        "n": len(mocks),
        "max_rhat": max(one["max_rhat"] for one in mocks),
        "coverage": coverage.mean(),
        "coverage_95": np.mean([one["coverage_95"] for one in mocks]),
    }
    out["e_coverage"] = coverage.std(ddof=1) / np.sqrt(len(mocks)) if len(mocks) > 1 else np.nan
    for name in ("zero", "slope", "scatter"):
        ranks, z = (np.concatenate([one[f"{kind}_{name}"] for one in mocks]) for kind in ("rank", "z"))
        out[f"inside_{name}"] = np.mean(np.abs(ranks - 0.5) < 0.34)
        out |= {f"rms_z_{name}": np.sqrt(np.mean(z**2)), f"ks_{name}": stats.kstest(ranks, "uniform").statistic}
    return {name: float(value) for name, value in out.items()}


def anchored_frames(parameter, values):
    """Tidy frames of the catalogues in ``values``, with the values hidden from the fit, for :func:`against_anchors`."""
    sources = {name: name for name in values.names if name not in (PAPER, *ANCHORS.values())}
    if parameter == "logg":
        sources["Schw19"] = "Schw19 spectroscopic"
    read = {name: catalogues.read_literature(source) for name, source in sources.items()}
    return read | {PAPER: catalogues.read_published()}
