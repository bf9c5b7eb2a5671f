"""The benchmark's bookkeeping: halves, anchor stars and scores against known truth."""

import numpy as np
import pandas as pd
import pytest

from dtl_core.bridging import benchmark
from dtl_core.errors import DataError
from dtl_core.estimates import gravity
from dtl_core.parameters import PARAMETERS


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    n = 90
    values = {"teff": rng.uniform(2700, 4200, n), "logg": rng.uniform(4.5, 5.2, n), "mh": rng.normal(0, 0.2, n)}
    return pd.DataFrame(values | {"vsini": rng.uniform(1, 20, n), "snr": rng.uniform(100, 400, n)})


@pytest.mark.parametrize("seed", [0, 1])
def test_halves_hold_every_star_once(truth, seed):
    chosen, reported = benchmark.halves(truth, seed)
    assert len(chosen) == 45 and sorted([*chosen, *reported]) == list(range(90))
    assert np.all(np.diff(chosen) > 0) and not np.array_equal(chosen, benchmark.halves(truth, seed + 1)[0])


def test_anchor_stars_are_few_from_the_rows_given_and_measured_with_their_errors(truth):
    rows, errors = np.arange(0, 90, 2), {name: [] for name in benchmark.ANCHOR_ERRORS}
    for seed in range(200):
        anchors = benchmark.anchors_of(truth, rows, seed)
        assert {name: len(own) for name, (own, _) in anchors.items()} == {"teff": 14, "logg": 14, "mh": 6}
        assert not set(anchors["teff"][0]) & set(anchors["mh"][0])
        for name, (own, values) in anchors.items():
            assert set(own) <= set(rows) and len(set(own)) == len(own)
            errors[name].extend(values - truth[name].to_numpy()[own])
    for name, size in benchmark.ANCHOR_ERRORS.items():
        assert np.std(errors[name]) == pytest.approx(size, rel=0.06) and abs(np.mean(errors[name])) < 0.1 * size


def realistic_survey(n=400, seed=1):
    rng = np.random.default_rng(seed)
    values = {"teff": rng.uniform(2700, 4200, n), "logg": rng.uniform(4.5, 5.2, n), "mh": rng.normal(0, 0.2, n)}
    return pd.DataFrame(values | {"vsini": rng.uniform(1, 6, n), "snr": rng.uniform(100, 400, n)})


def test_realistic_anchor_stars_are_bright_early_and_rotate_slowly():
    survey = realistic_survey()
    rows = np.arange(0, 400, 2)
    for seed in range(20):
        anchors = benchmark.anchors_of(survey, rows, seed, realistic=True)
        assert {name: len(own) for name, (own, _) in anchors.items()} == {"teff": 14, "logg": 14, "mh": 6}
        stars = survey.iloc[np.concatenate([anchors["teff"][0], anchors["mh"][0]])]
        assert stars.index.is_unique and set(stars.index) <= set(rows)
        assert stars["teff"].min() > 3300 and stars["vsini"].max() < 3 and stars["snr"].min() >= survey["snr"].median()
    usual = benchmark.anchors_of(survey, rows, 0)["teff"][0]
    assert (survey["vsini"].iloc[usual] > 3).any() and (survey["snr"].iloc[usual] < 250).any()


def test_fewer_anchor_stars_are_some_of_the_same_with_the_same_values():
    survey, rows = realistic_survey(), np.arange(400)
    most = benchmark.anchors_of(survey, rows, 3, 14, 6, realistic=True)
    for n_teff, n_mh in ((0, 0), (3, 1), (6, 3)):
        few = benchmark.anchors_of(survey, rows, 3, n_teff, n_mh, realistic=True)
        for name, n in {"teff": n_teff, "logg": n_teff, "mh": n_mh}.items():
            for one, two in zip(few[name], most[name], strict=True):
                np.testing.assert_array_equal(one, two[:n])


def test_a_survey_with_too_few_suitable_stars_is_refused(truth):
    with pytest.raises(DataError, match=r"^field 'realistic': \d+ stars are bright, .* but 20 are needed; simulate"):
        benchmark.anchors_of(truth, np.arange(30), realistic=True)


def test_thirds_are_of_equal_size_from_cool_to_hot(truth):
    teff = truth["teff"].to_numpy()
    third = benchmark.regions(teff)
    assert np.bincount(third).tolist() == [30, 30, 30]
    assert teff[third == 0].max() < teff[third == 1].min() < teff[third == 2].min()


def test_scores_are_the_injected_biases_and_scatters_of_the_rows_that_count(truth):
    exact = truth[list(PARAMETERS)].to_numpy()
    third = benchmark.regions(truth["teff"].to_numpy())
    found = exact + np.array([100.0, 0.1, -0.2, 1.0]) * (third == 2)[:, None]  # only hot stars are off
    rows = np.flatnonzero(np.arange(90) % 3 != 0)
    found[np.arange(90) % 3 == 0] = 1e9
    table = benchmark.scores(found, truth, rows, known=np.array([0, 3])).set_index(["parameter", "region"])
    assert (table["truths"] == 2).all()
    hot = third[rows] == 2
    for name, shift in zip(PARAMETERS, [100.0, 0.1, -0.2, 1.0], strict=True):
        assert table.loc[(name, 2), ["rmse", "bias", "scatter"]].tolist() == pytest.approx(
            [abs(shift), shift, 0], abs=1e-9
        )
        assert table.loc[(name, 0), "rmse"] == 0 and table.loc[(name, "all"), "n"] == 60
        assert table.loc[(name, "all"), "rmse"] == pytest.approx(abs(shift) * np.sqrt(hot.mean()))
        assert table.loc[(name, "all"), "bias"] == pytest.approx(shift * hot.mean())
    # the relations take the estimated Teff and [M/H] and not log g
    own = found[rows] * [1, 0, 1, 1]
    for name, error in gravity.relation_errors(own, truth["logg"].to_numpy()[rows]).items():
        assert table.loc[(f"logg_{name}", "all"), "rmse"] == pytest.approx(error)
    row = table.loc[("teff", "all")]
    assert row["rmse"] ** 2 == pytest.approx(row["bias"] ** 2 + row["scatter"] ** 2)


def test_a_star_whose_truth_is_known_is_not_scored(truth):
    exact, known = truth[list(PARAMETERS)].to_numpy(), np.array([4, 7, 80])
    found = exact + 1.0
    found[known] = 1e9
    table = benchmark.scores(found, truth, known=known)
    estimated = table["parameter"].isin(PARAMETERS)  # the others are relations
    assert table["rmse"][estimated].to_numpy() == pytest.approx(1) and (table["truths"] == 3).all()
    assert (table.loc[table["region"] == "all", "n"] == 87).all()
    with pytest.raises(DataError, match="^field 'rows': the method knows the truth of star 7; leave out"):
        benchmark.scores(found, truth, np.arange(5, 20), known=known)
    with pytest.raises(TypeError, match="known"):
        benchmark.scores(found, truth, np.arange(5))  # nobody can forget to say what is known
