"""Corrections of the library's lines: what they do to spectra, and whether the fit finds those that were put in."""

import dataclasses

import numpy as np
import pytest

from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.lines import Line
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, line_fit, simulated_survey
from dtl_core.synthetic.libraries import load_library
from dtl_core.synthetic.line_corrections import (
    HALF_WIDTH,
    MIDDLE,
    MOST,
    REFERENCE,
    LineCorrections,
    corrected_set,
    line_table,
    load_corrections,
    most_probable,
    reference_depths,
    smooth_basis,
)
from dtl_core.synthetic.line_fit import ADDED, STRENGTH, FittedStar, fit_lines


def planted(n_draws=0, seed=1, strength=STRENGTH, added=ADDED):
    """Corrections drawn from the priors of the fit, without shared physics."""
    wavelength, rng = load_library("grid_a").wavelength, np.random.default_rng(seed)
    knots = np.arange(wavelength[0], wavelength[-1], 0.05)
    fields = rng.standard_normal((2, 1 + n_draws, len(knots)))
    slopes = np.vstack([np.zeros(2), rng.normal(0, 0.3, (n_draws, 2))])
    return LineCorrections(knots, strength * fields[0], added * np.abs(fields[1]), {}, slopes, {"stars": []})


def spectra(corrections, labels, config):
    """Spectra of labels (n, 4) with corrected lines, in the pixels of the fit."""
    library = corrections.library(load_library("grid_a"))
    return operators.binned(generation.spectra_of(config, labels, library=library), config.window.step)


def test_basis_gives_fields_of_unit_variance():
    wavelength = np.linspace(8800, 8830, 3001)
    basis = smooth_basis(wavelength, np.arange(8800, 8830.01, 0.05))
    variance = np.asarray(basis.power(2).sum(axis=1)).ravel()
    assert np.abs(variance[200:-200] - 1).max() < 0.02


def test_corrections_of_zero_change_nothing():
    library = load_library("grid_a")
    nothing = dataclasses.replace(planted(strength=0.0, added=0.0))
    np.testing.assert_allclose(nothing.library(library).norm, np.minimum(library.norm, 1), rtol=0, atol=1e-12)


def test_depth_is_that_of_the_definition_and_never_negative():
    library, corrections = load_library("grid_a"), planted(n_draws=3)
    labels = np.array([[3300.0, 4.9, -0.2], [3000.0, 5.1, 0.2]])
    depth = np.full((2, len(library.wavelength)), 0.3)
    factor, added = corrections.fields(library.wavelength, 2)
    teff_slope, mh_slope = corrections.slopes[2]
    scale = np.exp(teff_slope * (MIDDLE[0] - labels[:, 0]) / 300) * 10 ** (mh_slope * (labels[:, 2] - MIDDLE[1]))
    expected = np.maximum(depth * factor + scale[:, None] * added, 0)
    np.testing.assert_allclose(corrections.depth(depth, labels, library.wavelength, 2), expected)
    assert scale[0] == 1
    emission = dataclasses.replace(corrections, added=corrections.added - 1)
    assert emission.depth(depth, labels, library.wavelength, 2).min() == 0


def test_stars_of_another_code_get_the_same_corrections_as_the_library():
    """Factors of optical depth, applied to a star's own lines, are what the corrected library has."""
    survey, corrections = load_library("survey_b"), planted()
    rows = np.array([3, 40])
    factors = corrections.opacity(survey, rows)
    own = -np.log(survey.norm[rows])
    expected = corrections.depth(own, survey.label[rows], survey.wavelength)
    usual = expected < MOST * own  # elsewhere a factor of almost nothing is limited
    assert usual.mean() > 0.9
    np.testing.assert_allclose((factors * own)[usual], expected[usual], rtol=1e-9, atol=1e-4)


def test_simulated_stars_with_corrected_lines_differ_as_the_library_does():
    config = load_profile("smoke", {"survey.n_stars": 10})
    settings = dataclasses.replace(config.survey, line_strength=0.0, missing_lines=0.0, unknown_lines=0.0)
    config = dataclasses.replace(config, survey=settings)
    library, corrections = load_library(config.survey.library), planted()
    truth, rows = simulated_survey.draw_truth(library, config)
    plain = simulated_survey.starlight(truth, rows, config)
    changed = simulated_survey.starlight(truth, rows, config, opacity=corrections.opacity(library, rows))
    assert np.std(changed / plain - 1) > 0.01


