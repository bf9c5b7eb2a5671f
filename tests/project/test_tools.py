"""The parts of the provenance scripts under tools/ that need neither the network nor a Fortran compiler."""

import gzip
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tools import mutations

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "dtl_core/data/lte"


def one_line(failure) -> str:
    """The message of a SystemExit, after checking that it is one line."""
    message = failure.value.code
    assert isinstance(message, str) and message.startswith("error: ") and "\n" not in message
    return message


# --------------------------------------------------------------------------------------------- 48TiO


# Masses (u) of the titanium isotopes and of 16O, given here once more so that a slip in the script shows.
TI_MASS = {46: 45.95263, 47: 46.95176, 48: 47.94794, 49: 48.94787, 50: 49.94479}
O_MASS = 15.99491


def synthetic_tio(n=300, seed=5):
    """Five isotopologues of n transitions on straight lines against rho, rounded as in a published list."""
    rho = {a: (1 / mass + 1 / O_MASS) ** 0.5 for a, mass in TI_MASS.items()}
    rng = np.random.default_rng(seed)
    wavenumber = np.sort(rng.uniform(1e8 / 8850, 1e8 / 8790, n))
    energy = rng.uniform(0.0, 2.0, n)
    loggf = rng.uniform(-2.0, 1.0, n).round(3)
    # isotope shifts of up to 40 1/cm and 0.02 eV from 46TiO to 50TiO
    span = rho[50] - rho[46]
    d_wavenumber = rng.uniform(-40, 40, n) / span
    d_energy = rng.uniform(-0.02, 0.02, n) / span
    lists = {}
    for a in rho:
        offset = rho[a] - rho[48]
        wave = (1e8 / (wavenumber + d_wavenumber * offset)).round(3)
        columns = wave, (energy + d_energy * offset).round(3), loggf
        lists[a] = [tuple(row) for row in np.transpose(columns).tolist()]
    return lists


def distance_to_nearest(truth, found):
    """For each true line the differences in (wavelength, energy, log gf) from the nearest line found."""
    truth, found = np.array(truth), np.array(found)
    unit = np.array([0.01, 0.002, 0.001])
    square = (((truth[:, None] - found[None]) / unit) ** 2).sum(axis=2)
    return np.abs(truth - found[square.argmin(axis=1)])


def test_48tio_is_recovered_from_the_other_isotopologues():
    from tools.lte_library.linelists import rebuild_48tio

    lists = synthetic_tio()
    truth = lists.pop(48)
    found = rebuild_48tio(lists)
    assert len(found) == len(truth)
    assert found == sorted(found)
    wave, energy, loggf = distance_to_nearest(truth, found).T
    # the rounding of the lists is 0.001 A and 0.001 eV
    assert wave.max() < 0.0015 and energy.max() < 0.0015 and loggf.max() < 1e-9


def test_48tio_is_recovered_where_one_isotopologue_is_missing():
    from tools.lte_library.linelists import rebuild_48tio

    lists = synthetic_tio(120)
    truth = lists.pop(48)
    for missing in (46, 47, 49, 50):
        # a quarter of the transitions lacks this isotopologue
        some = {a: [line for k, line in enumerate(v) if a != missing or k % 4] for a, v in lists.items()}
        found = rebuild_48tio(some)
        wave, energy, _ = distance_to_nearest(truth, found).T
        assert ((wave < 0.003) & (energy < 0.002)).mean() > 0.95, missing


def test_48tio_uses_each_line_once_and_invents_nothing():
    from tools.lte_library.linelists import rebuild_48tio

    # two isotopologues do not make a transition, and lines of another gf do not fit
    lists = {46: [(8800.0, 1.0, 0.5)], 47: [], 49: [], 50: [(8801.0, 1.0, 0.5)]}
    assert rebuild_48tio(lists) == []
    lists[47], lists[49] = [(8800.25, 1.0, 0.1)], [(8800.75, 1.0, 0.1)]
    assert rebuild_48tio(lists) == []
    # a second 46TiO line a little off the line must not yield a second transition
    single = {a: [lines[0]] for a, lines in synthetic_tio(1).items() if a != 48}
    wave, energy, loggf = single[46][0]
    single[46].append((wave + 0.01, energy, loggf))
    assert len(rebuild_48tio(single)) == 1


