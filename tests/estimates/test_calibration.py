"""Error bars that hold: quantiles by hand, coverage of known truth, covariate shift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dtl_core.estimates import calibration, diagnostics
from dtl_core.estimates.calibration import Calibration

PROPERTY = settings(derandomize=True, deadline=None, max_examples=25)


def test_the_quantile_counts_the_new_star():
    # of 9 values the new one makes 10: 90 % need the ninth, 91 % are out of reach
    values = np.arange(1.0, 10.0)
    assert calibration.weighted_quantile(values, 0.9) == 9
    assert calibration.weighted_quantile(values, 0.5) == 5
    assert calibration.weighted_quantile(values, 0.91) == np.inf


@PROPERTY
@given(st.integers(0, 1000), st.sampled_from([0.5, 0.68, 0.9]))
def test_a_weight_of_two_is_nearly_two_stars(seed, level):
    rng = np.random.default_rng(seed)
    values, weight = rng.normal(size=400), rng.integers(1, 3, 400)
    found = calibration.weighted_quantile(values, level, weight)
    assert found == pytest.approx(calibration.weighted_quantile(np.repeat(values, weight), level), abs=0.05)


def draws(rng, n, shift=0.0):
    """Estimates, truths and believed scatters: errors are skewed, and larger than believed by a factor of 3."""
    x = rng.uniform(0, 1, n) if not shift else rng.beta(1 + shift, 1, n)
    scatter = 0.2 + x
    error = 3 * scatter * (rng.exponential(1, n) - 0.5) * (1 + x)
    return x, error, np.zeros(n), scatter


@pytest.mark.parametrize("level", [0.5, 0.68, 0.9, 0.95])
def test_intervals_cover_at_their_level_whatever_the_errors(level):
    rng, inside = np.random.default_rng(0), []
    for _ in range(300):
        _, truth, estimate, scatter = draws(rng, 120)
        own = Calibration(estimate[:100], truth[:100], scatter[:100])
        low, high = own.interval(estimate[100:], scatter[100:], level)
        assert np.all(low <= high)
        inside.append(np.mean((truth[100:] >= low) & (truth[100:] <= high)))
    assert level - 0.01 < np.mean(inside) < level + 0.03  # at least the level, and 2 / 101 more at most


def test_skewed_errors_get_skewed_intervals():
    _, truth, estimate, scatter = draws(np.random.default_rng(1), 2000)
    low, high = Calibration(estimate, truth, scatter).interval(np.zeros(1), np.ones(1), 0.68)
    assert high[0] > 1.5 * -low[0] > 0


def test_weights_restore_the_coverage_that_a_shift_took():
    rng, plain, weighted = np.random.default_rng(2), [], []
    for _ in range(200):
        x, truth, estimate, scatter = draws(rng, 150)
        _, new_truth, new, new_scatter = draws(rng, 50, shift=3.0)
        ratio = 4 * x**3  # density of beta(4, 1) over the uniform one
        for found, weight in ((plain, None), (weighted, ratio)):
            low, high = Calibration(estimate, truth, scatter, weight).interval(new, new_scatter, 0.68)
            found.append(np.mean((new_truth >= low) & (new_truth <= high)))
    assert np.mean(plain) < 0.64 and 0.66 < np.mean(weighted) < 0.73


# ---------------------------------------------------------------- against MAPIE


class Zero:
    """A fitted model that says 0, so that the truth is the residual."""

    fitted_ = True  # MAPIE asks for it

    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.zeros(len(x))


def mapies(residuals, level, symmetric):
    """Lower and upper bound of MAPIE's split conformal interval around 0."""
    mapie = pytest.importorskip("mapie.regression")
    from mapie.conformity_scores import AbsoluteConformityScore

    model = mapie.SplitConformalRegressor(
        Zero(), confidence_level=level, conformity_score=AbsoluteConformityScore(sym=symmetric), prefit=True
    )
    model.conformalize(np.zeros((len(residuals), 1)), residuals)
    return model.predict_interval(np.zeros((1, 1)), allow_infinite_bounds=True)[1][0, :, 0]


MAPIE_CASES = given(st.integers(0, 1000), st.integers(60, 300), st.sampled_from([0.5, 0.68, 0.9, 0.95]))


@PROPERTY
@MAPIE_CASES
def test_the_quantile_is_mapies_for_symmetric_scores(seed, n, level):
    residuals = np.random.default_rng(seed).normal(size=n)
    half = calibration.weighted_quantile(abs(residuals), level)
    np.testing.assert_allclose(mapies(residuals, level, True), [-half, half])


@PROPERTY
@MAPIE_CASES
def test_intervals_are_mapies_for_asymmetric_scores(seed, n, level):
    residuals = np.random.default_rng(seed).exponential(size=n) - 0.5
    low, high = Calibration(np.zeros(n), residuals, np.ones(n)).interval(np.zeros(1), np.ones(1), level)
    np.testing.assert_allclose(mapies(residuals, level, False), [low[0], high[0]])


