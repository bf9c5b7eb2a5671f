"""The benchmark survey: its effects one by one, its truth and its seeds."""

import functools

import numpy as np
import pandas as pd
import pytest

from dtl_core.config import load_profile
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, libraries, simulated_survey

EFFECTS = (
    "noise",
    "velocity",
    "continuum",
    "telluric",
    "activity",
    "line_strength",
    "missing_lines",
    "unknown_lines",
)


def survey_config(n_stars=12, default=0.0, **on):
    effects = {f"survey.{name}": default for name in EFFECTS} | {f"survey.{k}": v for k, v in on.items()}
    return load_profile("smoke", {"survey.n_stars": n_stars} | effects)


@functools.cache
def survey(n_stars=12, default=0.0, **on):
    """Flux and truth, effects at ``default`` but for those named; (kept: do not change the arrays)."""
    return simulated_survey.survey_set(survey_config(n_stars, default, **on))


# ---------------------------------------------------------------- the benchmark survey


def test_without_effects_the_survey_is_the_other_code_through_the_same_chain():
    config = survey_config()
    flux, truth = survey()
    library = libraries.load_library("survey_b")
    rows = truth["karmn"].str[1:].astype(int).to_numpy() - 1
    model = generation.model_spectra(
        library.wavelength, library.flux[rows], truth["vsini"].to_numpy(), config.window, limb_darkening=0.6
    )
    expected = operators.normalise(operators.window_grid(config.window), model, config.continuum)[:, 500:-500]
    assert flux.shape == (12, 3501) and flux.dtype == np.float32
    np.testing.assert_allclose(flux, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_effect_alone_changes_the_flux_and_scales_with_its_strength(effect):
    plain, truth = survey()
    half, full = survey(**{effect: 0.5})[0] - plain, survey(**{effect: 1.0})[0] - plain
    sizes = [np.sqrt(np.mean(change.astype(float) ** 2)) for change in (half, full)]
    assert 1e-3 < sizes[1] < 0.1
    assert 1.5 < sizes[1] / sizes[0] < 2.5
    assert np.corrcoef(half.ravel(), full.ravel())[0, 1] > 0.9
    touched = np.any(full != 0, axis=1)
    if effect == "activity":
        np.testing.assert_array_equal(touched, truth["active"])
    else:
        assert touched.all()


@pytest.mark.parametrize("effect", EFFECTS)
def test_switching_one_effect_leaves_the_draws_of_the_others(effect):
    # what the effect does among all the others is what it does alone: had it shifted a random stream, they would differ
    everything, truth = survey(default=1.0)
    without, same = survey(default=1.0, **{effect: 0.0})
    alone = survey(**{effect: 1.0})[0] - survey()[0]
    assert np.corrcoef((everything - without).ravel(), alone.ravel())[0, 1] > 0.75
    pd.testing.assert_frame_equal(truth.drop(columns="velocity"), same.drop(columns="velocity"))


def test_line_errors_are_the_same_for_every_star():
    flux = survey(missing_lines=1.0)[0] - survey()[0]
    assert np.all(flux.mean(axis=0)[np.abs(flux).max(axis=0) > 0.2] > 0)  # lines vanish, none appear
    unknown = survey(unknown_lines=1.0)[0] - survey()[0]
    star_by_star = np.corrcoef(unknown)
    noise = np.corrcoef(survey(noise=1.0)[0] - survey()[0])
    off = ~np.eye(len(unknown), dtype=bool)
    assert np.median(star_by_star[off]) > 0.5
    assert np.abs(np.median(noise[off])) < 0.05


def test_truth_carries_the_librarys_labels():
    library = libraries.load_library("survey_b")
    truth = survey()[1]
    rows = truth["karmn"].str[1:].astype(int).to_numpy() - 1
    np.testing.assert_array_equal(truth[["teff", "logg", "mh"]], library.label[rows])
    np.testing.assert_array_equal(truth["population"], library.population[rows])


def test_whole_survey_is_drawn_as_the_neighbourhood_is():
    config = survey_config(286, velocity=1.0)
    truth, rows = simulated_survey.draw_truth(libraries.load_library("survey_b"), config)
    assert len(truth) == 286 == truth["karmn"].nunique() and sorted(rows) == list(range(286))
    assert truth["snr"].between(100, 400).all() and truth["vsini"].between(1.5, 28.1).all()
    assert truth["velocity"].std() == pytest.approx(0.15, rel=0.2)
    assert truth["telluric_velocity"].abs().max() <= 60
    active = truth["active"]
    assert truth.loc[active, "vsini"].median() > 2 * truth.loc[~active, "vsini"].median()
    young, old = active[truth["population"] == "YD"].mean(), active[truth["population"] == "TD"].mean()
    assert young > 2 * old
    metal = truth.groupby("population")["mh"].mean()
    assert metal["TD"] < metal["D"]


def test_a_seed_gives_the_same_survey_and_another_gives_another():
    config = survey_config(default=1.0)
    flux, truth = simulated_survey.survey_set(config)
    assert flux.tobytes() == survey(default=1.0)[0].tobytes()
    pd.testing.assert_frame_equal(truth, survey(default=1.0)[1])
    other, different = simulated_survey.survey_set(load_profile("smoke", {"survey.n_stars": 12, "survey.seed": 1}))
    assert not np.array_equal(other, flux) and not different.equals(truth)


def test_a_smaller_survey_is_a_part_of_the_whole():
    flux, truth = survey(30, 1.0)
    part, few = survey(12, 1.0)
    position = truth.reset_index().set_index("karmn").loc[few["karmn"], "index"].to_numpy()
    pd.testing.assert_frame_equal(truth.iloc[position].reset_index(drop=True), few)
    np.testing.assert_allclose(part, flux[position], rtol=0, atol=1e-6)


def test_velocities_left_over_are_found_again_by_cross_correlation():
    config = survey_config(velocity=20.0)  # 3 km/s rms
    plain, (moved, truth) = survey()[0], survey(velocity=20.0)
    wave = operators.window_grid(config.window, margin=False)
    grid = operators.log_grid(wave[0], wave[-1], 0.1)
    rows = [operators.resample(wave, flux.astype(float), grid, "spline") for flux in (moved, plain)]
    lags = [np.argmax(operators.cross_correlate(a, b, 120)[0, 0]) - 120 for a, b in zip(*rows, strict=True)]
    np.testing.assert_allclose(0.1 * np.array(lags), truth["velocity"], rtol=0, atol=0.1)
    assert truth["velocity"].abs().max() > 2


def test_noise_has_the_stars_signal_to_noise_a_detector_pixel():
    plain, (noisy, truth) = survey(60)[0], survey(60, noise=1.0)
    change = (noisy - plain)[:, 100:-100].std(axis=1) * truth["snr"]
    # interpolation between detector pixels takes a fifth of the noise away, the lines' lower flux some more
    assert 0.6 < np.median(change) < 1.0
    assert np.corrcoef((noisy - plain).std(axis=1), 1 / truth["snr"])[0, 1] > 0.9


@pytest.mark.slow
def test_effect_sizes_name_every_effect_and_what_the_codes_differ_by():
    sizes = simulated_survey.effect_sizes(load_profile("smoke"), 10)
    assert set(sizes) == {*EFFECTS, "codes"}
    assert all(0 < size < 0.1 for size in sizes.values())
    assert simulated_survey.effect_sizes(survey_config(), 10) == dict.fromkeys(EFFECTS, 0.0) | {"codes": sizes["codes"]}
