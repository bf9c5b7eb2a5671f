"""The recommended estimates of a run: better than the paper's where the truth is known, calibrated, and named."""

import json

import numpy as np
import pytest
from astropy.table import Table
from bounds import bounded

from book.maker import catalogue_tables
from dtl_core.bridging import benchmark
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError
from dtl_core.estimates import outliers
from dtl_core.files import load_arrays, save_arrays
from dtl_core.literature.real_stars import published_rows
from dtl_core.models import exports
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS
from dtl_core.pipeline import benchmark_calibration, headline, results
from dtl_core.pipeline.stages import recommended
from dtl_core.pipeline.store import Store
from dtl_core.synthetic import generation, simulated_survey

pytestmark = pytest.mark.uses_smoke


def test_the_catalogue_names_the_method_and_what_is_strange(smoke):
    table, n = smoke.catalogue_of("recommended"), len(smoke.truth)
    assert list(table["karmn"]) == smoke.stars
    assert set(table["method"][:n]) == {"combined"} and set(table["method"][n:]) <= {"randomised"}  # real ones are few
    assert np.all((table["p_domain"] > 0) & (table["p_domain"] <= 1)) and set(table["strange"]) <= set(outliers.SCORES)
    for column in PARAMETER_COLUMNS.values():
        values = np.stack([table[f"{e}{column}"] for e in ("", "e_", "E_")])
        assert np.isfinite(values).all() and (values[1:] >= 0).all() and (values[1:].sum(0) > 0).all()


def test_it_recovers_the_survey_better_than_the_papers_encoders(smoke):
    f = smoke.figures
    for p in PARAMETERS:
        best = min(f[f"rmse_{p}_transfer"], f[f"rmse_{p}_direct"])
        bounded(f"rmse of {p} over that of the better encoder", f[f"rmse_{p}_recommended"] / best, below=0.9)


def test_its_error_bars_hold_on_the_half_that_did_not_calibrate_them(smoke):
    n = len(smoke.truth) - len(smoke.truth) // 2
    coverage = [smoke.figures[f"coverage_{p}_recommended"] / n for p in PARAMETERS]
    # the quantiles come from some fifty stars a third of Teff, so that those of one parameter have noise of their own
    bounded("mean coverage", np.mean(coverage), above=0.6, below=0.8)
    bounded("coverage", coverage, above=0.5, below=0.9)


def test_its_errors_are_those_of_stars_that_neither_calibrate_nor_anchor_it(smoke):
    chosen, reported = benchmark.halves(smoke.truth)
    anchors = benchmark.anchors_of(smoke.truth, chosen, smoke.config.seed)
    counted = np.setdiff1d(reported, np.concatenate([rows for rows, _ in anchors.values()]))
    known = headline.known_stars(smoke, "recommended")
    assert not known[counted].any() and known[chosen].all()
    f, n = smoke.figures, len(smoke.truth)
    assert (f["n_scored_recommended"], f["n_truths_recommended"]) == (len(counted), n - len(counted))
    assert (f["n_scored_transfer"], f["n_truths_transfer"]) == (n, 0)
    table = smoke.catalogue_of("recommended")[:n]
    for p, column in PARAMETER_COLUMNS.items():
        difference = (np.asarray(table[column]) - smoke.truth[p].to_numpy())[counted]
        assert f[f"rmse_{p}_recommended"] == pytest.approx(np.sqrt(np.mean(difference**2)))
        assert f[f"bias_{p}_recommended"] == pytest.approx(difference.mean())


def test_few_ordinary_stars_are_called_strange(smoke):
    _, reported = benchmark.halves(smoke.truth)
    bounded("share", np.mean(smoke.catalogue_of("recommended")["p_domain"][reported] <= 0.05), below=0.10)


def test_the_exported_catalogue_has_both_methods_side_by_side(smoke):
    table = catalogue_tables.run_table(smoke)
    for column in PARAMETER_COLUMNS.values():
        assert {column, f"{column}_direct", f"{column}_recommended", f"E_{column}_recommended"} <= set(table.colnames)
        np.testing.assert_allclose(table[f"{column}_recommended"], smoke.catalogue_of("recommended")[column])
    assert {"method", "p_domain", "strange"} <= set(table.colnames)
    for suffix in exports.FORMATS:
        assert len(exports.as_bytes(table, suffix)) > 10_000


