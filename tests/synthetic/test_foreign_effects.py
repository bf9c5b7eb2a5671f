"""Foreign effects on the simulated survey, one by one: sizes, seeds and what they must conserve."""

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.bridging import benchmark
from dtl_core.config import FOREIGN_EFFECTS, SURVEY_EFFECTS, Config, ForeignConfig, load_profile
from dtl_core.errors import ConfigError
from dtl_core.lines import LINES, STRONG_LINES
from dtl_core.spectra import operators
from dtl_core.synthetic import foreign_effects, generation, libraries, simulated_survey

PROPERTY = settings(derandomize=True, deadline=None, max_examples=25)
LIBRARY = libraries.load_library("survey_b")
STEP = 0.03
N_PIXELS = len(operators.window_grid(load_profile("smoke", {"window.step": STEP}).window))


def survey_config(n_stars=12, **foreign):
    on = {f"survey.foreign.{name}": strength for name, strength in foreign.items()}
    return load_profile("smoke", {"survey.n_stars": n_stars, "window.step": STEP} | on)


@functools.cache
def survey(n_stars=12, **foreign):
    """Flux and truth of the whole survey with its usual effects; (kept: do not change the arrays)."""
    return simulated_survey.survey_set(survey_config(n_stars, **foreign))


def change(name, strength=1.0, n_stars=12):
    return (survey(n_stars, **{name: strength})[0] - survey(n_stars)[0]).astype(float)


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


def stars(n=6, **columns):
    base = {"karmn": [f"S{k + 1:03d}" for k in range(n)], "teff": 3500.0, "logg": 4.8, "mh": 0.0, "active": True}
    return pd.DataFrame(base | {"velocity": 0.0, "telluric_velocity": 10.0} | columns)


# ---------------------------------------------------------------- settings


