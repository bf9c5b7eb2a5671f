"""The consensus of catalogues: its formulae against brute force, known truth found again, bad input refused."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from dtl_core.errors import ConfigError, DataError
from dtl_core.literature import consensus, consensus_checks, consensus_model

NAMES = ("A", "B", "C", "D", "anchor")
FAMILIES = ("f", "f", "f", "g", "h")
THETA = {
    "a": np.array([0.5, -0.4, 0.2, 0.0, 0.0]),
    "b": np.array([0.1, -0.1, 0.0, 0.05, 0.0]),
    "s": np.array([0.3, 0.4, 0.2, 0.5, 0.1]),
    "load": np.array([0.9, 0.8, 0.5, 0.0, 0.0]),
    "mu": 0.3,
    "sigma": 2.0,
    "s_out": 4.0,
    "p_out": 0.02,
}


def table(n, seed=0, missing=0.2):
    """A table of n stars with random errors and gaps; the last catalogue is an anchor of a quarter of the stars."""
    random = np.random.default_rng(seed)
    value = np.where(random.random((n, 5)) < missing, np.nan, 3500.0)
    value[n // 4 :, 4] = np.nan
    error = random.uniform(20, 60, (n, 5))
    stars = np.array([f"S{k:04d}" for k in range(n)])
    return consensus_model.Values("teff", stars, NAMES, value, error, FAMILIES, ("anchor",))


def simulated(n, seed=0, **theta):
    return consensus_model.simulate(table(n, seed), THETA | theta, seed)


def known(values, n=200):
    """Draws that are all the true parameters."""
    return consensus_model.Draws(values, {name: np.repeat(np.asarray(v)[None], n, 0) for name, v in THETA.items()}, {})


def test_marginal_probability_and_true_values_are_those_of_dense_covariances():
    values, _ = simulated(12)
    y, e, there = values.scaled()
    logp, mean, variance, deviation = consensus_model.marginal(THETA, y, e, there, values.structure[2])
    slope, v = 1 + THETA["b"], e**2 + THETA["s"] ** 2
    for star, has in enumerate(there > 0):
        shared = THETA["load"] * np.sqrt(v[star])
        noise = np.diag((1 - THETA["load"] ** 2) * v[star])
        noise += np.outer(shared, shared) * np.equal.outer(np.array(FAMILIES), np.array(FAMILIES))
        r, with_truth = (y[star] - THETA["a"] - slope * THETA["mu"])[has], slope[has] * THETA["sigma"] ** 2
        odds = THETA["p_out"] / (1 - THETA["p_out"])
        for hypothesis in range(6):
            if hypothesis and not has[hypothesis - 1]:
                assert logp[star, hypothesis] == -np.inf
                continue
            extra = np.zeros((5, 5))
            if hypothesis:
                extra[hypothesis - 1, hypothesis - 1] = THETA["s_out"] ** 2
            full = (noise + extra + np.outer(slope, slope) * THETA["sigma"] ** 2)[np.ix_(has, has)]
            prior = (np.log(odds) if hypothesis else 0.0) - np.log1p(has.sum() * odds)
            expected = multivariate_normal.logpdf(r, np.zeros(has.sum()), full) + prior
            truth = THETA["mu"] + with_truth @ np.linalg.solve(full, r)
            spread = THETA["sigma"] ** 2 - with_truth @ np.linalg.solve(full, with_truth)
            found = [x[star, hypothesis] for x in (logp, mean, variance)]
            np.testing.assert_allclose(found, [expected, truth, spread], rtol=1e-9)
            if not hypothesis and has.sum() > 1:  # each value from all others
                inverse = np.linalg.inv(full)
                np.testing.assert_allclose(deviation[star, has], inverse @ r / np.diag(inverse), rtol=1e-9)


def test_simulated_tables_have_the_moments_of_the_model():
    values, true = consensus_model.simulate(table(40_000, missing=0.0), THETA | {"p_out": 1e-9})
    x = (true - 3500) / 100
    y = (values.value[:, :4] - 3500) / 100
    assert abs(x.mean() - 0.3) < 0.05 and abs(x.std() - 2) < 0.03
    residual = y - THETA["a"][:4] - x[:, None] * (1 + THETA["b"][:4])
    np.testing.assert_allclose(residual.mean(0), 0, atol=0.02)
    covariance = np.cov((residual / np.hypot(values.error / 100, THETA["s"])[:, :4]).T)
    np.testing.assert_allclose(np.diag(covariance), 1, rtol=0.03)
    np.testing.assert_allclose(covariance[0, 1:], [0.72, 0.45, 0.0], atol=0.02)


def test_true_values_are_inside_their_intervals_at_known_parameters():
    values, true = simulated(3000, seed=3)
    drawn = consensus_model.outcomes(known(values), 200).true
    low, high = np.quantile(drawn, [0.16, 0.84], axis=0)
    assert abs(np.mean((low <= true) & (true <= high)) - 0.68) < 0.03


def test_members_of_a_family_do_not_count_twice():
    values, _ = consensus_model.simulate(table(300, missing=0.0), THETA)
    one = values.without(np.isin(NAMES, ["B", "C", "D", "anchor"]) & np.isfinite(values.value))
    two = values.without(np.isin(NAMES, ["C", "D", "anchor"]) & np.isfinite(values.value))
    theta = THETA | {"s": np.full(5, 0.3), "a": np.zeros(5), "b": np.zeros(5)}
    errors = []
    for table_, load in ((one, 0.99), (two, 0.99), (two, 0.0)):
        each = theta | {"load": np.array([load, load, 0, 0, 0])}
        y, e, there = table_.scaled()
        errors.append(np.sqrt(consensus_model.marginal(each, y, np.full_like(e, 0.3), there, table_.structure[2])[2]))
    alone, shared, independent = (error[:, 0].mean() for error in errors)
    assert shared > 0.98 * alone and independent < 0.75 * alone


def test_an_outlier_is_found_and_has_no_weight():
    values, true = simulated(200, seed=4, p_out=1e-9)
    star = int(np.flatnonzero(np.isfinite(values.value).all(1))[0])
    spoilt = values.value.copy()
    spoilt[star, 3] += 1500.0
    draws = known(consensus_model.replace(values, value=spoilt))
    found = consensus.outlier_table(draws, 0.9, n=100)
    first = found.iloc[0]
    assert (first["karmn"], first["catalogue"]) == (values.stars[star], "D") and first["probability"] > 0.99
    assert abs(first["deviation"] - 1500) < 300
    before, after = (consensus.consensus_table(known(v), n=200)["teff"][star] for v in (values, draws.values))
    assert abs(after - before) < 40


def test_left_out_anchors_are_predicted_without_them():
    values, _ = simulated(400, seed=5)
    draws = known(values, 100)
    predicted = consensus_checks.left_out(draws, n=100)
    np.testing.assert_allclose(predicted["effective"], 100)  # the parameters do not depend on the anchors
    moved = values.value.copy()
    moved[:, 4] += 700.0
    again = consensus_checks.left_out(known(consensus_model.replace(values, value=moved), 100), n=100)
    pd.testing.assert_series_equal(predicted["consensus"], again["consensus"])
    covered = consensus_checks.anchor_coverage(predicted)
    assert abs(covered["scatter"] - 0.68) < 0.12 and covered["alone"] <= covered["quoted"]


def test_left_out_weights_are_those_of_a_fit_without_the_anchor():
    """Two possible zero points: without its one anchor a star cannot tell them, with it it can."""
    values, _ = simulated(40, seed=6, p_out=1e-9)
    only = np.zeros(values.value.shape, bool)
    only[1:, 4] = True
    values = values.without(only & np.isfinite(values.value))
    values.value[0] = [3550.0, 3460.0, 3520.0, 3500.0, 3500.0]
    base = {name: np.repeat(np.asarray(v)[None], 400, 0) for name, v in THETA.items()}
    base["mu"] = np.linspace(-1, 1, 400)
    logp = []
    for hidden in (False, True):
        table_ = values.without(only | (np.eye(len(values.stars), 5, k=4) > 0)) if hidden else values
        logp.append(consensus_model.outcomes(consensus_model.Draws(table_, base, {}), 400).evidence[:, 0])
    expected = np.exp(logp[1] - logp[0])
    predicted = consensus_checks.left_out(consensus_model.Draws(values, base, {}), n=400)
    share = expected / expected.sum()
    np.testing.assert_allclose(predicted["effective"].iloc[0], 1 / np.sum(share**2), rtol=1e-6)


def test_bad_chains_are_warned_of():
    values, _ = simulated(20)
    good = {"max_rhat": 1.005, "min_effective": 500.0, "divergences": 0, "n_draws": 800}
    assert consensus.check_convergence(consensus_model.Draws(values, {}, good))
    for bad in ({"max_rhat": 1.05}, {"min_effective": 50.0}, {"divergences": 3}):
        with pytest.warns(UserWarning, match="have not converged"):
            assert not consensus.check_convergence(consensus_model.Draws(values, {}, good | bad))


def test_a_missing_sampler_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpyro", None)
    values, _ = simulated(20)
    with pytest.raises(ConfigError, match=r"numpyro is not installed.*dtl-mdwarfs\[consensus\]"):
        consensus_model.sample(values)


@pytest.fixture
def quick_to_compile():
    """Machine code that is made fast rather than fast code, which is what a short chain needs."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
