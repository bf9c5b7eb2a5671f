"""Real stars: entries are complete and possible, adopted values follow one rule, ours against them by known answers."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.errors import ConfigError, DataError
from dtl_core.literature import catalogues, real_stars
from dtl_core.models import loading
from dtl_core.parameters import PARAMETERS
from dtl_core.public_data import registry
from dtl_core.reading import readers
from dtl_core.synthetic.line_corrections import load_corrections

STARS = real_stars.load_real_stars()
VALUES = [(star, value) for star in STARS.values() for value in star.published]
# log g from mass and radius; the rest of its sources are compared with these
FIRST = {"teff": "Mann15", "mh": "Mann15", "logg": "Schw19"}
FITS = {
    "teff": ("Pass19 VIS", "Pass18", "Schw19", "Mar21"),
    "mh": ("Schw19", "Pass18", "Pass19 VIS", "Mar21"),
    "logg": ("Pass18", "Pass19 VIS", "Mar21"),
}
CALIBRATED = {"teff": ("Gaidos14", "Interferometric", "GM14"), "mh": ("GM14", "Gaidos14")}

GOOD = """
[sources.Mann15]
cite = "mann2015"
reference = "Mann+ 2015"
how = "spectra"
[sources.Rein18]
cite = "reiners2018"
reference = "Reiners+ 2018"
how = "lines"
[[star]]
name = "A 1"
spectral_type = "M3.5"
spectra = [{ file = "observed/a.fits", observed = "2018-10-03" }]
published = [
  { parameter = "teff", value = 3200, error = 60, source = "Mann15" },
  { parameter = "vsini", value = 2.0, limit = true, source = "Rein18" },
]
"""


def star(*values, spectral_type="M3", name="A 1"):
    """A star with values given as (parameter, value, error, source), error None for a limit."""
    published = tuple(
        real_stars.Value(p, value, source, **({"limit": True} if error is None else {"error": error}))
        for p, value, error, source in values
    )
    spectra = (real_stars.SpectrumFile("observed/a.fits", "2018-10-03"),)
    return real_stars.RealStar(name, spectral_type, spectra, published)


def estimates(name="A 1", half=1.0, **given):
    """One row of estimates; intervals of 68 % are +- half (times 100 for Teff), those of 90 % twice as wide."""
    values = {"teff": 3200.0, "logg": 5.0, "mh": 0.0, "vsini": 5.0} | given
    row = {"star": name}
    for p, value in values.items():
        width = half * (100 if p == "teff" else 1)
        row |= {p: value, f"low68_{p}": value - width, f"high68_{p}": value + width}
        row |= {f"low90_{p}": value - 2 * width, f"high90_{p}": value + 2 * width}
    return pd.DataFrame([row])


# ---------------------------------------------------------------- entries


def test_every_value_has_a_source_of_the_bibliography_and_is_possible():
    bibliography = (registry.DATA.parents[1] / "book" / "references.bib").read_text()
    sources = real_stars.sources_of()
    for entry, value in VALUES:
        assert f"{{{sources[value.source].cite}," in bibliography
        low, high = real_stars.RANGES[value.parameter]
        assert low <= value.value <= high and not value.error <= 0, (entry.name, value)
    assert {value.source for _, value in VALUES} == set(sources)
    assert len(STARS) >= 5 and {entry.group for entry in STARS.values()} == {real_stars.EARLY, real_stars.LATE}
    for entry in STARS.values():
        assert not entry.spectra[0].cut and all(registry.get(part.file).group == "hpf" for part in entry.spectra)
        for part in entry.spectra:
            assert part.observed.replace("-", "").replace(":", "")[:13] in part.file


def test_limits_come_before_detections_of_networks():
    found = real_stars.published_of(STARS["GJ 699"], "vsini")
    assert (found.value, found.limit, found.source) == (2.0, True, "Rein18") and np.isnan(found.error)
    assert found.values[-1].source == "MB24" and len(found.values) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("value = 3200", "value = 320"), "field 'A 1.teff': cannot be 320 with an error of 60"),
        (("error = 60", "error = -1"), "field 'A 1.teff': cannot be 3200 with an error of -1"),
        (('"teff"', '"radius"'), "field 'A 1.parameter': cannot be 'radius'"),
        (('source = "Mann15" }', 'source = "Nobody" }'), "'Nobody' is not among the sources"),
        (('source = "Mann15" }', 'source = "Rein18" }'), "'Rein18' has no place in ORDER"),
        ((', source = "Mann15"', ""), "field 'A 1.source': is missing"),
        (("limit = true", "limit = true, error = 1"), "field 'A 1.vsini': is a limit and has an error"),
        (("error = 60", "errors = 60"), "field 'A 1.errors': is unknown"),
        (('"M3.5"', '"K5"'), "field 'A 1.spectral_type': cannot be 'K5'"),
        (('"2018-10-03"', '"yesterday"'), "field 'A 1.observed': cannot be 'yesterday'"),
        (("[[star]]", "[[star"), "cannot be read"),
    ],
)
def test_entries_that_are_wrong_are_refused(tmp_path, change, message):
    path = tmp_path / "stars.toml"
    path.write_text(GOOD)
    assert list(real_stars.load_real_stars(path)) == ["A 1"]
    assert change[0] in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(DataError, match=re.escape(message)) as error:
        real_stars.load_real_stars(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_stars_files_and_values_are_there_once(tmp_path):
    entry = GOOD[GOOD.index("[[star]]") :]
    line = '  { parameter = "teff", value = 3200, error = 60, source = "Mann15" },\n'
    for number, (text, message) in enumerate((
        (GOOD + entry, "A 1 is the same star"),
        (GOOD + entry.replace('"A 1"', '"B 2"\nother_names = ["a1"]').replace("a.f", "b.f"), "A 1 is the same star"),
        (GOOD + entry.replace('"A 1"', '"B 2"'), "observed/a.fits is there twice"),
        (GOOD.replace(line, 2 * line), "has two values of Mann15"),
    )):  # fmt: skip
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            real_stars.load_real_stars(path)


def test_rows_beside_estimates_have_the_values_of_their_sources():
    found = real_stars.published_rows()
    assert list(found) == list(STARS)
    assert [row[:4] for row in found["GJ 699"]] == [(3254, 5.13, -0.57, 2.0), (3353, 4.96, -0.22, 3.08)]
    assert [row[:4] for row in found["G 9-40"]] == [(3404, None, -0.08, None)]
    assert [row[:4] for row in found["VB 10"]] == [(2508, 5.24, None, 2.7)]  # [M/H] is that of its companion
    assert "v sin i: upper limit of Reiners+ 2018" in found["GJ 699"][0][4] and "v sin i" not in found["GJ 699"][1][4]
    assert found["VB 10"][0][4].startswith("Pineda+ 2021, log g from")
    for name, rows in found.items():
        for *row, _ in rows:
            known = {(entry.parameter, entry.value) for entry in STARS[name].published if not entry.of}
            assert {(p, v) for p, v in zip(PARAMETERS, row, strict=True) if v is not None} <= known


@pytest.mark.data
def test_values_are_those_of_the_published_tables():
    frames = catalogues.read_sources() | {"MB24": catalogues.read_published()}
    compared = 0
    for entry, value in VALUES:
        if value.source not in frames:  # Stefansson+ 2020 and Pineda+ 2021 have no table here
            continue
        karmn = "J19169+051N" if value.of == "GJ 752 A" else entry.karmn
        frame = frames[value.source]
        (row,) = frame[frame["karmn"] == karmn].to_dict("records")
        digits = {"teff": 0, "logg": 3, "mh": 2, "vsini": 1}[value.parameter]
        assert value.value == pytest.approx(row[value.parameter], abs=0.6 * 10**-digits + 0.005 * (digits == 3)), value
        errors = [row.get(f"{side}{value.parameter}", np.nan) for side in ("e_", "E_")]
        if np.isfinite(value.error):
            assert value.error == pytest.approx(np.nanmax(errors), rel=0.08), value
        compared += 1
    assert compared > 70


# ---------------------------------------------------------------- the adopted value


def test_the_adopted_value_is_that_of_the_first_source_and_its_error_contains_the_spread():
    known = star(("mh", -0.2, 0.3, "MB24"), ("mh", 0.0, 0.3, "Mar21"), ("mh", -0.4, 0.4, "Mann15"))
    found = real_stars.published_of(known, "mh")
    assert (found.value, found.source) == (-0.4, "Mann15")
    assert [value.source for value in found.values] == ["Mann15", "Mar21", "MB24"]
    assert found.spread == pytest.approx(0.2) and found.error == pytest.approx(np.hypot(0.4, 0.2))
    assert real_stars.published_of(known, "teff") is None
    alone = real_stars.published_of(star(("mh", 0.1, 0.08, "Mann15")), "mh")
    assert alone.error == 0.08 and np.isnan(alone.spread)
    without = real_stars.published_of(star(("logg", 5.2, np.nan, "Pineda21")), "logg")
    assert np.isnan(without.error) and not without.limit
    with pytest.raises(ConfigError, match="unknown parameter 'feh'"):
        real_stars.published_of(known, "feh")


def test_limits_do_not_count_in_the_spread():
    known = star(("vsini", 2.0, None, "Rein18"), ("vsini", 5.0, 1.0, "Pass20"), ("vsini", 3.0, 1.0, "MB24"))
    assert real_stars.published_of(known, "vsini").spread == pytest.approx(np.sqrt(2))


@pytest.mark.data
@pytest.mark.parametrize("parameter", FIRST)
def test_sources_of_one_kind_are_in_the_order_of_their_distance_from_the_first(parameter):
    frames = {name: frame.set_index("karmn") for name, frame in catalogues.read_sources().items()}
    assert real_stars.ORDER[parameter][0] == FIRST[parameter] and real_stars.ORDER[parameter][-1] == "MB24"

    def distance(name):
        return np.sqrt(((frames[name][parameter] - frames[FIRST[parameter]][parameter]) ** 2).mean())

    for kind in (FITS[parameter], CALIBRATED.get(parameter, ())):
        far = [distance(name) for name in kind]
        assert far == sorted(far), dict(zip(kind, far, strict=True))
        assert [name for name in real_stars.ORDER[parameter] if name in kind] == list(kind)


# ---------------------------------------------------------------- ours against published


def test_differences_are_in_units_of_both_errors():
    known = {"A 1": star(("teff", 3000, 75.0, "Mann15"), ("mh", 0.5, np.nan, "Mann15"))}
    found = real_stars.compare(estimates(teff=3200.0), known).set_index("parameter")
    assert list(found.index) == ["teff", "mh"]
    teff = found.loc["teff"]
    assert teff["difference"] == 200 and teff["sigma"] == pytest.approx(200 / 125)  # hypot(100, 75)
    assert not teff["inside_68"] and teff["inside_90"] and teff["group"] == real_stars.EARLY
    mh = found.loc["mh"]
    assert mh["difference"] == -0.5 and mh["sigma"] == pytest.approx(-0.5) and mh["inside_68"]


def test_the_side_of_the_error_bar_is_the_one_towards_the_published_value():
    row = estimates(mh=0.0)
    row["low68_mh"], row["high68_mh"] = -0.1, 0.4
    for published, sigma in ((-0.2, 2.0), (0.2, -0.5)):
        known = {"A 1": star(("mh", published, np.nan, "Mann15"))}
        assert real_stars.compare(row, known)["sigma"].item() == pytest.approx(sigma)


@pytest.mark.parametrize(
    ("ours", "difference", "sigma", "inside"),
    [
        (1.0, 0.0, 0.0, (True, True)),
        (2.0, 0.0, 0.0, (True, True)),
        (2.75, 0.75, 0.75, (True, True)),  # 1.75 to 3.75
        (3.5, 1.5, 1.5, (False, True)),
        (4.5, 2.5, 2.5, (False, False)),
    ],
)
def test_an_upper_limit_is_kept_or_exceeded(ours, difference, sigma, inside):
    known = {"A 1": star(("vsini", 2.0, None, "Rein18"))}
    (row,) = real_stars.compare(estimates(vsini=ours), known).to_dict("records")
    assert (row["difference"], row["sigma"]) == (difference, pytest.approx(sigma)) and row["limit"]
    assert (row["inside_68"], row["inside_90"]) == inside


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.floats(-1, 0.5), st.floats(-1, 0.5), st.floats(0.01, 1))
def test_a_value_inside_the_error_bar_differs_by_one_error_at_most(ours, published, half):
    known = {"A 1": star(("mh", published, 0.1, "Mann15"))}
    (row,) = real_stars.compare(estimates(mh=ours, half=half), known).to_dict("records")
    assert not row["inside_68"] or abs(row["sigma"]) <= 1 and row["inside_90"]


def test_no_star_is_judged_by_a_model_that_has_seen_it():
    rows = estimates("GJ 699")
    assert len(real_stars.compare(rows, seen=["GJ 273"])) == 4
    for name in ("GJ 699", "gj699", "Barnard's star", "J17578+046"):
        with pytest.raises(DataError, match="GJ 699 has been seen by the model; judge it by a model that was"):
            real_stars.compare(rows, seen=["GJ 273", name])
    assert loading.load().seen == tuple(sorted(load_corrections().meta["stars"]))
    (one, *_) = loading.load().specialists
    again = type(one)(one.arrays, one.card | {"real_stars": ["Barnard's star"]})
    assert loading.Model([again]).seen == ("Barnard's star",)


def test_unknown_stars_and_missing_columns_are_named():
    with pytest.raises(DataError, match="no published values of 'GJ 1'; known: GJ 699"):
        real_stars.compare(estimates("GJ 1"))
    with pytest.raises(DataError, match="field 'low90_mh': no such column"):
        real_stars.compare(estimates("GJ 699").drop(columns="low90_mh"))


def planted(differences, parameter="mh", spectral_type="M3", half=0.2):
    """A comparison of stars whose estimates differ from the published values by known amounts."""
    known = {f"A {k}": star((parameter, 0.0, 0.1, "Mann15"), name=f"A {k}", spectral_type=spectral_type)
             for k in range(len(differences))}  # fmt: skip
    rows = [estimates(f"A {k}", half, **{parameter: value}) for k, value in enumerate(differences)]
    return real_stars.summary(real_stars.compare(pd.concat(rows), known)).set_index(["group", "parameter"])


def test_the_summary_is_that_of_known_differences():
    differences = [-0.3, -0.4, -0.5, -0.4]
    found = planted(differences).loc[(real_stars.EARLY, "mh")]
    assert found["n"] == 4 and found["bias"] == pytest.approx(-0.4)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(differences))))
    assert found["e_bias"] == pytest.approx(np.std(differences, ddof=1) / 2)
    assert (found["inside_68"], found["inside_90"]) == (0, 3) and found["fails"]


def test_what_fails_is_biased_or_outside_of_the_error_bars():
    assert not planted([-0.2, 0.1, 0.15, -0.1]).loc[(real_stars.EARLY, "mh"), "fails"]
    assert planted([-0.5, 0.5, 0.6, -0.6]).loc[(real_stars.EARLY, "mh"), "fails"]  # no bias, none inside
    late = planted([-0.5], spectral_type="M8")
    assert late.loc[(real_stars.LATE, "mh"), "n"] == 1 and not late.loc[(real_stars.LATE, "mh"), "fails"]
    assert np.isnan(late.loc[(real_stars.LATE, "mh"), "e_bias"])
    assert not late.loc[real_stars.EARLY][["n", "n_limits", "fails"]].any(axis=None)


@pytest.mark.parametrize(("kind", "group"), [("M5", "to M5"), ("M5.5", "M6 and later"), ("M8", "M6 and later")])
def test_groups_by_spectral_type(kind, group):
    assert star(spectral_type=kind).group == group


def test_changes_are_counted_from_the_same_exposure_and_exposures_from_the_first():
    names = ("star", "file", "variant", *PARAMETERS)
    rows = [
        ("A", "1", "exposure", 3000, 5, 0.0, 2), ("A", "1", "S/N = 20", 3010, 5, 0.1, 2),
        ("A", "1", "S/N = 20", 2990, 5, 0.3, 2), ("A", "2", "exposure", 3100, 5, 0.0, 2),
        ("A", "2", "S/N = 20", 3130, 5, 0.2, 2), ("A", "3", "cut", 3050, 5, 0.0, 2),
    ]  # fmt: skip
    found = real_stars.variation(pd.DataFrame(rows, columns=names)).set_index(["variant", "parameter"])
    noise = found.loc[("S/N = 20", "teff")]
    assert (noise["n"], noise["n_stars"], noise["shift"]) == (3, 1, 10) and noise["rms"] == pytest.approx(
        np.sqrt((100 + 100 + 900) / 3)
    )
    assert found.loc[("S/N = 20", "mh"), "shift"] == pytest.approx(0.2)
    assert found.loc[("another exposure", "teff"), "shift"] == 100 and found.loc[("cut", "teff"), "shift"] == 50


# ---------------------------------------------------------------- spectra


def test_spectra_that_are_not_at_hand_are_none_and_options_reach_the_reader(cache, tmp_path, monkeypatch):
    known = star()
    assert real_stars.read_spectrum(known, known.spectra[0]) is None
    calls = []
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    monkeypatch.setattr(readers, "read", lambda path, **options: calls.append((path, options)))
    (tmp_path / "observed" / "more").mkdir(parents=True)
    (tmp_path / "observed" / "more" / "a.fits").write_text("x")
    entry = dataclasses.replace(
        known.spectra[0], file="observed/more/a.fits", options={"calibration": "..", "berv": -21.0}
    )
    real_stars.read_spectrum(known, entry)
    ((path, options),) = calls
    assert path == tmp_path / "observed" / "more" / "a.fits" and options["star"] == "A 1" and options["berv"] == -21.0
    assert options["calibration"].resolve() == tmp_path / "observed"


def test_summary_of_the_test_has_bias_rmse_and_the_verdict_on_the_goals():
    rows = [("teff", 3200.0, 0.0, 90.0), ("teff", 3400.0, 60.0, -90.0), ("mh", 0.0, 0.1, 0.1), ("mh", 0.2, 0.05, -0.1)]
    rows = [dict(zip(("parameter", "published", "ours", "library"), row, strict=True), prior=1.0) for row in rows]
    frame = pd.DataFrame(rows)
    frame[["ours", "library"]] = frame[["ours", "library"]].add(frame["published"], axis=0)
    found = real_stars.left_out_summary(frame).set_index(["estimate", "parameter"])
    assert set(found.index.get_level_values("parameter")) == {"teff", "mh"} < set(real_stars.GOALS)  # no star has log g
    teff, mh = found.loc[("ours", "teff")], found.loc[("ours", "mh")]
    assert (teff["n"], teff["bias"], teff["e_bias"]) == pytest.approx((2, 30, 30))
    assert teff["rmse"] == pytest.approx(np.sqrt(1800)) and teff["met"]
    assert mh["bias"] == pytest.approx(0.075) and mh["rmse"] < 0.12 and not mh["met"]  # for its bias
    assert not found.loc[("library", "teff"), "met"]  # for its rmse
    assert found.loc[("library", "mh"), "bias"] == pytest.approx(0, abs=1e-12) and found.loc[("library", "mh"), "met"]
    one = real_stars.left_out_summary(frame.iloc[:1])
    assert np.isnan(one["e_bias"]).all() and one["n"].tolist() == [1, 1, 1]
