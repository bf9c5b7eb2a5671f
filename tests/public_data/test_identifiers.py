"""Ks and parallax by identifiers: a server on the loopback address in place of the Gaia archive."""

import functools
import io
import re
from urllib.parse import parse_qs

import numpy as np
import pytest
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Loopback, good, instead, kept, status

from dtl_core.errors import DataError
from dtl_core.public_data import archives, download, identifiers, registry
from dtl_core.public_data.identifiers import TOLERANCE, complete

# source_id, parallax, parallax_error, number_of_mates, designation, ks_m, ks_msigcom, ph_qual
BARNARD = (4472832130942575872, 546.976, 0.040, 0, "17574849+0441405", 4.524, 0.020, "AAA")
LALANDE = (762815470562110464, 392.753, 0.032, 0, "11032023+3558203", 3.254, 0.306, "DDD")  # saturated
PAIR = [
    (101, 100.0, 0.1, 1, "10000000-1000000", 8.0, 0.02, "AAA"),
    (102, 100.2, 0.1, 1, "10000000-1000000", 8.0, 0.02, "AAA"),
]
FAINT = (103, None, None, 0, None, None, None, None)  # no parallax, and 2MASS does not see it
FAR = (104, -0.2, 0.1, 0, "12000000+1200000", 9.0, 0.03, "AAB")
ALONE = (None, None, None, None, "13000000+1300000", 9.5, 0.03, "AAA")  # no match with Gaia
SKY = [BARNARD, LALANDE, *PAIR, FAINT, FAR, ALONE]
NAMES = ["source_id", "parallax", "parallax_error", "number_of_mates", "designation", "ks_m", "ks_msigcom", "ph_qual"]
TYPES = ["i8", "f8", "f4", "i2", "U16", "f4", "f4", "U3"]


def archive(request, body):
    """The rows of SKY that an ADQL query asks for, as a VOTable."""
    query = parse_qs(request.server.posts[-1])["QUERY"][0]
    assert re.search(r" WHERE (g\.source_id|t\.designation) IN \(", query)
    kind, ids = re.search(r"WHERE \w\.(\w+) IN \((.*)\)", query).groups()
    wanted = re.findall(r"[\d+-]+", ids)
    rows = [row for row in SKY if str(row[NAMES.index(kind)]) in wanted]
    columns = []
    for k, (name, kind) in enumerate(zip(NAMES, TYPES, strict=True)):
        values = [row[k] for row in rows]
        filled = [("" if kind[0] == "U" else 0) if value is None else value for value in values]
        columns.append(MaskedColumn(np.array(filled, kind), name=name, mask=[value is None for value in values]))
    file = io.BytesIO()
    writeto(from_table(Table(columns)), file)
    good(request, file.getvalue())


@pytest.fixture
def server(cache, monkeypatch):
    loopback = Loopback()
    monkeypatch.setenv("DTL_GAIA_URL", f"{loopback.url}/gaia")
    quick = functools.partial(download.Downloader, timeout=2, tries=2, backoff=0.01)
    monkeypatch.setattr(download, "Downloader", quick)
    loopback.serve("/gaia/sync", b"", *[archive] * 9)
    yield loopback
    loopback.stop()


def test_a_star_is_completed_by_either_identifier(server):
    by_gaia, by_tmass = {"gaia_dr3": BARNARD[0]}, {"tmass": "J17574849+0441405"}
    found = complete({"A": by_gaia, "B": by_tmass, "C": by_gaia | by_tmass, "D": {"ks": 5.0}})
    for star in "ABC":
        expected = {"ks": 4.524, "e_ks": 0.020, "parallax": 546.976, "e_parallax": 0.040}
        assert found[star] == pytest.approx(expected)
    assert found["D"] == {"ks": 5.0}


@pytest.mark.parametrize("text", ["Gaia DR3 4472832130942575872", "gaia dr3 4472832130942575872 ", BARNARD[0]])
def test_prefixes_and_all_digits_of_an_identifier_are_understood(server, text):
    assert complete({"A": {"gaia_dr3": text}})["A"]["ks"] == pytest.approx(4.524)