def test_the_sampler_finds_known_parameters_and_repeats_itself(quick_to_compile):
    values, true = simulated(200, seed=7)
    settings = {"warmup": 100, "draws": 150, "chains": 1}
    draws = consensus_model.sample(values, **settings)
    assert draws.diagnostics["max_rhat"] < 1.1 and draws.diagnostics["divergences"] < 5
    found = consensus.catalogue_table(draws)
    zero = (found["zero"][:4] - 100 * THETA["a"][:4]) / found["e_zero"][:4]
    slope = (found["slope"][:4] - 1 - THETA["b"][:4]) / found["e_slope"][:4]
    assert np.abs([*zero, *slope]).max() < 4 and found["zero"][4:].isna().all()
    assert np.abs(found["scatter"] - 100 * THETA["s"]).max() < 25
    one = consensus.consensus_table(draws)
    inside = (one["teff"] - one["e_teff"] <= true) & (true <= one["teff"] + one["E_teff"])
    assert abs(inside.mean() - 0.68) < 0.2  # of one table: errors of the zero point are common to all stars
    again = consensus_model.sample(values, **settings)
    assert all(np.array_equal(again.parameters[name], drawn) for name, drawn in draws.parameters.items())
    mocked = consensus_checks.mock_summary([consensus_checks.mock(draws, 3, seed=1, **settings)])
    assert 0.4 < mocked["coverage"] < 0.95 and mocked["rms_z_zero"] < 4 and mocked["max_rhat"] < 1.2
    nothing = values.without(np.arange(5) > 0)
    with pytest.raises(DataError, match="no star has two values"):
        consensus_model.sample(nothing)