def test_where_the_profile_chose_the_papers_method_that_is_what_is_recommended(smoke):
    keys = {stage: key for stage, key in smoke.keys.items() if stage != "recommended"}
    table = results.Run(smoke.config, smoke.store, keys, smoke.search, smoke.architectures).catalogue_of("recommended")
    assert set(table["method"]) == {"paper"} and np.isnan(table["p_domain"]).all()
    np.testing.assert_array_equal(table["Teff"], smoke.catalogue["Teff"])


def test_few_stars_get_the_method_that_needs_no_others():
    config = load_profile("demo", {"recommended.fewest": 25})
    assert [recommended.method_of(config, n) for n in (1, 24, 25, 286)] == ["randomised"] * 2 + ["combined"] * 2
    chosen = load_profile("demo", {"recommended.method": "randomised"})
    assert recommended.method_of(chosen, 286) == "randomised"
    with pytest.raises(ConfigError, match=r"recommended\.method"):
        load_profile("demo", {"recommended.method": "best"})


def test_joint_posteriors_hold_the_truth_as_often_as_they_say(smoke):
    _, reported = benchmark.halves(smoke.truth)
    truth, inside = smoke.truth[list(PARAMETERS)].to_numpy(), []
    for star in reported:
        low, high = np.percentile(benchmark_calibration.posterior(smoke, star, 500), [16, 84], axis=0)
        inside.append((truth[star] >= low) & (truth[star] <= high))
    bounded("mean coverage", np.mean(inside), above=0.5, below=0.8)  # a third if half as wide
    bounded("coverage", np.mean(inside, 0), above=0.45, below=0.9)
    samples = benchmark_calibration.posterior(smoke, reported[0], 3000)
    assert np.all(np.isfinite(np.corrcoef(samples.T))) and samples.shape == (3000, 4)


def test_a_flow_says_much_the_same(smoke):
    pytest.importorskip("zuko")
    _, reported = benchmark.halves(smoke.truth)
    star = int(reported[0])
    flow = benchmark_calibration.flow_posterior(smoke, star, 500)
    other = benchmark_calibration.posterior(smoke, star, 500)
    assert flow.shape == (500, 4) and np.isfinite(flow).all()
    spread = smoke.truth[list(PARAMETERS)].std().to_numpy()
    bounded("medians apart, over the spread", np.abs(np.median(flow, 0) - np.median(other, 0)) / spread, below=1)


def test_few_star_coverage_counts_stars_and_says_where_they_are_too_few(smoke):
    table = benchmark_calibration.few_star_coverage(smoke)
    ours = table[table["sample"] == "simulated, recommended"].set_index("parameter")
    assert ours["n"].to_dict() == {"teff": 14, "logg": 14, "mh": 6}
    assert np.isnan(ours.loc["mh", "calibrated, 68%"])
    bounded("stars inside, of 14", ours.loc["teff", "calibrated, 68%"], above=3, below=15)


@pytest.mark.data
def test_the_real_stars_have_a_row_of_the_recommended_method(smoke):
    table = headline.real_star_table(smoke, published_rows())
    assert len(smoke.reports) == 3
    assert (table["source"] == "this run, recommended (randomised)").sum() == len(smoke.reports)


# ---------------------------------------------------------------- without a run


def test_estimates_are_written_with_the_digits_of_each_parameter():
    columns = {f"{e}{c}": [v] for c, v in zip(PARAMETER_COLUMNS.values(), (3512.345, 4.987, -0.04, 2.345), strict=True)
               for e in ("", "e_", "E_")}  # fmt: skip
    table = headline.estimates_table(Table({"karmn": ["S1"]} | columns | {"e_[M/H]": [0.1], "E_[M/H]": [0.2]}))
    minus = "\N{MINUS SIGN}"
    assert list(table) == ["star", "Teff [K]", "log g", "[M/H]", "v sin i [km/s]"]
    assert table.loc[0, "Teff [K]"] == f"3512 {minus}3512 +3512"
    assert table.loc[0, "[M/H]"] == f"{minus}0.04 {minus}0.10 +0.20"


def estimates(rng, n, strange=0.0):
    """Estimates of stars whose errors are twice what is expected, skewed; measured for a detector."""
    low, high = np.array([2900, 4.6, -0.4, 1]), np.array([4200, 5.1, 0.4, 9])
    truth = low + (high - low) * rng.uniform(0, 1, (n, 4))
    spread = np.array([20, 0.02, 0.03, 0.5]) * np.exp(rng.normal(0, 0.2, (n, 4)))
    error = 2 * spread * (rng.exponential(1, (n, 4)) - 1)
    measured = {"residual": rng.normal(0, 0.01, (n, 60)) + strange, "latent": rng.normal(0, 1, (n, 5)), "step": 0.03}
    measured |= {"disagreement": rng.normal(0, 1, (n, 4)), "grain": rng.normal(0, 0.1, (n, 12))}
    return (truth - error, spread, measured), truth


