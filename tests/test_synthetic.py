"""The synthetic domain: embedded library, interpolation, label grid, and a loop of PyAstronomy calls as oracle."""

import dataclasses
from importlib import resources

import numpy as np
import pytest
from PyAstronomy import pyasl

from dtl_core import spectra, synthetic
from dtl_core.config import SyntheticConfig, WindowConfig, load_profile
from dtl_core.errors import DataError

EMBEDDED = resources.files("dtl_core") / "data" / "lte"


@pytest.fixture(scope="module")
def grid():
    return synthetic.load_library("grid_a")


def small(**overrides):
    return load_profile("smoke", {"synthetic.n_spectra": 50} | overrides)


# ---------------------------------------------------------------- library


def test_grid_library_is_whole(grid):
    nodes = len(grid.teff) * len(grid.logg) * len(grid.mh)
    assert grid.norm.shape == grid.continuum.shape == (nodes, len(grid.wavelength)) == (552, 3001)
    assert grid.label.shape == (nodes, 3) and len(np.unique(grid.label, axis=0)) == nodes
    assert (grid.teff[0], grid.teff[-1]) == (2300, 4500) and (grid.mh[0], grid.mh[-1]) == (-1, 0.6)
    # the window, its margin and the Doppler shift of the reddest rotation fit into it
    assert grid.wavelength[0] < 8795 and grid.wavelength[-1] > 8840 and np.all(np.diff(grid.wavelength) > 0)
    assert np.all(grid.norm > 0) and grid.norm.max() <= 1.001 and np.all(grid.continuum > 0)
    np.testing.assert_allclose(grid.flux.mean(axis=1), 1, rtol=1e-12)
    assert {"code", "atmospheres", "lines"} <= grid.meta.keys()


def test_survey_library_has_286_stars_with_labels_inside_the_grid(grid):
    survey = synthetic.load_library("survey_b")
    assert survey.label.shape == (286, 3) and survey.norm.shape == (286, len(survey.wavelength))
    assert set(survey.population) == {"YD", "D", "TD-D", "TD"}
    assert len(survey.teff) == 0 and len(grid.population) == 0
    for column, axis in enumerate((grid.teff, grid.logg, grid.mh)):
        assert survey.label[:, column].min() >= axis[0] and survey.label[:, column].max() <= axis[-1]
    assert np.unique(survey.norm, axis=0).shape[0] == 286


@pytest.mark.parametrize("name", ["grid_a", "survey_b"])
def test_stored_wavelengths_are_air_and_fluxes_are_rounded_by_at_most_1e_5(name):
    library = synthetic.load_library(name)
    with np.load(EMBEDDED / f"{name}.npz") as stored:
        scale = float(stored["norm_scale"])
        assert scale / 2 <= 1e-5 * (1 + 1e-12)
        codes = library.norm / scale
        np.testing.assert_allclose(codes, codes.round(), rtol=0, atol=1e-9)
        assert codes.max() < 2**16 - 1  # nothing clipped
        np.testing.assert_allclose(library.wavelength - stored["wave_air"], 2.42, rtol=0, atol=0.02)


def _write(path, **changes):
    with np.load(EMBEDDED / "grid_a.npz") as stored:
        data = {key: stored[key] for key in stored.files}
    data["norm_u16"] = data["norm_u16"][:, :, :, ::10]
    data["wave_air"] = data["wave_air"][::10]
    data.update(changes)
    np.savez(path, **{key: value for key, value in data.items() if value is not None})


def test_library_is_read_from_a_given_path(tmp_path, grid):
    _write(tmp_path / "own.npz")
    own = synthetic.load_library("grid_a", tmp_path / "own.npz")
    np.testing.assert_array_equal(own.norm, grid.norm[:, ::10])


@pytest.mark.parametrize("key", ["wave_air", "norm_u16", "norm_scale", "cont", "cont_wave", "meta", "teff", "mh"])
def test_library_without_an_array_is_refused(tmp_path, key):
    path = tmp_path / "lacking.npz"
    _write(path, **{key: None})
    with pytest.raises(DataError) as error:
        synthetic.load_library("grid_a", path)
    line = str(error.value)
    assert line == f"{path}: field {key!r}: is missing; reinstall the package or rebuild it with tools/lte_library"


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_truncated_library_is_refused(tmp_path, kept):
    whole = (EMBEDDED / "survey_b.npz").read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[: kept if kept >= 1 or kept == 0 else int(kept * len(whole))])
    with pytest.raises(DataError) as error:
        synthetic.load_library("survey_b", path)
    line = str(error.value)
    assert line.startswith(f"{path}: cannot be read") and "reinstall" in line and "\n" not in line


def test_missing_library_is_refused(tmp_path):
    with pytest.raises(DataError) as error:
        synthetic.load_library("grid_a", tmp_path / "nowhere.npz")
    assert f"{tmp_path / 'nowhere.npz'}: not found; reinstall" in str(error.value) and "\n" not in str(error.value)


# ---------------------------------------------------------------- interpolation