def test_mocks_are_summarised():
    ranks = ((np.arange(100) + 0.5) / 100).tolist()
    one = {"coverage": 0.7, "coverage_95": 0.95, "max_rhat": 1.0, "divergences": 0}
    one |= {f"{kind}_{name}": ranks for kind in ("rank", "z") for name in ("zero", "slope", "scatter")}
    found = consensus_checks.mock_summary([one, one | {"coverage": 0.66}])
    assert found["coverage"] == pytest.approx(0.68) and found["inside_zero"] == pytest.approx(0.68)
    assert found["ks_slope"] == pytest.approx(0.005) and found["e_coverage"] == pytest.approx(0.02)


@pytest.mark.data
def test_published_values_are_those_of_the_tables():
    values = consensus.published_values("teff")
    assert len(values.stars) == 286 and values.anchors == ("Interferometric",)
    number = dict(zip(values.names, np.isfinite(values.value).sum(0), strict=True))
    assert number["Interferometric"] == 14 and number["Mar21"] == 286 and number["Mann15"] == 97
    assert number["Bello23"] == 283 - 14  # it was trained on the anchors
    assert np.isfinite(values.error[np.isfinite(values.value)]).all()
    gravity = consensus.published_values("logg")
    assert {"Mann15", "Bello23"}.isdisjoint(gravity.names)
    column = {name: gravity.value[:, gravity.names.index(name)] for name in ("Schw19", "Mass-radius")}
    assert 0.04 < np.nanmean(column["Schw19"] - column["Mass-radius"]) < 0.11  # +0.13 and +0.06 against the paper
    assert np.isnan(consensus.published_values("mh", anchored=False).value[:, -1]).all()