# ---------------------------------------------------------------- groups, weights, joint samples


def three_kinds(rng, n):
    """Estimated Teff, and errors of 20, 50 and 200 K in its thirds."""
    teff = rng.uniform(2700, 4000, n)
    return teff, teff + rng.normal(size=n) * np.array([20.0, 50.0, 200.0])[np.digitize(teff, [3133.3, 3566.7])]


def test_groups_cover_each_where_one_quantile_covers_only_in_the_mean():
    rng, edges_seen = np.random.default_rng(6), []
    shares = {True: np.zeros(3), False: np.zeros(3)}
    for _ in range(200):
        teff, truth = three_kinds(rng, 180)
        new, new_truth = three_kinds(rng, 300)
        edges = calibration.group_edges(teff)
        edges_seen.append(edges)
        group, kind = calibration.groups_of(teff, edges), calibration.groups_of(new, edges)
        assert np.bincount(group).tolist() == [60, 60, 60]
        for grouped in shares:
            own = Calibration(teff, truth, np.ones(180), group=group if grouped else None)
            which = {"group": kind} if grouped else {}
            low, high = own.interval(new, np.ones(300), 0.9, **which)
            inside = (new_truth >= low) & (new_truth <= high)
            shares[grouped] += [inside[kind == k].mean() / 200 for k in range(3)]
    np.testing.assert_allclose(np.mean(edges_seen, 0), [3133.3, 3566.7], atol=10)
    assert shares[False][0] > 0.98 and shares[False][2] < 0.8
    assert np.all((shares[True] > 0.885) & (shares[True] < 0.94))


def test_each_group_is_a_calibration_of_its_own_and_one_too_small_takes_all():
    rng = np.random.default_rng(7)
    truth, group = rng.normal(size=110), np.repeat([0, 1, 2], [50, 50, 10])
    truth[group == 1] *= 10
    weight = rng.uniform(0.5, 2, 110)
    own = Calibration(np.zeros(110), truth, np.ones(110), weight, group=group)
    found = np.array(own.interval(np.zeros(4), np.full(4, 2.0), 0.9, group=np.array([2, 1, 0, 7])))
    everyone = Calibration(np.zeros(110), truth, np.ones(110), weight)
    for star, chosen in ((1, group == 1), (2, group == 0)):
        alone = Calibration(np.zeros(50), truth[chosen], np.ones(50), weight[chosen])
        np.testing.assert_array_equal(found[:, [star]], alone.interval(np.zeros(1), np.full(1, 2.0), 0.9))
    for star in (0, 3):  # 10 stars give no 90 %, and nobody has seen a group 7
        np.testing.assert_array_equal(found[:, [star]], everyone.interval(np.zeros(1), np.full(1, 2.0), 0.9))
    half = np.array(own.interval(np.zeros(1), np.ones(1), 0.5, group=np.array([2])))
    assert not np.array_equal(half, np.array(everyone.interval(np.zeros(1), np.ones(1), 0.5))), "10 stars give 50 %"


def test_groups_of_one_side_alone_are_refused():
    with pytest.raises(ValueError, match="groups"):
        Calibration(np.zeros(9), np.zeros(9), np.ones(9), group=np.zeros(9)).interval(np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="groups"):
        Calibration(np.zeros(9), np.zeros(9), np.ones(9)).interval(np.zeros(1), np.ones(1), group=np.zeros(1))


@pytest.mark.parametrize(("degree", "spread"), [(1, 1.0), (2, 0.6)])
def test_the_ratio_of_two_gaussians_comes_back(degree, spread):
    rng = np.random.default_rng(8)
    unit, shift = np.array([100.0, 0.1]), np.array([0.8, -0.3])
    calibration_set = rng.normal(size=(6000, 2))
    stars = shift + spread * rng.normal(size=(3000, 2))
    exact = np.exp((norm.logpdf(calibration_set, shift, spread) - norm.logpdf(calibration_set)).sum(1))
    found = calibration.likelihood_ratio(3000 + unit * calibration_set, 3000 + unit * stars, degree=degree)
    usual = (exact > 0.2) & (exact < 5)
    error = np.log(found[usual] / exact[usual])
    assert np.sqrt(np.mean(error**2)) < 0.1 < 0.2 * np.std(np.log(exact[usual]))
    assert found.min() > 0.1 - 1e-9 and found.max() < 10 + 1e-9
    narrow = calibration.likelihood_ratio(calibration_set, stars, degree=degree, limit=1.5)
    assert narrow.min() == pytest.approx(1 / 1.5) and narrow.max() <= 1.5 + 1e-9


def test_stars_like_the_calibration_stars_get_equal_weights():
    rng = np.random.default_rng(9)
    found = calibration.likelihood_ratio(rng.normal(size=(800, 3)), rng.normal(size=(400, 3)))
    assert np.std(np.log(found)) < 0.25 and found.mean() == pytest.approx(1, abs=0.1)


