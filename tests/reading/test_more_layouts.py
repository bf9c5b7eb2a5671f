"""Readers of more public layouts: what was written, estimates like those of a plain table, damage that is refused."""

import dataclasses
import tracemalloc

import layouts
import more_layouts
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.interpolate import BSpline

from dtl_core.errors import DataError
from dtl_core.models import loading
from dtl_core.reading import formats, keywords, multispec, orders, readers, sources
from dtl_core.spectra import operators
from dtl_core.synthetic.examples import VELOCITY, write_examples

FULL = {"depth": 0.0}  # without a blaze


def ratio(star, velocity=0.0, of=None):
    """What was read over what was written, in the window."""
    use = (star.wavelength > 8797.0) & (star.wavelength < 8838.0) & ~star.mask
    found = star.flux[use] / layouts.at(star.wavelength[use], of, velocity)
    return found / np.median(found)


def refused(path, words, reader=readers.read, **options):
    """The error is one line, names the file and what to do, and has these words; little memory was asked for."""
    tracemalloc.start()
    with pytest.raises(DataError) as error:
        reader(path, **options)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = str(error.value)
    assert "\n" not in line and "; " in line and len(line) < 400 and str(path) in line
    for word in words:
        assert word in line, line
    assert most < 300e6
    return line


def has(star, words):
    assert any(words in note for note in star.notes), star.notes


# ---------------------------------------------------------------- what was written comes back

WRITERS = {
    "multispec": ("multispec", more_layouts.write_multispec, {"extra": more_layouts.TRES, **FULL}),
    "multispec, a cube": (
        "multispec",
        more_layouts.write_multispec,
        {"sigma": True, "extra": more_layouts.TRES, **FULL},
    ),
    "CHIRON": ("CHIRON", more_layouts.write_chiron, FULL),
    "CHIRON, three planes": ("CHIRON", more_layouts.write_chiron, {"third": "sigma", **FULL}),
    "NEID": ("NEID", more_layouts.write_neid, {}),
    "EPRV": ("EPRV", more_layouts.write_eprv, {}),
    "EPRV 3": ("EPRV", more_layouts.write_eprv3, {}),
    "text of ESPaDOnS": ("ESpRIT", more_layouts.write_esprit, {}),
    "intensity of ESPaDOnS": ("ESpRIT", more_layouts.write_esprit, {"polar": False}),
    "CFHT": ("ESpRIT", more_layouts.write_upena, {}),
    "CFHT, turned": ("ESpRIT", more_layouts.write_upena, {"turned": True}),
    "tables": ("table", more_layouts.write_order_tables, FULL),
    "rows of a table": ("table", more_layouts.write_order_tables, {"one": True, **FULL}),
    "older serval": ("serval", more_layouts.write_old_serval, {}),
    "older serval, in A": ("serval", more_layouts.write_old_serval, {"ln": False}),
}
AIR = {"multispec", "CHIRON", "ESpRIT"}


def name_of(layout):
    return "a.s" if "of ESPaDOnS" in layout else "a.fits"


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("velocity", [0.0, -87.5])
def test_what_was_written_is_read(tmp_path, layout, velocity):
    kind, write, options = WRITERS[layout]
    path = write(tmp_path / name_of(layout), velocity=velocity, **options)
    assert readers.sniff(path) == kind
    star = readers.read(path)
    found = ratio(star, velocity)
    # where orders overlap a spline goes through pixels of the other order; TRES' hardly sample these lines
    assert np.abs(found - 1).max() < 0.03 and np.std(found) < 2e-3
    assert star.star in ("GJ TEST", "J00000+000") and not star.mask.any()
    if kind in AIR:
        has(star, "air wavelengths converted to vacuum")
        assert np.abs(ratio(readers.read(path, medium="vacuum"), velocity) - 1).max() > 0.1