# --------------------------------------------------------------------------------------------- line lists


def test_ges_list_is_cut_block_by_block(tmp_path):
    from tools.lte_library.linelists import cut_ges_list

    path = tmp_path / "list"
    path.write_text(
        "'  20.000            '    1         3\n'Ca I    NLTE'\n"
        "  8700.000 1.0\n  8800.000 2.0\n  8900.000 3.0\n"
        "'   3.000            '    1         1\n'Li I    LTE'\n  6707.000 0.0\n"
    )
    text, n = cut_ges_list(path)
    assert n == 1
    assert text == "'  20.000            '    1         1\n'Ca I    LTE '\n  8800.000 2.0\n"
    path.write_text("nonsense\nmore\n")
    with pytest.raises(SystemExit) as failure:
        cut_ges_list(path)
    assert str(path) in one_line(failure)


def test_strong_lines_are_neutral_atoms_and_no_line_is_lost(tmp_path):
    from tools.lte_library.linelists import MoogLine, moog_block, split_strong

    rng = np.random.default_rng(0)
    lines = [MoogLine(8800 + 0.1 * k, "26.0", 2.0, float(rng.normal()), 0.0) for k in range(50)]
    lines += [MoogLine(8801.05, "26.1", 0.0, 5.0, 0.0), MoogLine(8802.05, "822.01648", 0.0, 5.0, 6.87)]
    weak, strong = split_strong(lines)
    assert sorted(weak + strong) == sorted(lines)
    assert {line.species for line in strong} == {"26.0"}
    assert min(line.loggf for line in strong) >= max(line.loggf for line in weak if line.species == "26.0")
    # MOOG reads seven columns of ten characters
    for row in moog_block(lines).splitlines():
        assert len(row) == 60
    assert moog_block(lines[-1:]).split() == ["8802.050", "822.01648", "0.000", "5.000", "6.870"]


def test_an_empty_line_list_is_an_error(tmp_path):
    from tools.lte_library.linelists import read_linemake
    from tools.lte_library.workspace import Workspace

    work = Workspace.at(tmp_path)
    work.linemake.mkdir(parents=True)
    with gzip.open(work.linemake / "moogfeh.gz", "wt") as file:
        file.write("5000.0 126.0 0.1 -1.0 1.56\n")
    with pytest.raises(SystemExit) as failure:
        read_linemake(work, "feh", 8783, 8852)
    assert "moogfeh.gz" in one_line(failure)


# --------------------------------------------------------------------------------------------- sources


def test_a_patch_without_its_text_is_a_one_line_error(tmp_path):
    from tools.lte_library.sources import patch_damping, patch_file

    path = tmp_path / "Nearly.f"
    path.write_text("      subroutine nearly\n")
    with pytest.raises(SystemExit) as failure:
        patch_file(path, [("one line\nanother", "new")])
    message = one_line(failure)
    assert str(path) in message and "one line" in message and "pinned version" in message
    assert path.read_text() == "      subroutine nearly\n"
    with pytest.raises(SystemExit) as failure:
        patch_damping(path)
    assert str(path) in one_line(failure)


def test_the_damping_patch_leaves_option_3_alone(tmp_path):
    from tools.lte_library.sources import patch_damping

    path = tmp_path / "Damping.f"
    option_3 = "c*****dampingopt = 3\n         elseif (x) then\n            y = numdens(1,1,i)\n"
    path.write_text(f"         ich = nint(charge(j))\n         gammav = numdens(1,1,i)\n{option_3}")
    patch_damping(path)
    assert path.read_text() == (
        "         ich = nint(charge(j))\n"
        "         pert = numdens(1,1,i)+0.41*numdens(2,1,i)+0.85*numdens(8,1,i)\n"
        f"         gammav = pert\n{option_3}"
    )


