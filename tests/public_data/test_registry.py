"""The registry's entries, the order of mirror, cache and network, hashes, and tables through astroquery."""

import dataclasses
import io
import json
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from astropy.io.votable import from_table, writeto
from astropy.table import Table
from loopback import BODY, Loopback, entries, good, instead, kept, sha, stall, status
from phoenix_files import wave_file

from dtl_core.errors import DataError
from dtl_core.public_data import archives, fetching, phoenix, registry
from dtl_core.public_data.download import Downloader

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def server(monkeypatch):
    loopback = Loopback()
    for kind in ("VIZIER", "GAIA", "PHOENIX"):
        monkeypatch.setenv(f"DTL_{kind}_URL", f"{loopback.url}/{kind.lower()}")
    yield loopback
    loopback.stop()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("DTL_DATA", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def quick(**options):
    return Downloader(**dict(timeout=1.0, tries=2, backoff=0.01) | options)


def put(folder, name, body):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)
    return folder / name


# ---------------------------------------------------------------- the entries themselves


def test_every_group_has_entries_and_every_name_is_its_own():
    names = [resource.name for resource in registry.resources()]
    assert len(names) == len(set(names)) > 40
    assert {resource.group for resource in registry.resources()} == set(registry.GROUPS)
    assert all(
        len(resource.what.split()) > 2 and resource.licence and resource.checked for resource in registry.resources()
    )


def test_addresses_are_safe_and_pinned():
    for resource in registry.resources():
        if resource.kind == "file":
            host, owner, repository, commit, *path = resource.url.removeprefix("https://").split("/")
            assert host == "raw.githubusercontent.com" and re.fullmatch("[0-9a-f]{40}", commit) and path
            assert "+" not in resource.url and " " not in resource.url
        elif resource.url:
            assert resource.url.startswith("https://")
        else:
            assert resource.kind in ("derived", "embedded")


def test_names_of_catalogues_follow_their_identifiers():
    for resource in registry.resources("vizier"):
        assert resource.name == "vizier/" + resource.catalogue.replace("/", "_")


def test_every_citation_is_in_the_bibliography():
    known = re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.M)
    cited = {key for resource in registry.resources() for key in resource.cite}
    assert cited and cited <= set(known)


def test_the_package_and_its_entries_agree_on_the_embedded_files():
    rows = registry.verify(["embedded"])
    assert [(row.name, row.where, row.status) for row in rows] == [
        ("lte/grid_a.npz", "embedded", "ok"),
        ("lte/survey_b.npz", "embedded", "ok"),
        ("lte/survey_c_a.npz", "embedded", "ok"),
        ("lte/survey_c_b.npz", "embedded", "ok"),
        ("lte/sensitivities.npz", "embedded", "ok"),
    ]


@pytest.mark.data
def test_the_mirror_holds_what_the_entries_say(monkeypatch):
    monkeypatch.undo()  # the fixture has hidden DTL_DATA
    rows = [row for row in registry.verify() if row.where == "mirror"]
    assert len(rows) >= 28 and {row.status for row in rows} == {"ok"}