def correlated(rng, n):
    """Scatters (n, 4), and errors whose first two scores are correlated by 0.8 and whose third is skewed."""
    scatter = rng.uniform(0.5, 2, (n, 4)) * [50, 0.1, 0.1, 1]
    score = rng.normal(size=(n, 4))
    score[:, 1] = 0.8 * score[:, 0] + 0.6 * score[:, 1]
    score[:, 2] = rng.exponential(size=n) - 1
    return scatter, scatter * score


def test_joint_samples_cover_and_keep_correlations_and_a_stars_own_scatter():
    rng = np.random.default_rng(10)
    scatter, error = correlated(rng, 800)
    estimate = rng.normal(size=(800, 4))
    own, own_error = correlated(rng, 1000)
    stars = rng.normal(size=(1000, 4))
    samples = calibration.joint_samples(estimate, estimate + error, scatter, stars, own, 400)
    assert samples.shape == (400, 1000, 4)
    ranks = diagnostics.sbc_ranks(samples, stars + own_error, rng)
    assert ranks.shape == (1000, 4)
    for k in range(4):
        assert np.histogram(ranks[:, k], 4, (0, 1))[0] == pytest.approx([250] * 4, rel=0.17)
    level, coverage = diagnostics.tarp(samples, stars + own_error, rng, references=stars[None])
    np.testing.assert_allclose(coverage, level, atol=0.06)
    score = (samples - stars) / own
    np.testing.assert_allclose(np.corrcoef(score.reshape(-1, 4).T)[0], [1, 0.8, 0, 0], atol=0.07)
    np.testing.assert_allclose(score.std(0).mean(0), 1, atol=0.1)
    # an ellipse of 68 % in the first two holds as many stars; independent samples would make it a disc
    ellipse = np.linalg.inv(np.cov(score[:, 0, :2].T))
    size = np.quantile(np.einsum("ni,ij,nj->n", score[:, 0, :2], ellipse, score[:, 0, :2]), 0.68)
    true_score = (own_error / own)[:, :2]
    assert np.mean(np.einsum("ni,ij,nj->n", true_score, ellipse, true_score) < size) == pytest.approx(0.68, abs=0.06)


def test_joint_samples_are_whole_vectors_of_calibration_stars_drawn_by_weight():
    scores = np.arange(12.0).reshape(3, 4)
    given_ = np.zeros((3, 4)), scores, np.ones((3, 4)), np.zeros((2, 4)), np.ones((2, 4))
    drawn = calibration.joint_samples(*given_, 4000, weight=[1, 0, 3])
    which = drawn[..., 0] // 4
    np.testing.assert_array_equal(drawn, scores[which.astype(int)])
    assert np.mean(which == 2) == pytest.approx(0.75, abs=0.02) and not np.any(which == 1)
    np.testing.assert_array_equal(drawn, calibration.joint_samples(*given_, 4000, weight=[1, 0, 3]))


# ---------------------------------------------------------------- checks


def test_widths_follow_errors_where_scatters_are_right_and_not_where_they_mean_nothing():
    rng = np.random.default_rng(11)
    scatter = rng.uniform(0.2, 3, 4000)
    truth = scatter * rng.normal(size=4000)
    table = calibration.width_against_error(-scatter, scatter, truth, 4)
    assert table["n"].tolist() == [1000] * 4 and table["width"].is_monotonic_increasing
    np.testing.assert_allclose(table["error"], table["width"] / 2, rtol=0.12)
    np.testing.assert_allclose(table["inside"], 0.683, atol=0.05)
    shuffled = rng.permutation(scatter)
    flat = calibration.width_against_error(-shuffled, shuffled, truth, 4)
    assert flat["error"].max() < 1.15 * flat["error"].min() and flat["inside"].iloc[-1] > flat["inside"].iloc[0] + 0.3


def test_widths_by_hand_about_the_middle_without_infinite_ones():
    table = calibration.width_against_error([0, 0, -np.inf, 10], [2, 4, np.inf, 30], [1.0, 5.0, 0.0, 20.0], 2)
    assert table["n"].tolist() == [2, 1] and table["width"].tolist() == [3.0, 20.0]
    assert table["error"].tolist() == [np.sqrt(4.5), 0.0] and table["inside"].tolist() == [0.5, 1.0]


def test_leaving_one_out_tells_intervals_that_hold_from_those_that_do_not():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=20)
    found = calibration.leave_one_out(np.zeros(20), truth, np.ones(20), (0.5, 0.68, 0.9))
    for level, (inside, n) in found.items():
        assert n == 20 and abs(inside / n - level) < 0.25
    # a star far off the others is never inside, and does not widen its own interval
    truth[0] = 100.0
    again = calibration.leave_one_out(np.zeros(20), truth, np.ones(20), (0.68,))
    assert again[0.68][0] <= 19