def test_moog_files_and_stubs(tmp_path):
    from tools.lte_library.sources import moog_files, plot_stubs

    makefile = "OBJECTS = Abfind.o Synth.o \\\n\tVoigt.o\n\n#     here are the common files\nOTHER = x.o\n"
    assert moog_files(makefile) == ["Abfind.f", "Blankstring.f", "Getsyns.f", "Synth.f", "Voigt.f"]
    path = tmp_path / "a.f"
    path.write_text("      call SM_line (1,2)\n      call sm_box\n      call sm_line\n      call synth\n")
    # Fortran does not tell cases apart: one stub for each routine
    path.write_text(path.read_text().replace("SM_line", "sm_LINE"))
    assert plot_stubs([path]).count("subroutine") == 2


def test_a_wrong_hash_is_a_one_line_error(tmp_path):
    from tools.lte_library.sources import PACKAGES, download
    from tools.lte_library.workspace import Workspace

    work = Workspace.at(tmp_path)
    work.downloads.mkdir()
    archive = work.downloads / PACKAGES[0].archive
    archive.write_bytes(b"not the package")
    with pytest.raises(SystemExit) as failure:
        download(work, PACKAGES[0])
    assert str(archive) in one_line(failure) and "delete it" in failure.value.code


# --------------------------------------------------------------------------------------------- atmospheres


def test_labels_outside_the_atmospheres_are_refused():
    from tools.lte_library.atmospheres import check_label

    check_label(2300, 4.5, -1.0)
    check_label(4500, 5.5, 0.75)
    for label, name in (((2299, 5, 0), "Teff"), ((3000, 5.6, 0), "log g"), ((3000, 5, -1.1), "[M/H]")):
        with pytest.raises(SystemExit) as failure:
            check_label(*label)
        assert name in one_line(failure)
    with pytest.raises(SystemExit):
        check_label(float("nan"), 5, 0)


def test_every_label_of_the_libraries_has_an_atmosphere():
    from tools.lte_library.atmospheres import check_label
    from tools.lte_library.library import read_library

    for name in ("grid_a.npz", "survey_b.npz", "survey_c_a.npz", "survey_c_b.npz"):
        for label in read_library(DATA / name).label:
            check_label(*label)


def test_the_isothermal_cap_is_removed():
    from tools.lte_library.atmospheres import LOG_TAU, remove_isothermal_cap, upper_slope

    # T/Teff falls outwards with slope 0.2 down to a cap at 0.75
    ratio = np.maximum(1.0 + 0.2 * (LOG_TAU - 0.5), 0.75)
    capped = ratio.copy()
    remove_isothermal_cap(ratio, 2800.0)
    assert np.all(np.diff(ratio) > 0)
    deep = LOG_TAU > 0
    assert np.array_equal(ratio[deep], capped[deep])
    top = np.diff(ratio)[0] / 0.1
    assert top == pytest.approx(upper_slope(2800.0, -4.95), rel=1e-6)


def test_optical_depth_of_constant_opacity():
    from tools.lte_library.atmospheres import rosseland_depth

    rhox = np.geomspace(1e-3, 10, 50)
    assert rosseland_depth(rhox, np.full(50, 0.3)) == pytest.approx(0.3 * rhox)


def test_weights_are_read_without_running_foreign_code(tmp_path):
    from tools.lte_library.atmospheres import load_network

    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(pickle.UnpicklingError, match="getcwd"):
        load_network(path)


# --------------------------------------------------------------------------------------------- other physics


TURBOSPECTRUM_LINES = (
    "'  26.000            '    1         2\n'Fe I    LTE '\n"
    "  8806.756  4.346 -0.137   -7.270    7.0  2.14E+08 'p' 'd'   0.0    1.0 'Fe I x'\n"
    "  8824.220  2.198 -1.540  247.237    5.0  1.00E+05 'p' 'd'   0.0    1.0 'Fe I y'\n"
)