@pytest.mark.slow
def test_velocities_and_frames_are_those_of_the_files(tmp_path):
    path = tmp_path / "a.fits"
    star = readers.read(more_layouts.write_neid(path, velocity=40.0, berv=-21.5))
    assert (star.frame, star.instrument, star.resolving_power) == ("observatory", "NEID HR", 110_000.0)
    assert star.berv == pytest.approx(-21.5, abs=1e-4) and star.time == pytest.approx(2_459_862.6)
    assert np.abs(ratio(star.in_frame("barycentric"), 40.0) - 1).max() < 2e-3
    assert np.abs(ratio(star, 40.0) - 1).max() > 0.1
    star = readers.read(more_layouts.write_neid(path, mode="HE", SSBRV069=None, SSBRV052=-3.25))
    assert star.resolving_power == 60_000.0 and star.berv == -3.25
    for per in ("file", "order", "pixel"):
        star = readers.read(more_layouts.write_eprv(path, velocity=40.0, berv=-21.5, per=per))
        assert (star.frame, star.berv, star.time) == ("observatory", -21.5, 2_459_862.7)
        assert np.abs(ratio(star.in_frame("barycentric"), 40.0) - 1).max() < 2e-3
    for write, end in (
        (more_layouts.write_eprv3, "fits"),
        (more_layouts.write_esprit, "s"),
        (more_layouts.write_upena, "fits"),
    ):
        star = readers.read(write(tmp_path / f"b.{end}", velocity=40.0))
        assert star.frame == "barycentric" and np.abs(ratio(star, 40.0) - 1).max() < 2e-3
    star = readers.read(more_layouts.write_multispec(path, extra=more_layouts.TRES, **FULL))
    assert (star.frame, star.berv, star.instrument, star.resolving_power) == ("observatory", 12.25, "TRES", 44_000.0)
    star = readers.read(more_layouts.write_multispec(path, z=1e-4, **FULL))
    assert star.frame == "unknown"
    has(star, "doppler factor")
    stated = readers.read(more_layouts.write_multispec(path, z=1e-4, extra=["SPECSYS = 'BARYCENT'"], **FULL))
    assert stated.frame == "barycentric"


# ---------------------------------------------------------------- estimates