def test_each_effect_has_a_setting_that_is_off_a_strength_and_a_source():
    assert tuple(foreign_effects.STRENGTHS) == FOREIGN_EFFECTS and len(FOREIGN_EFFECTS) == 11
    assert Config().survey.foreign == ForeignConfig() == ForeignConfig(**dict.fromkeys(FOREIGN_EFFECTS, 0.0))
    bibliography = (Path(__file__).parents[2] / "book" / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", bibliography, re.M))
    page = (Path(__file__).parents[2] / "book" / "data.md").read_text(encoding="utf-8")
    for name, strength in foreign_effects.STRENGTHS.items():
        assert strength.sources and set(strength.sources) <= known
        row = page.partition(f"`survey.foreign.{name}`")[2].partition("\n* - ")[0].partition("```")[0]
        cited = {key for keys in re.findall(r"\{cite:\w\}`([^`]+)`", row) for key in keys.split(",")}
        assert cited == set(strength.sources), name


def test_strengths_are_settings_of_a_profile_and_bad_ones_are_refused():
    assert load_profile("paper", {"survey.foreign.spots": "0.5"}).survey.foreign == ForeignConfig(spots=0.5)
    with pytest.raises(ConfigError, match=r"'survey\.foreign\.spot'.*known here: .*spots"):
        load_profile("smoke", {"survey.foreign.spot": 1})
    with pytest.raises(ConfigError, match=r"'survey\.foreign\.spots'.*give 0\.0 to 10\.0"):
        benchmark.other_survey(survey_config(), foreign={"spots": 11})
    with pytest.raises(ConfigError, match=r"'survey\.foreign\.dots'"):
        benchmark.other_survey(survey_config(), foreign={"dots": 1})


def test_another_survey_takes_foreign_strengths_beside_factors_of_its_own_effects():
    config = survey_config()
    flux, truth = benchmark.other_survey(config, seed=3, foreign={"spots": 1.0, "nlte": 0.5}, noise=0.0)
    expected = dataclasses.replace(
        config.survey, seed=config.survey.seed + 3, noise=0.0, foreign=ForeignConfig(spots=1.0, nlte=0.5)
    )
    same, known = simulated_survey.survey_set(dataclasses.replace(config, survey=expected))
    np.testing.assert_array_equal(flux, same)
    pd.testing.assert_frame_equal(truth, known)


# ---------------------------------------------------------------- all effects


def test_without_foreign_effects_the_survey_is_what_it_would_be_without_their_code(monkeypatch):
    flux, truth = survey()
    monkeypatch.setattr(foreign_effects, "change_depth", lambda depth, *others: depth)
    monkeypatch.setattr(foreign_effects, "add_spots", lambda raw, *others: raw)
    monkeypatch.setattr(foreign_effects, "add_companions", lambda flux, *others: flux)
    monkeypatch.setattr(foreign_effects, "detector_effects", lambda flux, *others: flux)
    np.testing.assert_array_equal(simulated_survey.survey_set(survey_config())[0], flux)
    monkeypatch.undo()
    # a strength of zero is the same to the last byte as an effect that is not called at all
    light = simulated_survey.starlight(truth, truth["karmn"].str[1:].astype(int).to_numpy() - 1, survey_config())
    assert foreign_effects.detector_effects(light, truth, survey_config()) is light
    assert foreign_effects.add_spots(light, LIBRARY, truth, survey_config()) is light
    assert foreign_effects.add_companions(light, light, LIBRARY, truth, survey_config()) is light
    assert foreign_effects.change_depth(light, None, truth, survey_config().survey) is light


@pytest.mark.parametrize("name", FOREIGN_EFFECTS)
def test_each_effect_changes_the_flux_in_proportion_to_its_strength(name):
    half, full = change(name, 0.5), change(name)
    assert 0.001 < rms(full) < 0.04
    assert 1.6 < rms(full) / rms(half) < 2.4
    assert np.corrcoef(half.ravel(), full.ravel())[0, 1] > 0.95
    touched = (full != 0).any(axis=1)
    assert 0 < touched.sum() < len(full) if name == "companion" else touched.all()


@pytest.mark.parametrize("name", FOREIGN_EFFECTS)
def test_an_effect_leaves_the_draws_of_the_others(name):
    # what it does among all the others is what it does alone: had it shifted a random stream, they would differ
    every = dict.fromkeys(FOREIGN_EFFECTS, 1.0)
    among = (survey(**every)[0] - survey(**every | {name: 0.0})[0]).astype(float)
    assert np.corrcoef(among.ravel(), change(name).ravel())[0, 1] > 0.75
    pd.testing.assert_frame_equal(survey(**{name: 1.0})[1], survey()[1])


def test_a_smaller_survey_is_a_part_of_the_whole_and_another_seed_gives_other_effects():
    on = dict.fromkeys(FOREIGN_EFFECTS, 1.0)
    flux, truth = survey(30, **on)
    part, few = survey(12, **on)
    position = truth.reset_index().set_index("karmn").loc[few["karmn"], "index"].to_numpy()
    np.testing.assert_allclose(part, flux[position], rtol=0, atol=1e-6)
    settings = {"window.step": STEP, "survey.foreign.other_continuum": 1}
    first, other = (
        foreign_effects.detector_effects(
            np.ones((6, N_PIXELS)), stars(), load_profile("smoke", settings | {"survey.seed": seed})
        )
        for seed in (1, 2)
    )
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.7


@pytest.mark.slow
def test_sizes_at_strength_one_are_those_of_real_errors():
    sizes = simulated_survey.effect_sizes(load_profile("smoke", {"window.step": 0.05}), 20, foreign=True)
    assert list(sizes) == [*SURVEY_EFFECTS, *(f"foreign.{name}" for name in FOREIGN_EFFECTS), "codes"]
    assert all(0.0015 < sizes[f"foreign.{name}"] < 0.03 for name in FOREIGN_EFFECTS), sizes


# ---------------------------------------------------------------- optical depth


def depth_of(rows):
    return -np.log(LIBRARY.norm[rows])


@PROPERTY
@given(st.sampled_from(["molecular_opacity", "opacity"]), st.floats(0.1, 3))
def test_opacities_are_scaled_by_a_factor_that_molecules_have_and_atoms_have_not(name, strength):
    depth, truth = depth_of(slice(0, 6)), stars()
    own = dataclasses.replace(Config().survey, foreign=ForeignConfig(**{name: strength}))
    dex = np.log10(foreign_effects.change_depth(depth, LIBRARY.wavelength, truth, own) / depth) / strength
    molecules = np.argmin(np.abs(LIBRARY.wavelength - 8816.5))  # far from the atomic lines
    common = foreign_effects.STRENGTHS[name].amounts["common"]  # of either sign, with a scatter
    assert abs(dex[:, molecules].mean()) == pytest.approx(common, abs=0.05)
    assert 0.01 < dex[:, molecules].std() < 0.1
    iron = np.argmin(np.abs(LIBRARY.wavelength - STRONG_LINES["Fe I"][0]))
    ratio = dex[:, iron] / dex[:, molecules]
    np.testing.assert_allclose(ratio, 1.0 if name == "opacity" else 0.0, rtol=0, atol=0.01)


def test_departures_from_lte_grow_with_the_distance_from_3600_kelvin_and_touch_atomic_lines_only():
    truth = stars(60, teff=np.linspace(2900, 4300, 60))
    depth = np.ones((60, len(LIBRARY.wavelength)))
    own = dataclasses.replace(Config().survey, foreign=ForeignConfig(nlte=1.0))
    dex = np.log10(foreign_effects.change_depth(depth, LIBRARY.wavelength, truth, own))
    for line in LINES:
        at_line = dex[:, np.argmin(np.abs(LIBRARY.wavelength - line.wavelength))]
        if line.species == "FeH":
            assert np.abs(at_line).max() < 0.1
        else:
            slope = np.polyfit(truth["teff"] / 500, at_line, 1)[0]
            assert abs(slope) == pytest.approx(0.10, abs=0.02)
    assert np.abs(dex[:, np.abs(LIBRARY.wavelength - 8816.5) < 0.5]).max() < 1e-6


def test_magnetic_broadening_conserves_the_area_of_the_lines_and_adds_the_variance_of_the_field():
    wavelength = 8795 + 0.02 * np.arange(2500)
    line = next(line.wavelength for line in LINES if line.species == "Mg I")
    depth = 0.02 * np.exp(-0.5 * ((wavelength - line) / 0.04) ** 2) * np.ones((6, 1))
    strength = 2.0
    own = dataclasses.replace(Config().survey, foreign=ForeignConfig(zeeman=strength))
    broad = foreign_effects.change_depth(depth, wavelength, stars(), own)
    np.testing.assert_allclose(broad.sum(1), depth.sum(1), rtol=1e-9)
    width = (1 - np.exp(-broad)).sum(1) / (1 - np.exp(-depth)).sum(1)
    assert np.all((width >= 1) & (width < 1.01))  # weak lines keep their equivalent width

    def variance(profile):
        return (profile * (wavelength - line) ** 2).sum(1) / profile.sum(1)

    added = np.sqrt((variance(broad) - variance(depth)) / strength * 1.5)  # of a sigma component
    field = added / (4.67e-13 * 1.2 * 8809.18**2)
    assert np.all((field > 1900) & (field < 5100)) and np.ptp(field) > 300
    quiet = foreign_effects.change_depth(depth, wavelength, stars(active=False), own)
    assert np.all(quiet.max(1) > broad.max(1))


# ---------------------------------------------------------------- light of two temperatures


def test_spectra_of_cooler_stars_are_those_of_the_library():
    # without log g of a single star, whose place on the main sequence is not the same
    rng = np.random.default_rng(0)
    hot, cool = rng.permutation(np.flatnonzero(LIBRARY.label[:, 0] > 3500))[:20], rng.permutation(286)[:20]
    found = foreign_effects._cooler(LIBRARY.flux[hot], LIBRARY.label[hot], LIBRARY.label[cool], LIBRARY)
    inner = (LIBRARY.wavelength > 8800) & (LIBRARY.wavelength < 8835)
    plain = rms((LIBRARY.flux[hot] - LIBRARY.flux[cool])[:, inner])
    assert rms((found - LIBRARY.flux[cool])[:, inner]) < 0.1 * plain
    same = foreign_effects._cooler(LIBRARY.flux[hot], LIBRARY.label[hot], LIBRARY.label[hot], LIBRARY)
    np.testing.assert_allclose(same, LIBRARY.flux[hot], rtol=1e-12)


def test_spots_are_in_active_stars_above_all_and_make_them_look_cooler():
    rows = np.argsort(-LIBRARY.label[:, 0])[:40]
    teff, logg, mh = LIBRARY.label[rows].T
    truth = stars(40, teff=teff, logg=logg, mh=mh, active=np.arange(40) % 2 == 0)
    config, flux = survey_config(spots=1.0), LIBRARY.flux[rows]
    spotted = foreign_effects.add_spots(flux, LIBRARY, truth, config)
    size = np.abs(spotted - flux).mean(1)
    assert size[::2].mean() > 4 * size[1::2].mean() and np.all(size > 0)
    # covered with spots, a star is a cooler one; with fewer spots it is a mixture of both
    covered = foreign_effects.add_spots(flux, LIBRARY, truth, survey_config(spots=10.0))
    label, ratios = LIBRARY.label[rows], np.linspace(0.75, 0.93, 181)
    for k in range(0, 20, 2):
        cool = label[k] * np.column_stack([ratios, np.ones((181, 2))])
        found = foreign_effects._cooler(flux[k], np.tile(label[k], (181, 1)), cool, LIBRARY)
        assert np.sqrt(np.mean((found - covered[k]) ** 2, axis=1)).min() < 1e-3
        mixture = np.corrcoef(spotted[k] - flux[k], covered[k] - flux[k])[0, 1]
        assert mixture > 0.999999 and size[k] < 0.5 * np.abs(covered[k] - flux[k]).mean()


def test_a_companion_has_its_share_of_the_light_at_its_velocity():
    config = survey_config(companion=1.0)
    truth, rows = simulated_survey.draw_truth(LIBRARY, survey_config(150))
    truth = truth.assign(velocity=0.0)
    flux = LIBRARY.flux[rows]
    grid = operators.window_grid(config.window)
    light = generation.model_spectra(LIBRARY.wavelength, flux, np.full(len(rows), 2.0), config.window)
    added = foreign_effects.add_companions(light, flux, LIBRARY, truth, config) - light
    there = np.abs(added).max(1) > 0
    assert there.mean() == pytest.approx(0.4, abs=0.1)
    tiny = foreign_effects.add_companions(light, flux, LIBRARY, truth, survey_config(companion=1e-9)) - light
    assert np.abs(tiny).max() < 1e-9
    # added = r / (1 + r) (second - first): the second spectrum is the library's cool star, shifted
    cool = LIBRARY.flux[np.argsort(LIBRARY.label[:, 0])[:30]].mean(0)[None]
    cool = generation.model_spectra(LIBRARY.wavelength, cool, np.array([5.0]), config.window)[0]
    inner = slice(150, -150)
    velocities = np.arange(-60, 61, 1.0)
    shifted = np.array([np.interp(grid, operators.doppler_shift(grid, v), cool) for v in velocities])[:, inner]
    for k in np.flatnonzero(there)[:12]:
        fits = []
        for one in shifted:
            design = np.column_stack([one, light[k, inner]])
            solution, residual, *_ = np.linalg.lstsq(design, added[k, inner])
            fits.append((residual[0], *solution))
        best = int(np.argmin([fit[0] for fit in fits]))
        assert 4 <= abs(velocities[best]) <= 60
        assert 0.015 < fits[best][1] < 0.15  # r / (1 + r)


# ---------------------------------------------------------------- atmosphere and spectrograph


def spectra(n=6):
    config = survey_config()
    return generation.model_spectra(LIBRARY.wavelength, LIBRARY.flux[:n], np.full(n, 2.0), config.window)


def test_wings_conserve_the_flux_and_fill_in_the_lines():
    flux = spectra()
    wide = foreign_effects.detector_effects(flux, stars(), survey_config(lsf_wings=1.0))
    np.testing.assert_allclose(wide.sum(1), flux.sum(1), rtol=1e-12)
    deepest = flux.argmin(1)
    assert np.all(wide[np.arange(6), deepest] > flux[np.arange(6), deepest])
    line = 1 - 0.5 * (np.abs(np.arange(N_PIXELS) - 750) < 1) * np.ones((6, 1))
    wings = foreign_effects.detector_effects(line, stars(), survey_config(lsf_wings=1.0))
    share = 1 - (1 - wings[:, 750]) / 0.5
    assert np.all((share > 0.04) & (share < 0.10)) and np.ptp(share) > 0.005
    at_half = (1 - wings[:, 750 + 10]) / (1 - wings[:, 750 + 1])  # half width 0.3 A is ten pixels
    np.testing.assert_allclose(at_half, 0.5, rtol=0.03)


def test_a_distorted_scale_moves_lines_and_leaves_a_constant_spectrum():
    config = survey_config(wavelength_scale=1.0)
    flat = np.full((6, N_PIXELS), 0.7)
    np.testing.assert_allclose(foreign_effects.detector_effects(flat, stars(), config), flat, rtol=1e-12)
    grid = operators.window_grid(config.window)
    centres = np.arange(8800, 8836, 5.0)
    comb = 1 - 0.5 * np.exp(-0.5 * ((grid - centres[:, None]) / 0.08) ** 2).sum(0) * np.ones((6, 1))
    moved = foreign_effects.detector_effects(comb, stars(), config)
    near = np.abs(grid - centres[:, None]) < 0.5
    weight = (1 - moved)[:, None] * near
    shift = (weight * (grid - centres[:, None])).sum(-1) / weight.sum(-1)
    velocity = 1e3 * operators.C_KMS * shift / 8817  # m/s
    assert 50 < velocity.std() and np.abs(velocity).max() < 900
    assert np.abs(np.diff(velocity, axis=1)).max() < 500  # smooth
    common = velocity.mean(0)
    assert (velocity - common).std() > 20 and common.std() > 50


def test_scattered_light_raises_all_pixels_equally_by_a_few_per_cent():
    flux = spectra()
    added = foreign_effects.detector_effects(flux, stars(), survey_config(scattered_light=1.0)) - flux
    np.testing.assert_allclose(added, added[:, :1] * np.ones(added.shape[1]), rtol=1e-9)
    level = added[:, 0] / np.percentile(flux, 95, axis=1)
    assert np.all((level > 0.01) & (level < 0.05)) and np.ptp(level) > 0.005


def test_telluric_residuals_go_both_ways_at_the_velocity_of_the_earth():
    flat = np.ones((200, N_PIXELS))
    config = survey_config(telluric_residuals=1.0)
    residual = foreign_effects.detector_effects(flat, stars(200, telluric_velocity=0.0), config) - 1
    assert (residual > 0.01).any() and (residual < -0.01).any()
    assert abs(residual.mean()) < 2e-4
    where = residual.std(0)
    assert 0.01 < where.max() < 0.03 and np.median(where) < 0.003  # of single lines, which may overlap
    moved = foreign_effects.detector_effects(flat, stars(200, telluric_velocity=30.0), config) - 1
    lag = np.argmax(np.correlate(moved.std(0) - where.mean(), where - where.mean(), "full")) - (N_PIXELS - 1)
    assert lag * STEP == pytest.approx(8817 * 30 / operators.C_KMS, abs=STEP)


def test_the_other_continuum_has_no_mean_and_fringes_of_its_own_in_each_star():
    flat = np.ones((40, N_PIXELS))
    shape = foreign_effects.detector_effects(flat, stars(40), survey_config(other_continuum=1.0)) - 1
    assert np.abs(shape.mean(1)).max() < 0.004 and 0.01 < shape.std() < 0.05
    x = np.linspace(-1, 1, N_PIXELS)
    fringes = shape - np.array([np.polyval(np.polyfit(x, one, 3), x) for one in shape])
    spectrum = np.abs(np.fft.rfft(fringes * np.hanning(N_PIXELS)))
    period = N_PIXELS * STEP / (2 + spectrum[:, 2:].argmax(1))
    assert period.min() > 3.5 and period.max() < 16 and np.ptp(period) > 4
    assert np.all((fringes.std(1) * np.sqrt(2) > 0.003) & (fringes.std(1) * np.sqrt(2) < 0.017))