def test_strengths_and_damping_of_line_lists_change_and_nothing_else():
    from tools.lte_library.linelists import MoogLine, moog_block
    from tools.lte_library.physics import USUAL, Physics, changed_list, changed_moog

    changed = changed_list(TURBOSPECTRUM_LINES, "atoms", Physics(atoms=10.0, unsold=1.0, tio=3.0))
    for old, new in zip(TURBOSPECTRUM_LINES.split("\n"), changed.split("\n"), strict=True):
        if old.startswith("'") or not old:
            assert new == old
            continue
        before, after = old.split(), new.split()
        assert float(after[2]) == pytest.approx(float(before[2]) + 1) and after[3] == "1.000"
        assert after[:2] + after[4:] == before[:2] + before[4:]
    # without other damping the listed one stays
    assert [row.split()[3] for row in changed_list(TURBOSPECTRUM_LINES, "tio", Physics(tio=2, unsold=1)).split("\n")
            if row.startswith(" ")] == ["-7.270", "247.237"]  # fmt: skip
    lines = [MoogLine(8800.0, "822.01648", 1.5, 0.2, 6.87), MoogLine(8801.0, "26.0", 4.3, -0.1, 0.0),
             MoogLine(8802.0, "126.0", 0.4, -5.9, 1.6), MoogLine(8803.0, "607.01214", 1.0, -2.0, 7.7)]  # fmt: skip
    text = "lines\n" + moog_block(lines)
    assert changed_moog(text, USUAL) == text
    new = changed_moog(text, Physics(tio=0.1, feh=100.0, atoms=1000.0)).splitlines()
    assert new[0] == "lines"
    assert [float(row[30:40]) for row in new[1:]] == pytest.approx([-0.8, 2.9, -3.9, -2.0])
    assert [row[:30] + row[40:] for row in new[1:]] == [row[:30] + row[40:] for row in text.splitlines()[1:]]


def test_only_the_alpha_elements_follow_alpha():
    from tools.lte_library.physics import Physics
    from tools.lte_library.settings import SOLAR_ABUNDANCE

    change = {z: value - SOLAR_ABUNDANCE[z] for z, value in Physics(alpha=0.3).abundances(-0.5).items()}
    assert {z for z, value in change.items() if value == pytest.approx(-0.2)} == {8, 10, 12, 14, 16, 18, 20, 22}
    assert {round(value, 9) for value in change.values()} == {-0.2, -0.5}


def test_only_the_upper_layers_get_another_temperature():
    from tools.lte_library.atmospheres import LOG_TAU
    from tools.lte_library.physics import USUAL, Physics

    factor = Physics(upper=-0.03).temperature_factor(LOG_TAU)
    assert np.all(factor[LOG_TAU >= 0] == 1) and np.all(np.diff(factor) >= 0)
    assert np.interp(-4, LOG_TAU, factor) == pytest.approx(0.97) and factor.min() == pytest.approx(0.97)
    assert np.all(USUAL.temperature_factor(LOG_TAU) == 1)


def test_damping_that_moog_does_not_have_is_refused():
    from tools.lte_library.physics import USUAL, Physics, moog_damping

    assert (moog_damping(USUAL), moog_damping(Physics(unsold=1.0))) == (1, 0)
    with pytest.raises(SystemExit) as failure:
        moog_damping(Physics(unsold=2.5))
    assert "2.5" in one_line(failure)


def test_stars_of_other_physics_are_drawn_as_the_neighbourhood_is():
    from dtl_core.synthetic.label_grid import main_sequence_logg
    from tools.lte_library.atmospheres import check_label
    from tools.lte_library.other_physics import N_STARS, draw_stars

    stars, other = draw_stars("A"), draw_stars("B")
    teff, logg, mh = stars.label.T
    for label in (*stars.label, *other.label):
        check_label(*label)
    assert len(teff) == N_STARS and not np.array_equal(stars.label, other.label)
    # log g is that of mass and radius (solar log g 4.438)
    assert logg == pytest.approx(4.438 + np.log10(stars.mass / stars.radius**2), abs=1.5e-3)
    # it is no function of the other labels: the scatter of mass and radius is 0.03 dex, and the training labels differ
    inner = (teff > 2950) & (teff < 3900)
    terms = np.vander(teff[inner] / 1e3, 5), mh[inner, None], (mh * teff)[inner, None] / 1e3, mh[inner, None] ** 2
    design = np.hstack(terms)
    left = logg[inner] - design @ np.linalg.lstsq(design, logg[inner], rcond=None)[0]
    assert 0.02 < left.std() < 0.06
    alpha = np.array([own.alpha for own in stars.physics])
    assert alpha[stars.population == "TD"].mean() > alpha[stars.population == "D"].mean() + 0.1
    turbulence = np.array([own.microturbulence for own in stars.physics])
    assert 0.4 <= turbulence.min() < 0.5 and 1.9 < turbulence.max() <= 2.0
    assert {own.tio for own in stars.physics} == {0.75} and {own.tio for own in other.physics} == {1.25}
    again = draw_stars("A", 20)
    assert np.array_equal(again.label, stars.label[:20])
    assert main_sequence_logg(3000, 0.0) < 5.3