def test_expand_gives_the_nodes_back(grid):
    rows = np.r_[0, 5, 100, 277, 551]
    np.testing.assert_allclose(synthetic.expand(grid, grid.label[rows]), grid.flux[rows], rtol=1e-11)


@pytest.mark.parametrize(("axis", "degree"), [("teff", 3), ("logg", 2), ("mh", 3)])
def test_interpolation_weights_sum_to_one_and_are_exact_for_polynomials(grid, axis, degree):
    nodes = getattr(grid, axis)
    values = np.linspace(nodes[0], nodes[-1], 37)
    weights = synthetic._weights(nodes, values, degree)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)
    unit = lambda x: (x - nodes[0]) / np.ptp(nodes)  # noqa: E731
    polynomial = np.polynomial.Polynomial([0.3, -1.0, 2.0, 0.7][: degree + 1])
    np.testing.assert_allclose(weights @ polynomial(unit(nodes)), polynomial(unit(values)), rtol=0, atol=1e-10)


def test_expand_is_linear_in_the_logarithm_of_the_flux(grid):
    # weights do not depend on the data: the geometric mean of two libraries expands to the mean of their expansions
    other = dataclasses.replace(grid, norm=grid.norm[::-1], continuum=grid.continuum[::-1])
    mean = dataclasses.replace(
        grid, norm=np.sqrt(grid.norm * other.norm), continuum=np.sqrt(grid.continuum * other.continuum)
    )
    labels = np.array([[3333.0, 4.87, -0.33], [3910.0, 4.63, 0.11]])
    expected = np.sqrt(synthetic.expand(grid, labels) * synthetic.expand(other, labels))
    np.testing.assert_allclose(synthetic.expand(mean, labels), expected, rtol=1e-12)


def test_expand_finds_a_node_that_was_left_out(grid):
    shape = len(grid.teff), len(grid.logg) * len(grid.mh)
    node = 12  # 3500 K; its neighbours are then 200 K apart, twice the spacing that the library has
    cut = lambda a: np.delete(a.reshape(*shape, -1), node, axis=0).reshape(-1, a.shape[-1])  # noqa: E731
    without = dataclasses.replace(
        grid, teff=np.delete(grid.teff, node), norm=cut(grid.norm), continuum=cut(grid.continuum), label=cut(grid.label)
    )
    labels = grid.label.reshape(*shape, 3)[node]
    truth = grid.flux.reshape(*shape, -1)
    error = synthetic.expand(without, labels) - truth[node]
    assert np.abs(error).max() < 3e-3 and np.sqrt(np.mean(error**2)) < 3e-4
    nearest = np.sqrt(np.mean((truth[node + 1] - truth[node]) ** 2))
    assert np.sqrt(np.mean(error**2)) < nearest / 20


def test_expand_does_not_mind_the_order_of_labels(grid):
    labels = np.array([[3525.0, 4.8, 0.1], [2700.0, 5.1, -0.4], [3525.0, 4.7, -0.2], [2700.0, 5.1, -0.4]])
    flux = synthetic.expand(grid, labels)
    np.testing.assert_array_equal(flux[1], flux[3])
    np.testing.assert_allclose(synthetic.expand(grid, labels[::-1]), flux[::-1], rtol=1e-13)
    np.testing.assert_allclose(synthetic.expand(grid, labels[2])[0], flux[2], rtol=1e-13)


@pytest.mark.parametrize(
    ("label", "field"), [((2200, 5.0, 0), "teff"), ((3500, 4.4, 0), "logg"), ((3500, 5.0, 0.7), "mh")]
)
def test_expand_refuses_labels_outside_the_grid(grid, label, field):
    with pytest.raises(DataError) as error:
        synthetic.expand(grid, [(3500, 5.0, 0.0), label])
    assert f"field {field!r}" in str(error.value) and "narrow the labels" in str(error.value)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- labels


def test_label_grid_has_main_sequence_combinations_on_the_papers_steps():
    config = SyntheticConfig()
    labels = synthetic.label_grid(config)
    assert len(np.unique(labels, axis=0)) == len(labels)
    distance = labels[:, 1] - synthetic.main_sequence_logg(labels[:, 0], labels[:, 2])
    assert np.abs(distance).max() <= config.main_sequence_width + 1e-9
    for column, step in enumerate((25, 0.1, 0.1)):
        used = np.unique(labels[:, column])
        np.testing.assert_allclose(np.diff(used), step, rtol=0, atol=1e-9)
    assert (labels[:, 0].min(), labels[:, 0].max()) == (2600, 4475)
    assert (labels[:, 2].min(), labels[:, 2].max()) == (-1.0, 0.6)
    # every Teff and [M/H] keeps the gravities near the relation: two or three, fewer where the library's 4.5 cuts it
    count = np.unique(labels[:, [0, 2]], axis=0, return_counts=True)[1]
    assert len(count) == 76 * 17 and count.min() >= 1 and count.max() <= 4 and np.median(count) == 3
    np.testing.assert_array_equal(labels, labels[np.lexsort(labels.T[::-1])])