@pytest.fixture(scope="module")
def model():
    return loading.load()


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A simulated star at rest, its lines mirrored to both sides at other levels, as bands would make them."""
    paths, _ = write_examples(tmp_path_factory.mktemp("examples"))
    star = readers.read(paths[1])
    rest, flux = operators.doppler_shift(star.wavelength, -VELOCITY[1]), star.flux / np.percentile(star.flux, 90)
    rng, waves, fluxes = np.random.default_rng(1), [], []
    for n in range(-40, 9):
        level = 1 + 0.07 * rng.standard_normal() + 0.07 * rng.standard_normal() * np.linspace(-1, 1, len(flux))
        there = flux if n % 2 == 0 else flux[::-1]
        away = rest - rest[0] if n % 2 == 0 else (rest[-1] - rest)[::-1]
        waves.append(rest[0] + n * np.ptp(rest) + away[:-1])
        fluxes.append((there * (level if n else 1.0))[:-1])
    return np.concatenate(waves), np.concatenate(fluxes)


def estimates(model, spectrum):
    spectrum = dataclasses.replace(spectrum, resolving_power=80_000.0)
    table = model.predict(spectrum)
    names = ("Teff", "logg", "[M/H]", "radial_velocity")
    return np.array([float(getattr(table[name][0], "value", table[name][0])) for name in names])


ESTIMATED = ["multispec", "CHIRON", "NEID", "EPRV", "EPRV 3", "text of ESPaDOnS", "CFHT", "tables", "older serval"]


LEFT_IN = [(layout, True) for layout in ESTIMATED if "depth" in WRITERS[layout][2]]


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "blaze"), [*((layout, False) for layout in ESTIMATED), *LEFT_IN])
def test_estimates_are_those_of_a_plain_table(tmp_path, model, example, layout, blaze):
    _, write, options = WRITERS[layout]
    velocity = VELOCITY[1]
    options = {key: value for key, value in options.items() if key != "depth"} | ({} if blaze else options)
    star = readers.read(write(tmp_path / name_of(layout), star=example, velocity=velocity, **options))
    use = (star.wavelength > 8786) & (star.wavelength < 8849)
    wavelength = star.wavelength[use]
    columns = {"wavelength": wavelength, "flux": layouts.at(wavelength, example, velocity)}
    columns["uncertainty"] = np.full(len(wavelength), 0.005)
    meta = {"FRAME": "barycentric", "MEDIUM": "vacuum"}
    plain = readers.read(layouts.write_table(tmp_path / "plain.ecsv", columns, unit="Angstrom", meta=meta))
    if star.frame == "observatory":  # these are written without the Earth's motion
        star = dataclasses.replace(star, berv=0.0)
    difference = np.abs(estimates(model, star) - estimates(model, plain))
    # a blaze that is left in can only be estimated: of one order alone the error would be 50-100 K and 0.1 dex
    limits = [20.0, 0.02, 0.04, 0.2] if blaze else [10.0, 0.02, 0.03, 0.2]
    assert np.all(difference < limits), difference


def test_the_blaze_of_many_orders_is_found_from_what_they_share(example):
    wavelength = more_layouts.echelle(40, 2304)
    flux = more_layouts.light(wavelength, example)
    pieces = [orders.Piece(f"order {k}", wavelength[k], flux[k]) for k in range(40)]
    notes = []
    near = [piece for piece in orders.with_blaze(pieces, notes) if piece.near(8800, 8835)]
    assert len(near) == 2 and notes == ["blaze estimated from 40 orders"]
    for piece in near:
        error = piece.continuum / more_layouts.blaze(2304)
        assert np.std(error[100:-100] / np.median(error)) < 0.01
    flat = [orders.Piece("x", wavelength[k], example[1][:2304]) for k in range(40)]
    assert all(piece.continuum is None for piece in orders.with_blaze(flat, notes))  # nothing to divide out
    assert all(piece.continuum is None for piece in orders.with_blaze(pieces[30:34], notes))  # too few
    assert len(notes) == 1


# ---------------------------------------------------------------- IRAF

KINDS = ["linear", "log", "chebyshev", "legendre", "spline", "linear spline", "sampled"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_dispersion_function_of_iraf_is_understood(tmp_path, kind):
    row = operators.vacuum_to_air(more_layouts.echelle()[-1])
    pixel = np.arange(1.0, len(row) + 1)
    text, wanted = more_layouts.attribute(7, row, kind, z=2e-4)
    found, aperture, z = multispec.dispersion(text, pixel, "x", "spec7")
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert (aperture, z) == (7, 2e-4)
    star = readers.read(more_layouts.write_multispec(tmp_path / "a.fits", kind=kind, extra=more_layouts.TRES, **FULL))
    assert np.abs(ratio(star) - 1).max() < 0.03


def test_lists_of_wavelengths_and_weighted_functions_are_understood(tmp_path):
    wavelength = more_layouts.echelle()[-3:-1]
    path = more_layouts.write_multispec(tmp_path / "a.fits", wavelength=wavelength, kind="pixels", air=False, **FULL)
    star = readers.read(path)
    has(star, "medium not stated: taken as vacuum")
    assert np.abs(ratio(star) - 1).max() < 0.03
    head = "3 100 2 8800. 0.1 4 0. 1. 2. "
    one, two = "0.25 1.0 1 2 1. 4. 8800. 3.", "0.75 -1.0 2 2 1. 4. 8804. 3."
    found, *_ = multispec.dispersion(head + one + " " + two, np.arange(1.0, 5.0), "x", "spec3")
    np.testing.assert_allclose(found, 0.25 * 8801 + 0.75 * 8803 + np.array([-3, -1, 1, 3.0]))
    # as the driver, which divides by the sum of weights
    same, *_ = multispec.dispersion(
        head + one.replace("0.25", "1.") + " " + two.replace("0.75", "3."), np.arange(1.0, 5.0), "x", ""
    )
    np.testing.assert_allclose(same, found)
    sampled, *_ = multispec.dispersion(head + "1. 0. 6 4 0 1. 8800. 4. 8803.", np.arange(1.0, 5.0), "x", "")
    np.testing.assert_allclose(sampled, [8800, 8801, 8802, 8803])  # numbers counted, not pairs


def test_iraf_splines_are_those_of_scipy():
    rng, pixel = np.random.default_rng(3), np.linspace(1, 100, 77)
    c = rng.uniform(1, 2, 9)
    step = 99 / 6
    knots = 1 + step * np.arange(-3, 10)
    text = "1 1 2 0 0 100 0. 0. 0. 1. 0. 3 6 1. 100. " + " ".join(map(repr, map(float, c)))
    np.testing.assert_allclose(
        multispec.dispersion(text, pixel, "x", "")[0], BSpline(knots, 6 * c, 3)(pixel), rtol=1e-12
    )


def test_sections_of_images_keep_their_wavelengths(tmp_path):
    """LTV and WAXMAP say which pixels and which row of the original a section is."""
    wavelength = more_layouts.echelle(4, 2304)
    flux = more_layouts.light(wavelength, depth=0.0)
    path = more_layouts.write_multispec(
        tmp_path / "a.fits", wavelength=wavelength, flux=flux[:, 100:], extra=["LTV1    = -100.", *more_layouts.TRES]
    )
    assert np.abs(ratio(readers.read(path)) - 1).max() < 0.03
    wide = np.stack([wavelength[0], np.linspace(8780, 8860, 2304)])
    path = more_layouts.write_multispec(
        tmp_path / "b.fits",
        wavelength=wide,
        kind="linear",
        air=False,
        flux=layouts.at(wide[1])[None],
        extra=["WAXMAP01= '1 0 0 1 '"],
    )
    assert np.abs(ratio(readers.read(path)) - 1).max() < 1e-3


def test_apertures_that_are_stars_have_to_be_chosen(tmp_path):
    wavelength = np.tile(np.linspace(8770.0, 8870.0, 3000), (3, 1))
    flux = np.stack([layouts.at(wavelength[0], velocity=v) for v in (0.0, 30.0, 60.0)])
    names = ["GJ 1", "sky", "GJ 3"]
    path = more_layouts.write_multispec(
        tmp_path / "a.fits", wavelength=wavelength, kind="linear", air=False, flux=flux, apids=names
    )
    refused(path, ["holds 3 spectra", "--object GJ 1, sky, GJ 3"])
    assert np.abs(ratio(readers.read(path, object="GJ 3"), 60.0) - 1).max() < 1e-3
    assert np.abs(ratio(readers.read(path, object=1), 0.0) - 1).max() < 1e-3
    keys = {"CTYPE1": "LINEAR", "CRVAL1": 8770.0, "CD1_1": 100 / 2999, "CRPIX1": 1.0, "WCSDIM": 2}
    keys |= {"WAT0_001": "system=equispec", "WAT1_001": "wtype=linear label=Wavelength units=Angstroms"}
    keys |= {f"APNUM{k}": f"{k} {k} 1. 2." for k in (1, 2, 3)} | {"APID2": "GJ 2"}
    fits.PrimaryHDU(flux, header=fits.Header(keys)).writeto(tmp_path / "b.fits")
    assert readers.sniff(tmp_path / "b.fits") == "image"
    refused(tmp_path / "b.fits", ["holds 3 spectra", "row 1, GJ 2, row 3"])
    assert np.abs(ratio(readers.read(tmp_path / "b.fits", object="GJ 2"), 30.0) - 1).max() < 1e-3


def test_spectra_of_fewer_pixels_than_the_image_end_early(tmp_path):
    star = readers.read(more_layouts.write_multispec(tmp_path / "a.fits", n=2300, extra=more_layouts.TRES, **FULL))
    whole = readers.read(more_layouts.write_multispec(tmp_path / "b.fits", extra=more_layouts.TRES, **FULL))
    assert star.wavelength[-1] < whole.wavelength[-1] - 0.1 and np.abs(ratio(star) - 1).max() < 0.03


def test_sigma_is_the_uncertainty_and_units_are_converted(tmp_path):
    star = readers.read(more_layouts.write_multispec(tmp_path / "a.fits", sigma=True, extra=more_layouts.TRES, **FULL))
    assert np.median(star.uncertainty) == pytest.approx(0.004, rel=0.3)
    nm = more_layouts.echelle() / 10
    flux = more_layouts.light(10 * nm, depth=0.0)
    star = readers.read(
        more_layouts.write_multispec(tmp_path / "b.fits", wavelength=nm, air=False, units="nm", flux=flux)
    )
    has(star, "wavelengths converted from nm to A")
    assert np.abs(ratio(star) - 1).max() < 0.03


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cut": 4000}, ["WAT2", "gives the wavelengths of", "cut short"]),
        ({"cut": 0}, ["WAT2", "gives the wavelengths of 0 rows"]),
        ({"n": 10**9}, None),
        ({"n": 0}, ["spec1", "0 pixels"]),
        ({"z": -1.0}, ["spec1", "doppler factor of -1"]),
        ({"functions": 25}, ["spec1", "cut short within"]),
        ({"weights": [0.0]}, ["spec1", "no dispersion function"]),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_multispec_is_refused(tmp_path, change, words):
    path = tmp_path / "a.fits"
    if change.get("z") == -1.0:
        more_layouts.write_multispec(path, **FULL)
        path.write_bytes(path.read_bytes().replace(b" 2304.0 0.0 ", b" 2304.0 -1. "))
    else:
        more_layouts.write_multispec(path, **change, extra=more_layouts.TRES, **FULL)
    if words is None:  # the image has as many pixels as it has
        assert np.abs(ratio(readers.read(path)) - 1).max() < 0.03
    else:
        refused(path, ["a.fits", *words])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("1 1 2 8800 0.1", ["has 5 fields"]),
        ("1 1 -1 8800 0.1 100 0 1 2", ["no wavelengths", "calibrate it"]),
        ("1 1 2 8800 x.1 100 0 1 2", ["not a number"]),
        ("1 1 2 8800 nan 100 0 1 2", ["not 9 or more numbers"]),
        ("1 1 2 8800 0.1 100 0 1 2 1 0 1 900000000 1 100 5", ["order 9e+08"]),
        ("1 1 2 8800 0.1 100 0 1 2 1 0 5 6 1 2 3", ["3 coefficients are missing"]),
        ("1 1 2 8800 0.1 100 0 1 2 1 0 9 6 1 2 3", ["kind 9"]),
        ("1 1 2 8800 0.1 100 0 1 2 1 0 1 2 100 1 8800 1", ["between pixels 100 and 1"]),
        ("1 1 2 8800 0.1 100 0 1 2", ["no dispersion function"]),
    ],
)
def test_impossible_dispersion_functions_are_refused(fields, words):
    with pytest.raises(DataError) as error:
        multispec.dispersion(fields, np.arange(1.0, 101), "f.fits", "WAT2 spec1")
    assert all(word in str(error.value) for word in ["f.fits", "spec1", *words])


def test_blanks_at_the_end_of_a_card_part_two_numbers(tmp_path):
    """Another program may have dropped cards when it wrote the file; a missing card is an error."""
    path = more_layouts.write_multispec(tmp_path / "a.fits", extra=more_layouts.TRES, **FULL)
    wanted = readers.read(path)
    data = bytearray(path.read_bytes())
    for start in range(0, data.index(b"END     "), 80):
        card = bytes(data[start : start + 80])
        if card.startswith(b"WAT2_") and card.rstrip().endswith(b" '"):
            text = card.rstrip()[:-1].rstrip() + b"'"
            data[start : start + 80] = text.ljust(80)
    assert data != path.read_bytes()
    path.write_bytes(data)
    np.testing.assert_array_equal(readers.read(path).wavelength, wanted.wavelength)
    path.write_bytes(bytes(data).replace(b"WAT2_003", b"LOST    "))
    refused(path, ["WAT2_003", "is missing"])


def test_odd_headers_do_no_harm(tmp_path):
    """Keywords in small letters or with stops, accents, a size said twice in the same words, text after END."""
    extra = [
        *more_layouts.TRES,
        "wat9_001= 'small'",
        "NAXIS1  =                 2304",
        "BADKEY! = ?",
        "ÄÖ      = 'Ü'",
        "OBSERVER= 'Sz\xe9kely\x00'",
    ]
    path = more_layouts.write_multispec(tmp_path / "a.fits", extra=extra, **FULL)
    assert np.abs(ratio(readers.read(path)) - 1).max() < 0.03
    data = path.read_bytes()
    place = data.index(b"END     ") + 8
    path.write_bytes(data[:place] + b"of header" + data[place + 9 :])
    assert np.abs(ratio(readers.read(path)) - 1).max() < 0.03
    path.write_bytes(path.read_bytes() + b"written on, by a tape")
    assert np.abs(ratio(readers.read(path)) - 1).max() < 0.03
    twice = more_layouts.write_multispec(tmp_path / "b.fits", extra=["NAXIS1  =                   99"], **FULL)
    refused(twice, ["says no possible size"])


# ---------------------------------------------------------------- CHIRON


def test_arrays_that_hold_no_wavelengths_are_not_taken_for_chiron(tmp_path):
    path = tmp_path / "a.fits"
    star = readers.read(more_layouts.write_chiron(path, third=np.full((40, 3200), -1.0), **FULL))
    has(star, "third plane left out")
    assert not np.isfinite(star.uncertainty).any() and star.resolving_power == 79_000
    star = readers.read(more_layouts.write_chiron(path, air=False, FPA="x", DECKER="y", AIRORVAC="vacuum", **FULL))
    assert star.instrument == "" and np.abs(ratio(star) - 1).max() < 3e-3
    rng = np.random.default_rng(0)
    fits.PrimaryHDU(rng.uniform(1, 2, (40, 3200, 2))).writeto(path, overwrite=True)
    refused(path, ["has no array of order x pixel x"], reader=readers.read_chiron)
    refused(path, ["a.fits"])
    fits.PrimaryHDU(np.ones((40, 2, 3200))).writeto(path, overwrite=True)
    refused(path, ["(40, 2, 3200)", "give reduced spectra"], instrument="CHIRON")
    short = more_layouts.write_chiron(path, wavelength=more_layouts.echelle(10, 3200)[:4], **FULL)
    refused(short, ["has no pixels between 8800 and 8835 A"])
    path.write_bytes(more_layouts.write_chiron(path).read_bytes()[:-9000])
    refused(path, ["cut short"])


# ---------------------------------------------------------------- NEID, the EPRV standard


def test_bad_pixels_of_the_standard_are_masked(tmp_path):
    bad = np.arange(1500, 1520)
    star = readers.read(more_layouts.write_eprv(tmp_path / "a.fits", bad=bad))
    lost = more_layouts.echelle(28, 4036)[-3:, bad].ravel()
    lost = lost[(lost > star.wavelength[0]) & (lost < star.wavelength[-1])]
    there = star.mask[np.isin(star.wavelength, lost)]
    assert 10 < there.sum() and star.mask.sum() == there.sum()
    assert np.abs(ratio(star) - 1).max() < 2e-3


def test_the_trace_that_holds_the_star_is_taken(tmp_path):
    path = more_layouts.write_eprv(tmp_path / "a.fits", traces=("CAL", "SKY", "SCI"))
    assert np.abs(ratio(readers.read(path)) - 1).max() < 2e-3
    assert np.abs(ratio(readers.read(path, object=2)) - 1).max() > 0.1  # the sky has no such lines
    refused(path, ["has no trace '9'", "give one of 1, 2, 3"], object=9)
    path = more_layouts.write_eprv(path, traces=("Sky", "Target", "Target", "Etalon", "VIRTUAL"))
    has(readers.read(path), "trace 5 taken of 5, 2, 3")
    path = more_layouts.write_eprv(path, traces=("", ""), instrument="X")
    star = readers.read(path)
    has(star, "taken from trace 1")
    assert np.isnan(star.resolving_power)


@pytest.mark.parametrize(
    ("write", "options", "words"),
    [
        ("write_neid", {"without": ["SCIVAR"]}, ["SCIVAR", "is missing", "give reduced spectra"]),
        ("write_neid", {"shape": (30, 9216)}, ["no pixels between 8800 and 8835"]),
        ("write_eprv", {"without": ["TRACE2_VAR"]}, ["TRACE2_VAR", "is missing"]),
        ("write_eprv", {"without": ["TRACE2_WAVE"]}, ["TRACE2_WAVE", "is missing"]),
        ("write_eprv3", {"VAR": None}, ["STITCHED_CORR_SCI_VAR", "is missing"]),
        ("write_eprv3", {"VAR": np.ones(7)}, ["STITCHED_CORR_SCI_VAR", "has shape (7,)"]),
    ],
)
def test_missing_and_misshapen_extensions_are_refused(tmp_path, write, options, words):
    refused(getattr(more_layouts, write)(tmp_path / "a.fits", **options), words)


def test_what_the_standard_may_leave_out_is_said(tmp_path):
    star = readers.read(more_layouts.write_eprv(tmp_path / "a.fits", without=["BARYCORR_KMS", "BJD_TDB"]))
    assert np.isnan(star.berv) and np.isnan(star.time)
    has(star, "no barycentric velocity")
    path = more_layouts.write_eprv(tmp_path / "b.fits", per="order")
    hdus = fits.open(path)
    hdus["BARYCORR_KMS"].data = np.zeros(3)
    hdus.writeto(tmp_path / "c.fits")
    refused(tmp_path / "c.fits", ["BARYCORR_KMS", "has shape (3,)"])
    shape = fits.open(path)
    shape["TRACE2_VAR"].data = np.zeros((28, 9))
    shape.writeto(tmp_path / "d.fits")
    refused(tmp_path / "d.fits", ["TRACE2_VAR", "has shape (28, 9)"])
    (tmp_path / "e.hd5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(tmp_path / "e.hd5", ["is an HDF5 file", "give FITS", "rv-data-standard"])


# ---------------------------------------------------------------- Libre-ESpRIT


def test_resolving_powers_of_espadons(tmp_path):
    assert readers.read(more_layouts.write_esprit(tmp_path / "a.s")).resolving_power == 65_000
    star = readers.read(more_layouts.write_esprit(tmp_path / "b.s", polar=False))
    assert np.isnan(star.resolving_power)
    has(star, "resolving power not stated")
    star = readers.read(more_layouts.write_upena(tmp_path / "c.fits"))
    assert (star.resolving_power, star.instrument) == (80_000, "ESPaDOnS")
    polar = ("Wavelength", "Intensity", "Stokes", "CheckN1", "CheckN2", "ErrorBar")
    star = readers.read(more_layouts.write_upena(tmp_path / "d.fits", names=polar, INSTMODE="Polarimetry, R=65,000"))
    assert star.resolving_power == 65_000 and np.abs(ratio(star) - 1).max() < 2e-3
    assert np.median(star.uncertainty) == pytest.approx(0.004, rel=0.3)
    assert len(sources.list_files(tmp_path)) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], ["cut short or damaged", "download the file again"]),
        (lambda text: text.replace(" 36800 5", " 40000 5"), ["has 36800 rows, not 40000"]),
        (lambda text: text.replace(" 36800 5", " 36800 8"), ["has 9 columns"]),
        (lambda text: text.replace(" 36800 5", " many"), ["does not begin with ***Reduced spectrum of"]),
        (lambda text: text.replace(" 36800 5", " 36800 2"), ["cut short or damaged"]),
        (lambda text: text.replace(" 36800 5", f" {10**12} 5"), ["has 36800 rows"]),
        (lambda text: text[:4000] + "!!" + text[4000:], ["its rows are not 6 numbers each"]),
        (lambda text: "\n".join(text.split("\n")[:2]), ["has 0 rows"]),
    ],
)
def test_damaged_texts_of_espadons_are_refused(tmp_path, change, words):
    path = more_layouts.write_esprit(tmp_path / "a.s")
    path.write_text(change(path.read_text()))
    refused(path, words)


def test_named_columns_of_espadons_may_stand_above_the_rows(tmp_path):
    path = more_layouts.write_esprit(tmp_path / "a.s", polar=False)
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:2], "Wavelength Intensity ErrorBar", *lines[2:]]))
    assert np.abs(ratio(readers.read(path)) - 1).max() < 2e-3


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("Wavelength", "Stokes"), ["names columns wavelength, stokes", "intensity"]),
        (("Wavelength",), ["names columns"]),
    ],
)
def test_images_of_espadons_without_intensity_are_refused(tmp_path, names, words):
    refused(more_layouts.write_upena(tmp_path / "a.fits", names=names), words)


def test_images_of_espadons_of_other_shapes_are_refused(tmp_path):
    path = more_layouts.write_upena(tmp_path / "a.fits", COL13="Order")
    refused(path, ["and names 13 columns", "COL1"])


# ---------------------------------------------------------------- tables of orders


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("unit", ["nm", None])
@pytest.mark.parametrize("reverse", [False, True])
def test_tables_of_orders_in_nm_are_merged_in_any_sequence(tmp_path, one, unit, reverse):
    path = more_layouts.write_order_tables(
        tmp_path / "a.fits", one=one, unit=unit, reverse=reverse, velocity=10.0, **FULL
    )
    star = readers.read(path)
    has(star, "converted from nm to A" if unit else "without a unit taken as nm")
    assert star.frame == "barycentric" and np.abs(ratio(star, 10.0) - 1).max() < 3e-3
    assert star.wavelength[-1] - star.wavelength[0] > 100 and np.isfinite(star.uncertainty).all()


def test_wavenumbers_are_wavelengths_in_vacuum(tmp_path):
    wavelength = np.arange(8780.0, 8860.0, 0.03)[::-1]
    flux = layouts.at(wavelength)
    table = Table({"wavenumber": 1e8 / wavelength, "flux": flux})
    for name, unit in (("a.fits", "cm-1"), ("b.ecsv", "1 / cm")):
        star = readers.read(layouts.write_table(tmp_path / name, table.copy(), unit=unit))
        has(star, "computed from wavenumbers")
        assert np.abs(ratio(star) - 1).max() < 1e-6 and not any("medium" in note for note in star.notes)


# ---------------------------------------------------------------- CARMENES and serval


def test_orders_filled_up_with_zeros_lose_nothing(tmp_path):
    path = layouts.write_carmenes(tmp_path / "a.fits", snr=0, cont=None)
    hdus = fits.open(path)
    near = layouts._physical(layouts.carmenes_orders())
    for name in ("SPEC", "SIG", "WAVE"):
        hdus[name].data[:, :60] = hdus[name].data[:, -100:] = 0.0
    hdus.writeto(tmp_path / "b.fits")
    assert readers.sniff(tmp_path / "b.fits") == "CARMENES"
    star = readers.read(tmp_path / "b.fits")
    waves = layouts.carmenes_orders()[near, 60:-100]
    assert star.wavelength[0] == waves[0, 0] and star.wavelength[-1] == waves[-1, -1]
    # the blaze is estimated from what there is, though a tenth of each order is missing
    assert np.std(ratio(star)) < 0.06


def test_marked_pixels_of_templates_are_masked_ones(tmp_path):
    path = layouts.write_serval(tmp_path / "a.fits", snr=0)
    hdus = fits.open(path)
    marks = np.zeros(hdus["SPEC"].data.shape, np.int16)
    marks[:, 1700:1720] = 3
    hdus["SPEC"].data = hdus["SPEC"].data.astype(float)
    marked = fits.HDUList([*hdus, fits.ImageHDU(marks, name="QMAP"), fits.ImageHDU(marks * 0 + 9, name="NMAP")])
    hdus["SPEC"].data[:, 1700:1720] = 1.7
    marked.writeto(tmp_path / "b.fits")
    hdus["SPEC"].data[:, 1700:1720] = np.nan
    hdus.writeto(tmp_path / "c.fits")
    one, other = readers.read(tmp_path / "b.fits"), readers.read(tmp_path / "c.fits")
    assert one.mask.sum() >= 20 and np.array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.wavelength, other.wavelength)
    np.testing.assert_allclose(one.flux, other.flux, rtol=1e-12)


# ---------------------------------------------------------------- air or vacuum


@pytest.mark.parametrize(
    ("meta", "names", "medium"),
    [
        ({"AIRORVAC": "air"}, [], "air"),
        ({"AIRORVAC": "vac"}, [], "vacuum"),
        ({"WAVETYPE": "Vacuum"}, [], "vacuum"),
        ({"VACUUM": True}, [], "vacuum"),
        ({"VACUUM": 0}, [], "air"),
        ({"VACUUM": "F"}, [], "air"),
        ({"ESO AIR VAC": "AIR"}, [], "air"),
        ({"CTYPE1": "AWAV"}, [], "air"),
        ({"CTYPE1": "AWAV-LOG"}, [], "air"),
        ({"CTYPE1": "WAVE"}, [], "vacuum"),
        ({"CTYPE1": "WAVE-TAB"}, [], "vacuum"),
        ({}, ["obs.atmos;em.wl"], "air"),
        ({}, ["WAVE", "em.wl;obs.atmos"], "air"),
        ({}, ["wtype=linear label=Wavelength units=angstroms"], None),
        ({}, ['wtype=multispec label="Wavelength (air)" units=angstroms'], "air"),
        ({}, ["wave_vac"], "vacuum"),
        ({}, ["LAMBDA in air"], "air"),
        ({"AIRMASS": 1.2, "CTYPE1": "LINEAR"}, [], None),
    ],
)
def test_the_ways_of_saying_air_or_vacuum(meta, names, medium):
    assert keywords.medium(meta, names) == medium


def test_every_layout_has_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_VALUES", 1000)
    refused(more_layouts.write_multispec(tmp_path / "a.fits"), ["has shape (51, 2304)"])
    refused(more_layouts.write_neid(tmp_path / "b.fits"), ["has shape (122, 9216)"])
    refused(more_layouts.write_eprv(tmp_path / "c.fits"), ["has shape (28, 4036)"])
    refused(more_layouts.write_upena(tmp_path / "d.fits"), ["has shape (12, 36800)"])