@pytest.mark.parametrize("text", ["2MASS J17574849+0441405", "2M17574849+0441405", "17574849+0441405"])
def test_prefixes_of_a_designation_are_understood(server, text):
    assert complete({"A": {"tmass": text}})["A"]["parallax"] == pytest.approx(546.976)


def test_given_values_stay_and_contradictions_are_named(server):
    name = {"gaia_dr3": BARNARD[0]}
    found = complete({
        "same": name | {"ks": 4.524 + TOLERANCE - 0.01, "parallax": 540.0},
        "ks": name | {"ks": 5.0},
        "parallax": name | {"ks": 4.5, "parallax": 400.0},
        "names": {"gaia_dr3": 104, "tmass": "17574849+0441405"},
    })  # fmt: skip
    assert found["same"] == {"ks": 4.524 + TOLERANCE - 0.01, "parallax": 540.0}
    assert found["ks"]["ks"] == 5.0 and found["ks"]["parallax"] == pytest.approx(546.976)
    (remark,) = found["ks"]["remarks"]
    assert "ks = 5.00 of the table and 4.52 of 2MASS J17574849+0441405 contradict each other" in remark
    (remark,) = found["parallax"]["remarks"]
    assert "parallax = 400.00 of the table and 546.98 of Gaia DR3 4472832130942575872" in remark
    assert found["names"]["ks"] == pytest.approx(4.524) and found["names"]["parallax"] == pytest.approx(546.976)
    assert any("4.52 of 2MASS J17574849+0441405 and 9.00 of 2MASS J12000000+1200000" in remark
               for remark in found["names"]["remarks"])  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.floats(3, 10), st.floats(5, 600))
def test_a_warning_comes_beyond_the_tolerance_only(ks, parallax):
    rows = {"source_id": "1", "designation": "a", "ks_m": 6.0, "ph_qual": "AAA", "parallax": 100.0}
    found = identifiers._completed({"ks": ks, "parallax": parallax}, {"gaia_dr3": [rows]}, [])
    expected = [abs(ks - 6) > TOLERANCE, abs(5 * np.log10(parallax / 100)) > TOLERANCE]
    assert len(found.get("remarks", ())) == sum(map(int, expected)) and (found["ks"], found["parallax"]) == (
        ks,
        parallax,
    )


@pytest.mark.parametrize(
    ("given", "left", "words"),
    [
        ({"gaia_dr3": LALANDE[0]}, {"parallax"}, ["2MASS flags Ks of J11032023+3558203 as unreliable (quality D)"]),
        ({"tmass": "10000000-1000000"}, {"ks"}, ["more than one source", "is 2 sources in Gaia DR3: no parallax used"]),
        ({"gaia_dr3": 101}, {"ks", "parallax"}, ["its Ks may be that of several stars"]),
        ({"gaia_dr3": 103}, set(), ["103 has no counterpart in 2MASS", "103 has no parallax"]),
        ({"gaia_dr3": 104}, {"ks"}, ["104 has no parallax, or none that is positive"]),
        ({"tmass": "13000000+1300000"}, {"ks"}, ["has no counterpart in Gaia DR3"]),
        ({"gaia_dr3": 999}, set(), ["Gaia DR3 999 is not in the archive"]),
        ({"tmass": "00000000+0000000"}, set(), ["2MASS J00000000+0000000 is not in the archive"]),
        ({"gaia_dr3": LALANDE[0], "ks": 3.34}, {"ks", "parallax"}, []),  # a better one is given
        ({"gaia_dr3": 999, "ks": 3.34, "parallax": 10.0}, {"ks", "parallax"}, ["999 is not in the archive"]),
    ],
)
def test_what_the_archive_lacks_or_flags_is_said_and_not_used(server, given, left, words):
    found = complete({"A": given})["A"]
    assert {"ks", "parallax"} & found.keys() == left
    remarks = found.get("remarks", ())
    assert len(remarks) == len(words) and all(word in remark for word, remark in zip(words, remarks, strict=True))
    assert len(server.posts) == 1