def test_label_grid_follows_its_settings():
    few = synthetic.label_grid(SyntheticConfig(teff_min=3000, teff_max=3200, teff_step=100, mh_min=-0.2, mh_max=0.2))
    assert set(few[:, 0]) == {3000, 3100, 3200} and set(few[:, 2].round(3)) == {-0.2, -0.1, 0, 0.1, 0.2}
    with pytest.raises(DataError, match="main_sequence_width.*widen it"):
        synthetic.label_grid(SyntheticConfig(main_sequence_width=-1.0))


def test_main_sequence_relation_fits_the_surveys_labels():
    label = synthetic.load_library("survey_b").label
    residual = label[:, 1] - synthetic.main_sequence_logg(label[:, 0], label[:, 2])
    assert np.sqrt(np.mean(residual**2)) < 0.06 and abs(residual.mean()) < 0.02
    assert synthetic.main_sequence_logg(3000, 0) > synthetic.main_sequence_logg(4000, 0)
    assert synthetic.main_sequence_logg(3500, -0.5) > synthetic.main_sequence_logg(3500, 0.5)


# ---------------------------------------------------------------- spectra


def test_faster_rotation_makes_shallower_lines(grid):
    vsini = np.array([1.5, 3, 6, 10, 15, 20, 30])
    raw = np.repeat(synthetic.expand(grid, [(3500, 4.8, 0.0)]), len(vsini), axis=0)
    flux = synthetic.model_spectra(grid.wavelength, raw, vsini, WindowConfig())
    flux = spectra.normalise(spectra.window_grid(WindowConfig()), flux, small().continuum)
    deepest = flux[:, 500:-500].min(axis=1)
    assert np.all(np.diff(deepest) > 0.01)


def test_vectorised_chain_equals_a_loop_of_pyastronomy_calls(grid):
    window = WindowConfig()
    labels = np.array([[3200.0, 4.9, 0.0], [3700.0, 4.7, -0.3], [4000.0, 4.6, 0.2]])
    vsini = np.array([3.0, 8.0, 20.0])
    raw = synthetic.expand(grid, labels)
    ours = synthetic.model_spectra(grid.wavelength, raw, vsini, window)
    target = spectra.window_grid(window)
    wave = np.arange(grid.wavelength[0], grid.wavelength[-1], 0.01)
    for k in range(3):
        flux = np.exp(np.interp(wave, grid.wavelength, np.log(raw[k])))
        flux = pyasl.fastRotBroad(wave, flux, 0.6, vsini[k])
        flux = pyasl.instrBroadGaussFast(wave, flux, window.resolving_power, edgeHandling="firstlast", maxsig=6)
        theirs = np.interp(target, wave, flux)
        # linear interpolation, sampled kernels and a constant width in A make theirs, not ours, uncertain by 2e-3
        assert np.abs(ours[k] - theirs).max() < 2e-3 * ours[k].max()
        assert np.sqrt(np.mean((ours[k] - theirs) ** 2)) < 5e-4


def test_synthetic_set_is_the_same_twice_and_in_any_chunks():
    config = small()
    flux, labels = synthetic.synthetic_set(config)
    again, same = synthetic.synthetic_set(config)
    assert flux.tobytes() == again.tobytes() and labels.tobytes() == same.tobytes()
    done = []
    pieces, _ = synthetic.synthetic_set(config, chunk=7, progress=done.append)
    np.testing.assert_allclose(pieces, flux, rtol=0, atol=1e-6)
    assert sum(done) == len(flux) and len(done) == 8
    other, different = synthetic.synthetic_set(small(seed=1))
    assert not np.array_equal(different, labels) and other.shape == flux.shape


def test_synthetic_set_draws_normalised_spectra_from_the_grid():
    config = small()
    flux, labels = synthetic.synthetic_set(config)
    assert flux.shape == (50, 3501) and flux.dtype == np.float32 and labels.shape == (50, 4)
    combinations = {tuple(row) for row in synthetic.label_grid(config.synthetic)}
    assert all(tuple(row) in combinations for row in labels[:, :3])
    assert set(labels[:, 3]) <= set(config.synthetic.vsini) and len(np.unique(labels, axis=0)) == 50
    assert np.all(flux > 0.05) and np.all(flux < 1.2) and np.all(np.median(flux, axis=1) > 0.7)
    whole = synthetic.synthetic_set(load_profile("smoke", {"synthetic.n_spectra": 10**6, **FEW}))[1]
    # more than the grid holds: each combination once
    assert len(whole) == len(np.unique(whole, axis=0)) == 2 * len(_few_labels())


FEW = {
    "synthetic.teff_min": 3500,
    "synthetic.teff_max": 3525,
    "synthetic.mh_min": 0.0,
    "synthetic.mh_max": 0.1,
    "synthetic.vsini": "2,10",
}


def _few_labels():
    return synthetic.label_grid(load_profile("smoke", FEW).synthetic)