GOOD = """
[[resource]]
name = "a/b.csv"
group = "published"
kind = "file"
what = "a file"
url = "https://example.org/b.csv"
sha256 = "{digest}"
size = 3
licence = "MIT"
cite = []
checked = "no"
""".format(digest="0" * 64)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('what = "a file"', "", ["a/b.csv.what", "is missing"]),
        ('sha256 = "' + "0" * 64 + '"', "", ["a/b.csv.sha256", "is missing"]),
        ("size = 3", 'size = "3"', ["a/b.csv.size", "'3'", "not a int"]),
        ("size = 3", "size = 0", ["a/b.csv.size"]),
        ("size = 3", "size = true", ["a/b.csv.size", "True"]),
        ("size = 3", "size = 3\ncolour = 1", ["a/b.csv.colour", "unknown"]),
        ("0000", "zzzz", ["a/b.csv.sha256", "cannot be"]),
        ("https://example.org", "http://example.org", ["a/b.csv.url"]),
        ("https://example.org", "https://raw.githubusercontent.com/o/r/main", ["a/b.csv.url"]),
        ('"published"', '"publisher"', ["a/b.csv.group"]),
        ('kind = "file"', 'kind = "folder"', ["a/b.csv.kind"]),
        ('"a/b.csv"', '"../b.csv"', ["name", "'../b.csv'"]),
        ('name = "a/b.csv"', "", ["entry 1.name", "is missing"]),
        ("cite = []", 'cite = "x"', ["a/b.csv.cite"]),
        ("", GOOD, ["a/b.csv.name", "used twice"]),
    ],
)
def test_a_malformed_entry_is_named_with_its_field(tmp_path, old, new, words):
    path = put(tmp_path, "registry.toml", GOOD.encode())
    assert list(registry.load(path)) == ["a/b.csv"]
    path = put(tmp_path, "broken.toml", (GOOD.replace(old, new, 1) if old else GOOD + new).encode())
    with pytest.raises(DataError) as caught:
        registry.load(path)
    for word in [*words, "broken.toml", "correct the entry"]:
        assert word in str(caught.value)


def test_an_unknown_name_or_group_gets_the_nearest_one():
    with pytest.raises(DataError, match="no data named 'pas18.csv'; did you mean published/pass18.csv.* dtl data list"):
        registry.get("pas18.csv")
    with pytest.raises(DataError, match="no data named 'qqqqqqq'; all names: dtl data list"):
        fetching.fetch(["qqqqqqq"])
    with pytest.raises(DataError, match="no group 'moon'; choose one of published"):
        registry.resources("moon")


# ---------------------------------------------------------------- mirror, cache, network


def test_the_mirror_comes_before_the_cache_and_the_cache_before_the_network(server, monkeypatch, cache, mirror):
    entries(monkeypatch, server, ("p/a.csv", b"aaa"), ("p/b.csv", b"bbb"), ("p/c.csv", b"ccc"))
    put(cache, "p/a.csv", b"aaa")
    put(cache, "p/b.csv", b"bbb")
    assert registry.find("p/a.csv") == cache / "p/a.csv"
    in_mirror = put(mirror, "p/a.csv", b"aaa")
    assert registry.where("p/a.csv") == ("mirror", in_mirror)
    assert registry.where("p/c.csv") == ("-", None) and registry.find("p/c.csv") is None
    assert fetching.fetch(downloader=quick()) == [in_mirror, cache / "p/b.csv", cache / "p/c.csv"]
    assert [entry[0] for entry in server.log] == ["/p/c.csv"]  # only what was nowhere
    assert sorted(path.name for path in mirror.rglob("*")) == ["a.csv", "p"]  # nothing was written there


def test_find_all_takes_each_file_from_the_first_place_that_has_it(cache, mirror):
    one, two = put(cache, "h/S-1.fits", b"c"), put(cache, "h/S-2.fits", b"c")
    put(cache, "h/S-9.fits.part", b"half")
    other = put(mirror, "h/S-2.fits", b"m")
    three = put(mirror, "h/S-3.fits", b"m")
    assert registry.find_all("h/S-*.fits") == [one, other, three] and two != other
    assert registry.find_all("nowhere/*") == []