def test_a_survey_of_other_physics_has_the_stored_layout(fake_codes, tmp_path):
    from tools.lte_library.library import make_other_survey
    from tools.lte_library.workspace import Workspace

    for code in ("A", "B"):
        out = tmp_path / f"{code}.npz"
        make_other_survey(Workspace.at(tmp_path), code, out, 1, 12)
        with np.load(out) as new, np.load(DATA / f"survey_c_{code.lower()}.npz") as stored:
            assert set(new.files) == set(stored.files)
            for name in ("label", "population", "microturbulence", "alpha", "mass", "radius"):
                assert np.array_equal(new[name], stored[name][:12]), name
            meta, kept = (json.loads(str(one["meta"])) for one in (new, stored))
            assert meta == kept and meta["common"]["tio"] == {"A": 0.75, "B": 1.25}[code]


@pytest.mark.slow
def test_sensitivities_are_changes_of_the_logarithm_of_the_flux(fake_codes, tmp_path):
    from tools.lte_library.library import make_sensitivities
    from tools.lte_library.workspace import Workspace

    out = tmp_path / "s.npz"
    make_sensitivities(Workspace.at(tmp_path), out, 1)
    with np.load(out) as new, np.load(DATA / "sensitivities.npz") as stored:
        assert set(new.files) == set(stored.files) and list(new["names"]) == list(stored["names"])
        assert new["change_i16"].shape == stored["change_i16"].shape
        change = dict(zip(new["names"], np.moveaxis(new["change_i16"] * float(new["change_scale"]), 2, 0), strict=True))
    for name, values in change.items():
        tio = float(name.split()[1]) if name.startswith("tio") else 1.0
        assert values == pytest.approx(np.full(values.shape, -0.1 * np.log(tio)), abs=1.01e-4), name


# --------------------------------------------------------------------------------------------- libraries


def test_axes_are_those_of_the_stored_grid():
    from tools.lte_library.library import CONT_WAVE, NORM_SCALE
    from tools.lte_library.settings import LOGG_AXIS, MH_AXIS, N_WAVE, TEFF_AXIS, WAVE_MIN, WAVE_STEP

    with np.load(DATA / "grid_a.npz") as grid:
        assert np.array_equal(grid["teff"], TEFF_AXIS)
        assert np.array_equal(grid["logg"], LOGG_AXIS)
        assert np.array_equal(grid["mh"], MH_AXIS)
        assert grid["norm_u16"].shape == (23, 3, 8, N_WAVE)
        assert grid["cont"].shape == (23, 3, 8, len(CONT_WAVE))
        assert grid["wave_air"] == pytest.approx(WAVE_MIN + WAVE_STEP * np.arange(N_WAVE), abs=1e-9)
        assert np.array_equal(grid["cont_wave"], CONT_WAVE)
        assert float(grid["norm_scale"]) == NORM_SCALE


def test_quantised_flux_is_within_half_a_step():
    from tools.lte_library.library import NORM_SCALE, quantise

    norm = np.random.default_rng(0).uniform(0, 1.3, 10_000)
    stored = quantise(norm)
    assert stored.dtype == np.uint16
    assert np.abs(stored * NORM_SCALE - norm).max() <= 1e-5 + 1e-15
    for bad in (-0.1, 1.4, np.nan):
        with pytest.raises(SystemExit) as failure:
            quantise(np.array([0.5, bad]))
        one_line(failure)