def test_intervals_and_p_values_come_from_the_reference():
    rng = np.random.default_rng(0)
    reference, known = estimates(rng, 600)
    stars, truth = estimates(rng, 400)
    found = recommended.calibrated(reference, known, stars)
    level = recommended.LEVELS.index(0.68)
    inside = (truth >= found["low"][:, :, level]) & (truth <= found["high"][:, :, level])
    assert np.all(np.abs(inside.mean(0) - 0.68) < 0.06)
    wide = recommended.LEVELS.index(0.90)
    assert np.all((found["low"][:, :, level] <= found["median"]) & (found["median"] <= found["high"][:, :, level]))
    assert np.all(np.abs((truth > found["median"]).mean(0) - 0.5) < 0.1)  # three standard errors
    up, down = found["high"][:, 0, wide] - found["found"][:, 0], found["found"][:, 0] - found["low"][:, 0, wide]
    assert np.median(up) > 1.5 * np.median(down)  # the injected errors are skewed
    assert np.mean(found["p"] <= 0.05) < 0.09
    strange, _ = estimates(rng, 50, strange=0.2)
    assert np.mean(recommended.calibrated(reference, known, strange)["p"] <= 0.05) == 1


@pytest.fixture
def made(tmp_path):
    """method of fifteen stars that are no part of the survey -> the stage's results.

    These are config, ticks of progress, catalogue, the stars whose truth was used, and the truth.
    """

    def make(fewest):
        settings = {"window.step": 0.03, "synthetic.n_spectra": 300, "survey.n_stars": 60, "survey.real_stars": "no"}
        settings |= {"recommended.epochs": 2, "recommended.emulator_epochs": 3, "recommended.fewest": fewest}
        config = load_profile("smoke", settings | {"recommended.reference_stars": 60})
        store, keys, ticks = Store(tmp_path), {"synthetic": "s", "observed": "o"}, []
        for stage, key in keys.items():
            store.path(stage, key).mkdir(parents=True, exist_ok=True)
        flux, labels = generation.synthetic_set(config)
        save_arrays(store.path("synthetic", "s") / "synthetic.safetensors", {"flux": flux, "labels": labels})
        survey, truth = simulated_survey.survey_set(config)
        others = benchmark.other_survey(config, seed=7)[0][:15]
        folder = store.path("observed", "o")
        save_arrays(folder / "observed.safetensors", {"flux": np.concatenate([survey, others])})
        Table.from_pandas(truth).write(folder / "truth.ecsv", overwrite=True)
        reports = {"stars": [{"star": f"X{k}"} for k in range(15)], "refused": []}
        (folder / "reports.json").write_text(json.dumps(reports))
        where, _ = recommended.make_recommended(store, config, keys, lambda: ticks.append(1))
        known = load_arrays(where / "recommended.safetensors")["known"]
        return config, len(ticks), Table.read(where / "catalogue_recommended.ecsv"), known, truth

    return make


@pytest.mark.parametrize(("fewest", "method"), [(15, "combined"), (16, "randomised")])
def test_stars_beside_the_survey_get_the_method_that_their_number_allows(made, fewest, method):
    config, ticks, table, known, truth = made(fewest)
    assert known.dtype == bool and len(known) == 75  # the half of the survey that calibrates, with its anchor stars
    np.testing.assert_array_equal(np.flatnonzero(known), benchmark.halves(truth)[0])
    assert len(table) == 75 and list(table["karmn"][60:]) == [f"X{k}" for k in range(15)]
    assert set(table["method"][:60]) == {"combined"} and set(table["method"][60:]) == {method}
    for column in PARAMETER_COLUMNS.values():
        assert all(np.isfinite(table[f"{e}{column}"]).all() for e in ("", "e_", "E_"))
        assert (table[f"e_{column}"] >= 0).all() and (table[f"E_{column}"] >= 0).all()
    assert recommended.steps(config) == 7  # emulator, and a network each for the survey and the stars beside it
    assert ticks == recommended.steps(config) + (2 if method == "combined" else 0)  # and one for the survey's twin


def test_the_stage_is_in_the_record_of_the_run(smoke):
    record = json.loads((smoke.store.root / "runs" / "smoke.json").read_text())
    assert record["keys"]["recommended"] == smoke.keys["recommended"] and record["seconds"]["recommended"] > 1