def test_without_settings_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("DTL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert registry.cache_root() == Path("/some/where/dtl-mdwarfs")


@pytest.mark.parametrize("switch", ["argument", "variable"])
def test_offline_nothing_is_asked_for(server, monkeypatch, cache, switch):
    entries(monkeypatch, server, ("p/a.csv", b"aaa"), ("p/b.csv", b"bbb"))
    put(cache, "p/a.csv", b"aaa")
    if switch == "variable":
        monkeypatch.setenv("DTL_OFFLINE", "1")
    options = dict(offline=switch == "argument", downloader=quick())
    assert fetching.fetch(["p/a.csv"], **options) == [cache / "p/a.csv"]
    with pytest.raises(DataError, match=r"p/b.csv is neither in DTL_DATA nor whole in the cache; fetch it without"):
        fetching.fetch(**options)
    assert not server.log and kept(cache) == ["a.csv"]


def test_what_can_be_fetched_stays_and_the_failures_are_one_line(server, monkeypatch, cache):
    entries(monkeypatch, server, *((f"p/{k}.csv", BODY) for k in range(4)))
    server.serve("/p/1.csv", BODY, status(404))
    server.serve("/p/2.csv", BODY[::-1])
    with pytest.raises(DataError) as caught:
        fetching.fetch(quiet=True, downloader=quick())
    line = str(caught.value)
    assert line.startswith("2 of 4 could not be fetched, the others are kept; first: ") and "\n" not in line
    assert "/p/1.csv" in line and "404" in line
    assert kept(cache) == ["0.csv", "3.csv"]


def test_a_broken_file_of_the_cache_is_reported_and_replaced(server, monkeypatch, cache):
    made = entries(monkeypatch, server, ("p/a.csv", BODY))
    path = put(cache, "p/a.csv", BODY[:-1] + b"!")
    assert registry.verify() == [("p/a.csv", "cache", "wrong hash", path)]
    with pytest.raises(DataError, match="nor whole in the cache"):
        fetching.fetch(offline=True)
    assert fetching.fetch(downloader=quick()) == [path] and path.read_bytes() == BODY
    path.write_bytes(BODY[:-1])
    assert registry.verify(["p/a.csv"])[0].status == "wrong size"
    server.serve("/p/a.csv", BODY, status(404))
    with pytest.raises(DataError, match="404"):
        fetching.fetch(downloader=quick())
    assert not path.exists() and registry.verify(list(made))[0].status == "absent"  # nobody finds the broken one


def test_a_broken_file_of_the_mirror_is_reported_but_never_touched(server, monkeypatch, mirror):
    entries(monkeypatch, server, ("p/a.csv", BODY))
    path = put(mirror, "p/a.csv", b"other")
    assert registry.verify() == [("p/a.csv", "mirror", "wrong size", path)]
    assert fetching.fetch() == [path] and path.read_bytes() == b"other" and not server.log


def test_names_and_groups_mix_and_a_group_leaves_out_what_has_no_origin(mirror):
    put(mirror, "published/fgk_m_6.csv", b"x")
    names = [resource.name for resource in registry.select(["published/pass18.csv", "published", "linelists"])]
    assert names.count("published/pass18.csv") == 1 and names[0] == "published/pass18.csv"
    assert "linelists/J07274+052.mas" in names
    assert "published/fgk_m_6.csv" in names and "published/stars_286.csv" not in names


def test_what_has_no_public_file_says_so(cache):
    with pytest.raises(DataError, match="stars_286.csv has no public file; set DTL_DATA to a folder that holds it"):
        fetching.fetch(["published/stars_286.csv"])
    with pytest.raises(DataError, match="phoenix/cut needs a range of labels; dtl data fetch phoenix"):
        fetching.fetch(["phoenix/cut"])
    assert fetching.fetch(["lte/grid_a.npz"])[0].is_file()


def test_a_cache_that_cannot_be_written_is_one_line(server, monkeypatch):
    monkeypatch.setenv("DTL_CACHE", "/dev/null/cache")
    server.serve("/vizier/viz-bin/votable", ANSWER)
    with pytest.raises(DataError, match="/dev/null/cache/vizier.*cannot be written.*set DTL_CACHE"):
        fetching.fetch([CATALOGUE], downloader=quick())
    entries(monkeypatch, server, ("p/a.csv", BODY))
    with pytest.raises(DataError, match="/dev/null/cache/p.*cannot be written.*set DTL_CACHE"):
        fetching.fetch(downloader=quick())


# ---------------------------------------------------------------- what has no fixed hash


def test_a_noted_hash_tells_later_damage(cache):
    path = put(cache, "v/t.ecsv", b"table")
    assert registry.check("v") == [("v", "cache", "unverifiable", cache / "v")]
    registry.record([path], "http://x")
    registry.record([put(cache, "w.ecsv", b"other")], "http://y")
    assert registry.check("v") == [("v/t.ecsv", "cache", "ok", path)]
    note = json.loads((cache / "manifest.json").read_text())["v/t.ecsv"]
    assert (
        note["sha256"] == sha(b"table") and note["url"] == "http://x" and re.fullmatch(r"\d{4}-\d\d-\d\d", note["date"])
    )
    path.write_bytes(b"tabel")
    assert registry.check("v")[0].status == "wrong hash" and not registry.in_place("v")
    path.unlink()
    assert registry.check("v")[0].status == "absent"
    assert kept(cache) == ["manifest.json", "w.ecsv"]


def votable(**tables):
    """Bytes of a VOTable with one resource and the given tables, named as VizieR does."""
    from astropy.io.votable.tree import Resource as VOResource
    from astropy.io.votable.tree import VOTableFile

    whole = VOTableFile()
    whole.resources.append(VOResource())
    for name, table in tables.items():
        one = from_table(table).get_first_table()
        one.name = name
        whole.resources[0].tables.append(one)
    file = io.BytesIO()
    writeto(whole, file)
    return file.getvalue()


CATALOGUE = "vizier/J_A+A_687_A205"
STARS = Table({"Karmn": ["J00051+457", "J00067-075"], "Teff": [3780.0, 3073.2], "n": np.ma.masked_equal([1, 0], 0)})
ANSWER = votable(**{"J/A+A/687/A205/table1": STARS, "J/A+A/687/A205/refs": STARS[:1]})


def test_a_catalogue_becomes_one_folder_of_tables(server, cache):
    server.serve("/vizier/viz-bin/votable", ANSWER, status(503), stall(500))
    (folder,) = fetching.fetch([CATALOGUE], quiet=True, downloader=quick(tries=3, timeout=0.5))
    assert sorted(path.name for path in folder.iterdir()) == ["refs.ecsv", "table1.ecsv"]
    table = Table.read(folder / "table1.ecsv")
    assert table["Karmn"].tolist() == ["J00051+457", "J00067-075"] and table["n"].tolist() == [1, None]
    np.testing.assert_array_equal(table["Teff"], STARS["Teff"])
    assert table.meta["catalogue"] == "J/A+A/687/A205" and table.meta["cite"] == ["masbuitrago2024"]
    assert table.meta["server"] == f"{server.url}/vizier" and re.match(r"\d{4}-\d\d-\d\dT", table.meta["fetched"])
    assert {"-source=J/A+A/687/A205", "-out.max=unlimited", "-out.all"} <= set(server.posts[0].split("\n"))
    assert len(server.posts) == 3
    assert [row.status for row in registry.verify([CATALOGUE])] == ["ok", "ok"]
    fetching.fetch([CATALOGUE])
    assert len(server.posts) == 3  # it is there
    (folder / "table1.ecsv").write_text("broken")
    fetching.fetch([CATALOGUE], downloader=quick())
    assert len(server.posts) == 4 and len(Table.read(folder / "table1.ecsv")) == 2
    assert kept(cache) == ["manifest.json", "refs.ecsv", "table1.ecsv"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (status(404), ["404", "may have moved"]),
        (instead(ANSWER[: len(ANSWER) // 2]), ["came without tables"]),
        (instead(votable()), ["J/A+A/687/A205 came without tables", "try again"]),
        (instead(b"<html>busy</html>"), ["came without tables"]),
        (good, ["the line was cut", "tries: 1"]),
    ],
)
def test_a_catalogue_that_fails_leaves_nothing(server, cache, answer, words):
    if answer is good:
        answer = lambda request, body: good(request, body, upto=500)  # noqa: E731
    server.serve("/vizier/viz-bin/votable", ANSWER, answer)
    with pytest.raises(DataError) as caught:
        fetching.fetch([CATALOGUE], downloader=quick(tries=1))
    for word in [*words, f"{server.url}/vizier"]:
        assert word in str(caught.value)
    assert not cache.exists() or kept(cache) == []


def gaia_answer(request, body):
    """Rows for the stars that the query names, as a TAP server does; it does not know number 13."""
    query = parse_qs(request.server.posts[-1])["QUERY"][0]
    ids = [int(star) for star in re.findall(r"\d+", query.split(" IN ")[1]) if star != "13"]
    columns = {name: np.zeros(len(ids)) for name in archives.GAIA_COLUMNS if name != "source_id"}
    good(request, votable(result=Table({"source_id": np.array(ids, np.int64)} | columns)))


def stars(mirror, ids):
    put(mirror, "published/stars_286.csv", "\n".join(["karmn,gaia_dr3_id", *(f"x,{star}" for star in ids)]).encode())


def test_gaia_is_asked_in_pieces_and_what_it_does_not_know_is_noted(server, cache, mirror):
    ids = [*range(1, 251), ""]
    stars(mirror, ids)
    server.serve("/gaia/sync", b"", *[gaia_answer] * 2, status(500), gaia_answer)
    (path,) = fetching.fetch(["gaia"], quiet=True, downloader=quick())
    table = Table.read(path)
    assert table["source_id"].tolist() == [star for star in range(1, 251) if star != 13]
    assert table.meta["missing"] == [13] and table.meta["server"] == f"{server.url}/gaia"
    assert table.colnames == list(archives.GAIA_COLUMNS)
    assert len(server.posts) == 4 and registry.verify(["gaia"])[0].status == "ok"
    assert kept(cache) == ["dr3_286.ecsv", "manifest.json"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([status(400)], ["400", "may have moved"]),
        ([stall()], ["no answer for 0.5 s"]),
        ([gaia_answer], ["knows none of the stars"]),
        ([lambda request, body: good(request, ANSWER, upto=500)], ["the line was cut"]),
        ([instead(b"<html>busy</html>")], ["not a table"]),
    ],
)
def test_gaia_that_fails_leaves_nothing(server, cache, mirror, answers, words):
    stars(mirror, [13])
    server.serve("/gaia/sync", ANSWER, *answers)
    with pytest.raises(DataError) as caught:
        fetching.fetch(["gaia"], downloader=quick(tries=1, timeout=0.5))
    for word in [*words, f"{server.url}/gaia"]:
        assert word in str(caught.value)
    assert not cache.exists() or kept(cache) == []


def test_gaia_needs_the_list_of_stars(server):
    with pytest.raises(DataError, match=r"needs published/stars_286.csv; set DTL_DATA, or give gaia_table your"):
        fetching.fetch(["gaia"])


def test_a_file_without_a_published_hash_gets_one_when_it_arrives(server, monkeypatch, cache):
    name, body = "isochrones/BHAC15_iso.2mass", b"! t (Gyr) = 0.1000\n" * 50
    entry = dataclasses.replace(registry.get(name), url=server.serve("/iso", body))
    monkeypatch.setattr(registry, "load", lambda: {name: entry})
    (path,) = fetching.fetch([name], quiet=True, downloader=quick())
    assert path.read_bytes() == body and [row.status for row in registry.verify([name])] == ["ok"]
    path.write_bytes(body[:-1])
    assert registry.verify([name])[0].status.startswith("wrong")
    fetching.fetch([name], quiet=True, downloader=quick())
    assert path.read_bytes() == body and registry.find_all("isochrones/BHAC15_iso*") == [path]


def test_the_wavelength_file_of_phoenix_is_fetched_by_its_name(server, cache):
    name = f"phoenix/{phoenix.WAVE_FILE}"
    server.serve(f"/{name}", wave_file())
    (path,) = fetching.fetch([name], downloader=quick())
    assert path == cache / name and registry.verify([name])[0].status == "ok"
    path.write_bytes(b"damaged")
    fetching.fetch([name], downloader=quick())
    assert registry.verify([name])[0].status == "ok" and len(server.log) == 2
    shutil.rmtree(cache)
    server.serve(f"/{name}", b"<html>not found</html>")
    with pytest.raises(DataError, match="not a whole FITS file"):
        fetching.fetch([name], downloader=quick())
    assert kept(cache) == []


def test_the_remedy_is_one_that_helps():
    assert registry.remedy("published/pass18.csv") == "dtl data fetch published/pass18.csv"
    assert registry.remedy("published/stars_286.csv") == "set DTL_DATA to a folder that holds it"
    assert registry.remedy("phoenix/cut").startswith("dtl data fetch phoenix --teff")