def test_compressed_continuum_gives_back_a_cool_star():
    from tools.lte_library.library import CONT_WAVE, compress_continuum

    wave = np.arange(8788.0, 8848.001, 0.02)
    # Planck's law at 3000 K in arbitrary units
    planck = lambda w: w**-5 / np.expm1(1.43877e8 / (w * 3000))  # noqa: E731
    assert compress_continuum(wave, planck(wave)) == pytest.approx(planck(CONT_WAVE), rel=1e-6)


def fake_spectrum(work, teff, logg, mh, physics=None):
    """A spectrum that depends on all labels, and on the strength of TiO, in a known way."""
    from tools.lte_library.settings import N_WAVE, WAVE_MIN, WAVE_STEP, Spectrum

    wave = WAVE_MIN + WAVE_STEP * np.arange(N_WAVE)
    norm = 0.5 + teff / 1e5 + logg / 1e3 + mh / 1e2 + 0.1 * np.sin(wave)
    norm *= physics.tio**-0.1 if physics else 1.0
    return Spectrum(wave, norm, np.full(N_WAVE, teff))


@pytest.fixture
def fake_codes(monkeypatch):
    from tools.lte_library import library

    monkeypatch.setitem(library.CODES, "A", fake_spectrum)
    monkeypatch.setitem(library.CODES, "B", fake_spectrum)


def same_layout(new: Path, stored: Path):
    with np.load(new) as one, np.load(stored) as two:
        assert set(one.files) == set(two.files)
        for key in one.files:
            assert one[key].shape == two[key].shape and one[key].dtype.kind == two[key].dtype.kind, key
        assert json.loads(one["meta"].item())["code"]


