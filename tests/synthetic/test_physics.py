"""Nuisances of physics: the stored changes of spectra against spectra that were computed with other physics."""

import numpy as np
import pytest

from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.files import DATA
from dtl_core.synthetic import generation, libraries, physics


def stored():
    with np.load(DATA / "lte/sensitivities.npz") as file:
        return {key: file[key] for key in file.files}


def drawn_physics(name):
    """Label and nuisances of the stars of a survey C, whose Teff, log g and [M/H] the grid holds."""
    library = libraries.load_library(name)
    common, n = library.meta["common"], len(library.label)
    own = dict(library.physics) | {key: np.full(n, np.log(common[key])) for key in ("tio", "feh", "atoms")}
    return library, own | {key: np.full(n, common[key]) for key in ("unsold", "upper")}


def test_the_usual_physics_changes_nothing():
    usual = {name: np.full(2, nuisance.usual) for name, nuisance in physics.NUISANCES.items()}
    assert np.all(physics.log_change([[3000.0, 5.0, 0.0], [3700.0, 4.8, -0.4]], usual) == 0)
    assert np.all(physics.log_change([[3000.0, 5.0, 0.0]], {}) == 0)


@pytest.mark.parametrize("name", list(physics.NUISANCES))
def test_nodes_are_reproduced(name):
    data = stored()
    label = np.array([[data["teff"][3], 5.0, data["mh"][1]]])
    for value, key in physics.NUISANCES[name].nodes:
        expected = data["change_i16"][3, 1, list(data["names"]).index(key)] * float(data["change_scale"])
        np.testing.assert_allclose(physics.log_change(label, {name: [value]})[0], expected, rtol=0, atol=1e-6)


def test_between_nodes_changes_are_linear_in_teff_and_add_up():
    data = stored()
    low, high = data["teff"][4:6]
    ends = physics.log_change([[low, 5.0, 0.25], [high, 5.0, 0.25]], {"tio": np.log([1.4, 1.4])})
    middle = physics.log_change([[0.25 * low + 0.75 * high, 4.6, 0.25]], {"tio": np.log([1.4])})
    np.testing.assert_allclose(middle[0], 0.25 * ends[0] + 0.75 * ends[1], rtol=0, atol=1e-6)
    label = [[3333.0, 4.9, -0.1]]
    parts = {"alpha": [0.2], "microturbulence": [1.7], "upper": [-0.02]}
    alone = sum(physics.log_change(label, {name: value}) for name, value in parts.items())
    np.testing.assert_allclose(physics.log_change(label, parts), alone, rtol=0, atol=1e-6)


def test_changes_go_in_the_direction_of_the_physics():
    def change(**values):
        own = {name: np.array([value]) for name, value in values.items()}
        return physics.log_change([[3300.0, 4.95, 0.0]], own).mean()

    for name in ("tio", "feh", "atoms"):
        assert change(**{name: 0.3}) < -1e-4 and change(**{name: -0.3}) > 1e-4, name
    assert change(microturbulence=2.0) < 0 < change(microturbulence=0.3)
    assert change(alpha=0.3) < 0


def test_it_turns_the_grid_into_spectra_computed_with_other_physics():
    """Spectra of survey C by the grid's own code differ from the grid by their physics alone."""
    library, own = drawn_physics("survey_c_a")
    grid = libraries.load_library("grid_a")
    rows = np.arange(0, len(library.label), 5)
    usual = np.log(generation.expand(grid, library.label[rows]))
    truth = np.log(library.flux[rows])
    change = physics.log_change(library.label[rows], {name: values[rows] for name, values in own.items()})

    def left(model):  # but for a constant, since fluxes are over their means
        difference = truth - model
        return np.sqrt(np.mean((difference - difference.mean(1, keepdims=True)) ** 2))

    assert left(usual) > 0.015
    assert left(usual + change) < 0.35 * left(usual)


def test_draws_stay_within_the_priors_and_are_reproducible():
    one, two = (physics.draw_physics(2000, np.random.default_rng(3)) for _ in range(2))
    assert set(one) == set(physics.NUISANCES)
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
        assert values.std() > 0
    assert 0.3 <= one["microturbulence"].min() and one["microturbulence"].max() <= 2.2
    # the priors hold the physics of the surveys C, which they were not made for
    for survey in ("survey_c_a", "survey_c_b"):
        for name, values in drawn_physics(survey)[1].items():
            beyond = 0.01 * np.ptp(one[name])
            assert one[name].min() - beyond < values.min() and values.max() < one[name].max() + beyond, name


def test_on_other_wavelengths_changes_are_interpolated_and_nothing_is_known_outside():
    grid = libraries.load_library("grid_a").wavelength
    own = {"feh": np.array([0.2])}
    whole = physics.log_change([[3000.0, 5.1, 0.0]], own)[0]
    wave = np.linspace(grid[0] - 5, grid[-1] + 5, 4001)
    some = physics.log_change([[3000.0, 5.1, 0.0]], own, wave)[0]
    inside = (wave > grid[0]) & (wave < grid[-1])
    assert np.all(some[~inside] == 0)
    np.testing.assert_allclose(some[inside], np.interp(wave[inside], grid, whole), rtol=0, atol=1e-6)


def test_spectra_for_training_have_other_physics_for_the_same_labels():
    config = load_profile("smoke", {"window.resolving_power": 53_000.0})
    labels = np.array([[3100.0, 5.0, 0.0, 2.0], [3600.0, 4.8, -0.2, 5.0], [3900.0, 4.7, 0.2, 10.0]])
    flux = generation.physics_set(config, labels, draws=2)
    assert flux.shape[:2] == (2, 3) and np.isfinite(flux).all()
    assert np.abs(flux[0] - flux[1]).mean() > 1e-3
    np.testing.assert_array_equal(generation.physics_set(config, labels, draws=2), flux)
    plain = generation.spectra_of(config, labels)
    usual = {name: np.full(3, nuisance.usual) for name, nuisance in physics.NUISANCES.items()}
    np.testing.assert_allclose(generation.spectra_of(config, labels, physics=usual), plain, rtol=0, atol=1e-6)


def test_unknown_nuisances_and_broken_files_are_one_line_errors(tmp_path):
    with pytest.raises(DataError, match="magnetic"):
        physics.log_change([[3000.0, 5.0, 0.0]], {"magnetic": [1.0]})
    with pytest.raises(DataError, match="not found"):
        physics.sensitivities(tmp_path / "none.npz")
    broken = tmp_path / "broken.npz"
    broken.write_bytes((DATA / "lte/sensitivities.npz").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"broken\.npz"):
        physics.sensitivities(broken)
    data = stored()
    np.savez(tmp_path / "few.npz", **data | {"names": np.array(["x", *data["names"][1:]])})
    with pytest.raises(DataError, match=data["names"][0]):
        physics.sensitivities(tmp_path / "few.npz")
    np.savez(tmp_path / "less.npz", **{key: value for key, value in data.items() if key != "mh"})
    with pytest.raises(DataError, match="mh"):
        physics.sensitivities(tmp_path / "less.npz")