def test_answers_are_kept_checked_and_asked_again_if_damaged(server, cache):
    known = {"A": {"gaia_dr3": BARNARD[0]}, "B": {"gaia_dr3": 999}}
    first = complete(known)
    assert complete(known) == first and len(server.posts) == 1
    complete(known | {"C": {"gaia_dr3": 104}})
    assert len(server.posts) == 2 and "999" not in parse_qs(server.posts[1])["QUERY"][0].rpartition(" IN ")[2]
    files = sorted((cache / "photometry").iterdir())
    assert len(files) == 2 and kept(cache) == sorted([*(path.name for path in files), "manifest.json"])
    meta = [Table.read(path).meta for path in files]
    assert all(one["server"] == f"{server.url}/gaia" and one["fetched"] for one in meta)
    assert all(registry.check(f"photometry/{path.name}")[0].status == "ok" for path in files)
    for path in files:
        path.write_text("broken")
    assert complete(known) == first and len(server.posts) == 3


def test_offline_the_cache_is_enough(server, monkeypatch):
    known = {"A": {"tmass": "17574849+0441405"}}
    first = complete(known)
    monkeypatch.setenv("DTL_OFFLINE", "1")
    assert complete(known) == first
    with pytest.raises(DataError, match="B has no ks and parallax, and the archive cannot be asked .*DTL_OFFLINE"):
        complete(known | {"B": {"tmass": "13000000+1300000"}})
    assert len(server.posts) == 1


@pytest.mark.parametrize("answer", [status(503), status(404), instead(b"<html>busy</html>")])
def test_without_an_answer_only_incomplete_stars_are_an_error(server, cache, answer):
    server.serve("/gaia/sync", b"", *[answer] * 9)
    name = {"gaia_dr3": BARNARD[0]}
    found = complete({"A": name | {"ks": 4.5, "parallax": 540.0}})["A"]
    assert found == {"ks": 4.5, "parallax": 540.0, "remarks": (f"Gaia DR3 {BARNARD[0]} was not looked up",)}
    with pytest.raises(DataError) as caught:
        complete({"A": name | {"ks": 4.5}}, "stars.csv")
    line = str(caught.value)
    assert line.startswith("stars.csv: field 'gaia_dr3': A has no parallax, and the archive cannot be asked")
    assert line.endswith("; give parallax in the table") and f"{server.url}/gaia" in line and "\n" not in line
    assert not cache.exists() or kept(cache) == []


def test_without_astroquery_the_extra_is_named(server, monkeypatch):
    monkeypatch.setattr(archives, "import_extra", lambda *_: (_ for _ in ()).throw(DataError("astroquery is absent")))
    with pytest.raises(DataError, match="astroquery is absent.*; give both in the table"):
        complete({"A": {"gaia_dr3": 1}}, "stars.csv")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gaia_dr3": 4.47e18}, "'4.47e.18' of A is not an identifier of Gaia DR3; give the digits"),
        ({"gaia_dr3": "Gaia DR2 4472832130942575872"}, "is not an identifier of Gaia DR3"),
        ({"gaia_dr3": -5}, "'-5' of A"),
        ({"tmass": "GJ 699"}, "'GJ 699' of A is not an identifier of 2MASS; give its designation"),
        ({"tmass": "17574849+0441405' OR '1'='1"}, "is not an identifier of 2MASS"),
    ],
)
def test_what_cannot_be_an_identifier_is_refused_before_anything_is_asked(server, given, words):
    with pytest.raises(DataError, match=words):
        complete({"A": given})
    assert not server.posts


def test_a_cache_that_cannot_be_written_is_one_line(server, monkeypatch):
    monkeypatch.setenv("DTL_CACHE", "/dev/null/cache")
    with pytest.raises(DataError, match="/dev/null/cache/photometry.*cannot be written.*set DTL_CACHE"):
        complete({"A": {"gaia_dr3": 104}})