def test_grid_has_the_stored_layout_and_puts_each_node_in_its_place(fake_codes, tmp_path, capsys):
    from tools.lte_library.library import make_grid, read_library
    from tools.lte_library.workspace import Workspace

    work = Workspace.at(tmp_path)
    make_grid(work, tmp_path / "a.npz", jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    same_layout(tmp_path / "a.npz", DATA / "grid_a.npz")
    with np.load(tmp_path / "a.npz") as grid:
        node = grid["norm_u16"][3, 1, 6] * float(grid["norm_scale"])
        expected = fake_spectrum(None, grid["teff"][3], grid["logg"][1], grid["mh"][6]).norm
        assert np.abs(node - expected).max() <= 1e-5 + 1e-12
    library = read_library(tmp_path / "a.npz")
    assert library.label[3 * 24 + 1 * 8 + 6] == pytest.approx([2600, 5.0, 0.4])


def test_survey_takes_the_labels_of_an_existing_file(fake_codes, tmp_path, capsys):
    from tools.lte_library.library import make_survey
    from tools.lte_library.workspace import Workspace

    out = tmp_path / "survey.npz"
    make_survey(Workspace.at(tmp_path), DATA / "survey_b.npz", out, jobs=1)
    same_layout(out, DATA / "survey_b.npz")
    with np.load(out) as new, np.load(DATA / "survey_b.npz") as stored:
        assert np.array_equal(new["label"], stored["label"])
        assert np.array_equal(new["population"], stored["population"])
    with pytest.raises(SystemExit) as failure:
        make_survey(Workspace.at(tmp_path), DATA / "grid_a.npz", out, jobs=1)
    assert "label, population" in one_line(failure)
    for bad in (tmp_path / "nowhere.npz", Path(__file__)):
        with pytest.raises(SystemExit) as failure:
            make_survey(Workspace.at(tmp_path), bad, out, jobs=1)
        assert str(bad) in one_line(failure)


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    from tools.lte_library.library import write_library

    for name in ("a.npz", "b.npz"):
        write_library(tmp_path / name, {"label": np.arange(6.0).reshape(2, 3)}, {"code": "none"})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    # the members bear no time of day
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    from tools.lte_library.workspace import replacing_file

    path = tmp_path / "old.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing_file(path) as part:
        part.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_comparison_measures_the_difference(fake_codes, tmp_path):
    from tools.lte_library.library import Library, compare
    from tools.lte_library.physics import USUAL
    from tools.lte_library.workspace import Workspace

    label = np.array([[3000.0, 5.0, 0.0], [4000.0, 4.5, -0.5]])
    norm = np.array([fake_spectrum(None, *row).norm for row in label])
    norm[1, 100] += 0.01
    library = Library("B", label, norm, np.array([[3000.0] * 7, [4040.0] * 7]), [USUAL] * 2)
    first, second = compare(Workspace.at(tmp_path), library, np.array([0, 1]))
    assert first.largest < 1e-12 and first.cont < 1e-9
    assert second.largest == pytest.approx(0.01) and second.median < 1e-12
    assert second.cont == pytest.approx(0.01, rel=0.02)


def test_chosen_nodes_are_seeded_and_span_teff():
    from tools.lte_library.library import choose_nodes, read_library

    teff = read_library(DATA / "grid_a.npz").label[:, 0]
    chosen = choose_nodes(teff, 4, seed=3)
    assert np.array_equal(chosen, choose_nodes(teff, 4, seed=3))
    assert not np.array_equal(chosen, choose_nodes(teff, 4, seed=4))
    assert teff[chosen[0]] <= 2900 and teff[chosen[-1]] >= 3900


# --------------------------------------------------------------------------------------------- MOOG's output


def test_moog_output_is_read(tmp_path):
    from tools.lte_library.moog import read_continuum, read_depths

    assert len(read_depths(tmp_path / "out2")) == 0
    (tmp_path / "out2").write_text(
        "ALL abundances NOT listed below differ\nMODEL\n  8788.000   8848.000      0.020      1.200\n"
        " 0.1000 0.2000 0.3000\n 0.4000-0.0001\n"
    )
    assert read_depths(tmp_path / "out2") == pytest.approx([0.1, 0.2, 0.3, 0.4, -0.0001])
    # an overflowed field ends the list, so that the spectrum is found too short
    (tmp_path / "out2").write_text("   8788.000   8848.000\n 0.1000 0.2000\n*******\n 0.4000\n")
    assert read_depths(tmp_path / "out2") == pytest.approx([0.1, 0.2])
    assert read_continuum(tmp_path / "out1").shape == (0, 2)
    (tmp_path / "out1").write_text(
        "AT WAVELENGTH/FREQUENCY =   8788.00   CONTINUUM FLUX/INTENSITY = 1.25D+13\n"
        "AT WAVELENGTH/FREQUENCY =   8848.00   CONTINUUM FLUX/INTENSITY = 1.20D+13\n"
    )
    assert read_continuum(tmp_path / "out1")[:, 1] == pytest.approx([1.25e13, 1.20e13])


# --------------------------------------------------------------------------------------------- command line


def test_help_shows_examples(capsys):
    from tools.lte_library.__main__ import main

    for argv in (["--help"], ["check", "--help"]):
        with pytest.raises(SystemExit) as done:
            main(argv)
        assert done.value.code == 0
        assert "examples:\n  python -m tools.lte_library prepare" in capsys.readouterr().out


def test_what_is_missing_is_a_one_line_error(tmp_path, monkeypatch):
    from tools.lte_library.__main__ import main

    with pytest.raises(SystemExit) as failure:
        main(["node", str(tmp_path), "3000", "5", "-0.5"])
    assert "prepare" in one_line(failure)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as failure:
        main(["prepare", str(tmp_path / "work")])
    assert "gfortran and make" in one_line(failure)
    assert not (tmp_path / "work").exists()


def test_a_failed_pass_is_a_one_line_error_and_keeps_its_log(tmp_path):
    from tools.lte_library.atmospheres import Atmosphere
    from tools.lte_library.turbospectrum import electron_density
    from tools.lte_library.workspace import Workspace

    work = Workspace.at(tmp_path)
    work.babsma.parent.mkdir(parents=True)
    work.babsma.write_text("#!/bin/sh\necho ' tau,T,Pe,Pg,ro 1 0.1 3000. 1.0E-2 ****'\necho no convergence\n")
    work.babsma.chmod(0o755)
    model = Atmosphere(np.array([3000.0, 3100.0]), np.array([1e3, 2e3]), np.array([0.01, 0.02]))
    with pytest.raises(SystemExit) as failure:
        electron_density(work, tmp_path, model, 0.0)
    message = one_line(failure)
    log = tmp_path / "failed_babsma_lu.log"
    assert "1 of 2 depths" in message and str(log) in message
    assert "no convergence" in log.read_text()


def test_check_exits_1_above_the_tolerance(fake_codes, tmp_path, monkeypatch, capsys):
    from tools.lte_library.__main__ import main
    from tools.lte_library.library import make_survey
    from tools.lte_library.workspace import Workspace

    monkeypatch.setattr(Workspace, "require_prepared", lambda self: None)
    path = tmp_path / "survey.npz"
    make_survey(Workspace.at(tmp_path), DATA / "survey_b.npz", path, jobs=1)
    argv = ["check", str(tmp_path), str(path), "--nodes", "3", "--tolerance"]
    main([*argv, "2e-5"])
    assert capsys.readouterr().out.count("median") == 3
    with pytest.raises(SystemExit) as failure:
        main([*argv, "1e-9"])
    assert "above the tolerance" in one_line(failure)


# --------------------------------------------------------------------------------------------- models


def test_the_registry_lists_the_models_that_are_there_and_nothing_else_of_it_changes(tmp_path):
    from dtl_core.public_data import registry
    from tools import register_models

    there = ROOT / "dtl_core" / "public_data" / "registry.toml"
    copy = tmp_path / "registry.toml"
    copy.write_text(there.read_text())
    register_models.register(copy, ROOT / "dtl_core" / "data" / "models")
    assert copy.read_text() == there.read_text()  # the entries in the package are those of its files
    (tmp_path / "R012345.safetensors").write_bytes(b"not read")
    register_models.register(copy, tmp_path)
    changed = registry.load(copy)
    assert [name for name in changed if name.startswith("models/R")] == ["models/R012345.safetensors"]
    assert changed["models/R012345.safetensors"].size == 8
    others = {name: entry for name, entry in registry.load().items() if entry.group != "models"}
    assert {name: entry for name, entry in changed.items() if entry.group != "models"} == others


# --------------------------------------------------------------------------------------------- mutations.py


@pytest.mark.parametrize("fault", mutations.FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_its_place_and_its_tests(fault):
    text = (ROOT / "dtl_core" / fault.path).read_text()
    changed = mutations.replaced(fault, text)
    compile(changed, fault.path, "exec")
    assert changed != text and fault.tests and all((ROOT / "tests" / name).is_file() for name in fault.tests)


def test_faults_differ_and_need_their_text():
    assert len(mutations.FAULTS) >= 30 and len({fault.name for fault in mutations.FAULTS}) == len(mutations.FAULTS)
    with pytest.raises(ValueError, match="0 times"):
        mutations.replaced(mutations.FAULTS[0]._replace(old="is nowhere"), "a = 1\n")


def test_a_fault_is_injected_into_the_copy_alone(tmp_path):
    fault = mutations.FAULTS[0]
    before = (ROOT / "dtl_core" / fault.path).read_text()
    root = mutations.inject(fault, tmp_path)
    assert (root / "dtl_core" / fault.path).read_text() != before == (ROOT / "dtl_core" / fault.path).read_text()
    assert (root / "pyproject.toml").is_file() and (root / "tests" / "conftest.py").is_file()


# ------------------------------------------------------------------------------------------------- perturb.py


def test_a_bound_is_compared_with_the_worst_of_all_runs():
    from tools import perturb

    def rows(accuracy, error):
        share = {"test": "tests/a.py::b", "what": "share", "above": 0.5, "below": None, "least": accuracy, "most": 1.0}
        return [share] + [share | {"what": "error", "above": None, "below": 1.0, "most": one} for one in error]

    lines, good = perturb.summary([rows(0.75, [0.4, 0.6]), rows(0.65, [0.8, 0.1])])
    assert good and [line.split("  a.py")[0].split() for line in lines[1:]] == [
        ["above", "0.5", "0.7", "0.65", "4.0", "2", "of", "2"],
        ["below", "1", "0.7", "0.8", "3.0", "2", "of", "2"],
    ]
    lines, good = perturb.summary([rows(0.75, [0.4]), rows(0.45, [0.4])])
    assert not good and "1 of 2" in lines[1] and "2 of 2" in lines[2]