def test_sets_are_reproducible_and_each_spectrum_has_one_of_the_draws():
    config, labels = load_profile("smoke"), np.array([[3300.0, 4.9, 0.0, 2.0], [3500.0, 4.8, -0.2, 5.0]])
    corrections = planted(n_draws=3)
    first, again = (corrected_set(config, labels, corrections, draws=2, rng=np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    one = corrected_set(config, labels, corrections, draws=1, rng=np.random.default_rng(0), shared_draws=[2])
    assert one.shape == (1, 2, first.shape[2])
    assert not np.array_equal(one[0], first[0])


def test_file_has_what_was_saved(tmp_path):
    corrections = dataclasses.replace(planted(n_draws=2), physics={"tio": np.array([-0.2, 0.1, 0.0])})
    again = load_corrections(corrections.save(tmp_path / "lines.npz"))
    np.testing.assert_allclose(again.strength, corrections.strength, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(again.knots, corrections.knots)
    np.testing.assert_allclose(again.physics["tio"], corrections.physics["tio"], rtol=1e-3)
    assert (again.n_draws, again.meta) == (2, corrections.meta)


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_broken_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "lines.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"lines.npz.*reinstall"):
        load_corrections(path)


# ---------------------------------------------------------------- what they change


def one_line(strength, added, line=8816.2):
    """Corrections with draws of a single line at 8816.2 A: coefficients of the knots within 0.4 A of it."""
    nothing = planted(n_draws=len(strength) - 1, strength=0.0, added=0.0)
    near = np.abs(nothing.knots - line) < 0.4
    fields = [np.outer(each, near) for each in (strength, added)]
    return dataclasses.replace(nothing, strength=fields[0], added=fields[1])


def test_reference_star_has_the_spectrum_of_the_corrected_library():
    wavelength, library, known, added = reference_depths(planted(n_draws=2))
    raw = load_library("grid_a")
    level = dataclasses.replace(raw, continuum=np.ones_like(raw.norm))
    np.testing.assert_allclose(np.exp(-library), generation.expand(level, [REFERENCE])[0])
    assert known.shape == added.shape == (3, len(wavelength))
    expected = planted(n_draws=2).depth(library[None], REFERENCE, wavelength, 2)[0]
    np.testing.assert_allclose(known[2] + added[2], expected)
    assert (REFERENCE[0], REFERENCE[2]) == MIDDLE  # so that slopes of the added depth change nothing


def test_line_table_has_what_was_planted_in_one_line_and_nothing_elsewhere():
    strengths, added = np.array([0.10, 0.02, 0.08, 0.12, 0.20]), np.array([0.02, 0.03, 0.01, 0.0, 0.04])
    corrections = one_line(strengths, added)
    table = line_table(corrections, (Line(8816.2, "X", None), Line(8826.65, "Fe I", None)))
    here, there = table.to_dict("records")
    wavelength, *_ = reference_depths(corrections)
    inside = np.abs(wavelength - 8816.2) <= HALF_WIDTH
    basis = smooth_basis(wavelength, corrections.knots)[inside]
    level = float(basis.sum(axis=1).mean())  # of a field whose coefficients are 1
    assert here["factor"] == pytest.approx(np.exp(0.10 * level), rel=2e-3)
    assert here["added"] == pytest.approx(0.02 * level, rel=1e-3)
    ends = np.percentile(np.exp(strengths[1:] * level), [15.87, 84.13])
    assert (here["low_factor"], here["high_factor"]) == pytest.approx(tuple(ends), rel=2e-3)
    ends = np.percentile(added[1:] * level, [15.87, 84.13])
    assert (here["low_added"], here["high_added"]) == pytest.approx(tuple(ends), rel=1e-3)
    assert (there["factor"], there["added"], there["change"]) == pytest.approx((1, 0, 0), abs=1e-9)
    # the equivalent width is that of an integral over the corrected spectrum
    norm = np.exp(-corrections.depth(reference_depths(corrections)[1][None], REFERENCE, wavelength)[0])
    edges = np.linspace(8816.2 - HALF_WIDTH, 8816.2 + HALF_WIDTH, 3001)
    integral = 1e3 * np.trapezoid(1 - np.interp(edges, wavelength, norm), edges)
    assert here["library_width"] + here["change"] == pytest.approx(integral, rel=0.03)
    assert here["low_change"] < here["change"] < here["high_change"]


def test_components_count_as_factors_of_known_lines():
    nothing = planted(strength=0.0, added=0.0)
    table = line_table(dataclasses.replace(nothing, physics={"feh": np.array([np.log(1.4)])})).set_index("species")
    assert table.loc["FeH", "factor"].min() > 1.1 and table.loc["Mg I", "factor"] == pytest.approx(1, abs=0.03)
    assert table["added"].abs().max() < 1e-9 and np.isnan(table["low_factor"]).all()  # no draws


def test_range_of_the_draws_does_not_contain_the_first_row():
    values = np.r_[99.0, np.linspace(0, 1, 1001)]
    np.testing.assert_allclose(most_probable(values), [99.0, 0.1587, 0.8413], atol=1e-6)


@pytest.mark.slow
def test_fit_without_freedom_of_lines_keeps_those_of_the_library():
    config = load_profile("demo", {"window.resolving_power": 53_000.0})
    labels = np.array([[3250.0, 5.02, -0.4, 1.0], [3420.0, 4.90, 0.05, 1.0]])
    flux = spectra(planted(strength=0.0, added=0.0), labels, config)
    known = dict(zip(("teff", "logg", "mh"), labels[0, :3], strict=True))
    stars = [
        FittedStar("S0", flux[0], 500.0, 1.0, known, {"teff": 30.0, "logg": 0.04, "mh": 0.05}),
        FittedStar("S1", flux[1], 500.0, 1.0),
    ]
    corrections, found, _ = fit_lines(stars, config, lines=False, draws=2)
    for values in (corrections.strength, corrections.added, *corrections.physics.values()):
        assert not values.any()
    row = found.iloc[1]
    assert abs(row["teff"] - 3420) < 25 and abs(row["mh"] - 0.05) < 0.05 and row["rms"] < 0.004


@pytest.mark.slow
def test_fit_finds_planted_corrections_and_measures_the_star_that_it_does_not_know():
    """Three stars of the library with planted corrections and noise; the labels of the third are not given."""
    config = load_profile("demo", {"window.resolving_power": 53_000.0})
    labels = np.array([[3250.0, 5.02, -0.4, 1.0], [3330.0, 4.93, -0.1, 1.0], [3420.0, 4.90, 0.05, 1.0]])
    corrections = planted(seed=4)
    flux = spectra(corrections, labels, config)
    flux = flux + np.random.default_rng(0).normal(0, 0.004, flux.shape)
    errors = {"teff": 30.0, "logg": 0.04, "mh": 0.05}
    stars = [
        FittedStar(f"S{k}", one, 250.0, 1.0, dict(zip(errors, row[:3], strict=True)) if k < 2 else {}, errors)
        for k, (one, row) in enumerate(zip(flux, labels, strict=True))
    ]
    stars[2].errors = {}
    found, table, evidence = fit_lines(stars, config, draws=4)
    row = table.iloc[2]
    assert not row["known"] and table["known"].iloc[:2].all()
    for k, name in enumerate(("teff", "logg", "mh")):
        assert abs(row[name] - labels[2, k]) < 3.5 * row[f"e_{name}"]
    assert row["e_mh"] < 0.15 and row["e_teff"] < 100
    wavelength = load_library("grid_a").wavelength
    inside = (wavelength > wavelength[0] + 3) & (wavelength < wavelength[-1] - 3)
    true, ours = (each.fields(wavelength)[1][inside] for each in (corrections, found))
    smooth = lambda x: np.convolve(x, np.ones(15) / 15, "same")  # noqa: E731 - the resolution of the spectra
    assert np.corrcoef(smooth(true), smooth(ours))[0, 1] > 0.5
    assert table["rms"].max() < 0.006
    assert fit_lines(stars[::2], config, lines=False)[1]["rms"].iloc[1] > 2 * table["rms"].iloc[2]
    assert np.isfinite(evidence)
    # the posterior's draws scatter around the most probable correction
    assert 0 < np.std(found.strength[1:] - found.strength[0]) < 2 * STRENGTH


@pytest.mark.slow
def test_two_fits_give_the_same_corrections_and_another_seed_other_draws(monkeypatch):
    monkeypatch.setattr(line_fit, "SPACING", 0.5)  # fewer unknowns
    window = {"window.resolving_power": 53_000.0, "window.start": 8806.0, "window.stop": 8812.0}
    config, labels = load_profile("demo", window), np.array([[3250.0, 5.02, -0.4, 1.0]])
    known = dict(zip(("teff", "logg", "mh"), labels[0], strict=False))
    star = FittedStar("S0", spectra(planted(seed=4), labels, config)[0], 250.0, 1.0, known, dict.fromkeys(known, 0.05))
    first, again, other = (fit_lines([star], config, draws=3, seed=seed)[0] for seed in (0, 0, 1))
    for name in ("strength", "added", "slopes"):
        one, two, three = (getattr(each, name) for each in (first, again, other))
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one[0], three[0])
        assert not np.array_equal(one[1:], three[1:])


def test_fit_refuses_what_it_cannot_use():
    config = load_profile("demo", {"window.resolving_power": 53_000.0})
    known = {"teff": 3300.0, "logg": 4.9, "mh": 0.0}
    with pytest.raises(DataError, match="S1.*pixels"):
        fit_lines([FittedStar("S1", np.ones(10), 100.0, 1.0, known, known)], config)
    with pytest.raises(DataError, match="no star has known"):
        fit_lines([FittedStar("S1", np.ones(1167), 100.0, 1.0)], config)
