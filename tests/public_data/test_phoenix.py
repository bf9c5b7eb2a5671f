"""PHOENIX-ACES: reading, names, ranges, fetching from the loopback address, cutting, and the library."""

import json

import numpy as np
import pytest
from astropy.io import fits
from loopback import Loopback, cut, kept, sha, status
from phoenix_files import WAVE, as_bytes, flux_of, spectrum, wave_file

from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.pipeline import conduct
from dtl_core.public_data import phoenix, registry
from dtl_core.public_data.download import Downloader
from dtl_core.public_data.phoenix import WAVE_FILE, fetch_range, file_name, label_range, read_phoenix
from dtl_core.synthetic import generation, label_grid
from dtl_core.synthetic.libraries import load_phoenix

INSIDE = (WAVE >= 8785) & (WAVE <= 8850)
SMALL = dict(teff=(3000, 3100), logg=(5.0, 5.0), mh=(-0.5, 0.0))
KEYS = {"PHXTEFF": 3500.0, "PHXLOGG": 5.0, "PHXM_H": 0.0, "PHXALPHA": 0.0}


def address(name):
    return f"/base/PHOENIX-ACES-AGSS-COND-2011/Z{name[13:17]}/{name}"


@pytest.fixture
def server(cache, monkeypatch):
    """Serves the wavelengths and a part of the grid in the library's layout."""
    loopback = Loopback()
    monkeypatch.setenv("DTL_PHOENIX_URL", f"{loopback.url}/base/")
    loopback.serve(f"/base/{WAVE_FILE}", wave_file())
    for node in label_range((3000, 3200), (4.5, 5.5), (-0.5, 0.5)):
        loopback.serve(address(file_name(*node)), spectrum(*node))
    yield loopback
    loopback.stop()


def quick(**options):
    return Downloader(**dict(timeout=2.0, tries=2, backoff=0.01) | options)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("place", ["beside", "above", "cache", "mirror", "given"])
def test_wavelengths_are_found_where_they_may_lie(tmp_path, cache, monkeypatch, place):
    folder = tmp_path / "PHOENIX-ACES-AGSS-COND-2011" / "Z-0.0"
    folder.mkdir(parents=True)
    (folder / file_name(3500, 5.0, 0.0)).write_bytes(spectrum())
    where = {"beside": folder, "above": tmp_path, "cache": cache / "phoenix", "given": tmp_path / "other"}
    where["mirror"] = tmp_path / "mirror" / "phoenix"
    where[place].mkdir(parents=True, exist_ok=True)
    (where[place] / WAVE_FILE).write_bytes(wave_file())
    if place == "mirror":
        monkeypatch.setenv("DTL_DATA", str(tmp_path / "mirror"))
    given = where[place] / WAVE_FILE if place == "given" else None
    wavelength, flux, labels = read_phoenix(folder / file_name(3500, 5.0, 0.0), given)
    np.testing.assert_array_equal(wavelength, WAVE)
    np.testing.assert_array_equal(flux, flux_of(3500, 5.0, 0.0))
    assert wavelength.dtype == flux.dtype == np.float64
    assert labels == {"teff": 3500.0, "logg": 5.0, "mh": 0.0, "alpha": 0.0}


def without(key):
    return {name: value for name, value in KEYS.items() if name != key}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["not found", "check the path"]),
        (b"", ["not a whole FITS file", "download the file again"]),
        (b"<html>not found</html>", ["not a whole FITS file"]),
        (spectrum()[:9000], ["not a whole FITS file", "download the file again"]),
        (as_bytes(None, KEYS), ["no spectrum in its primary HDU"]),
        (as_bytes(np.ones((2, 6000), "f4"), KEYS), ["no spectrum in its primary HDU"]),
        (as_bytes(np.ones(6000, "f4"), without("PHXTEFF")), ["PHXTEFF", "is missing", "HiRes file"]),
        (as_bytes(np.ones(6000, "f4"), without("PHXALPHA")), ["PHXALPHA", "is missing"]),
        (as_bytes(np.ones(6000, "f4"), KEYS | {"PHXLOGG": "five"}), ["PHXLOGG", "'five' is not a number"]),
        (as_bytes(np.ones(6000, "f4"), KEYS | {"PHXM_H": True}), ["PHXM_H", "True is not a number"]),
        (as_bytes(np.ones(5999, "f4"), KEYS), ["5999 fluxes for the 6000 wavelengths", WAVE_FILE, "one version"]),
    ],
)
def test_a_broken_spectrum_is_one_line(tmp_path, cache, content, words):
    (tmp_path / WAVE_FILE).write_bytes(wave_file())
    path = tmp_path / "lte.fits"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_phoenix(path)
    for word in [*words, "lte.fits: "]:
        assert word in str(caught.value)


def test_missing_or_broken_wavelengths_name_the_remedy(tmp_path, cache):
    path = tmp_path / "lte.fits"
    path.write_bytes(spectrum())
    with pytest.raises(DataError, match=f"lte.fits: no {WAVE_FILE} beside it or above; dtl data fetch phoenix"):
        read_phoenix(path)
    (tmp_path / WAVE_FILE).write_bytes(wave_file()[:20_000])
    with pytest.raises(DataError, match=f"{WAVE_FILE}: is not a whole FITS file"):
        read_phoenix(path)


# ---------------------------------------------------------------- names and ranges


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ((3500, 5.0, 0.0), "lte03500-5.00-0.0"),
        ((2300, 4.5, 0.5), "lte02300-4.50+0.5"),
        ((7000, 0.0, -1.5), "lte07000-0.00-1.5"),
        ((4000, 6.0, -0.0), "lte04000-6.00-0.0"),
    ],
)
def test_names_follow_the_librarys_signs(node, name):
    assert file_name(*node) == name + ".PHOENIX-ACES-AGSS-COND-2011-HiRes.fits"


def test_a_range_holds_its_nodes_with_both_ends():
    assert label_range((3000, 3150), (4.75, 5.0), (-0.5, 0.2)) == [
        (3000, 5.0, -0.5), (3000, 5.0, 0.0), (3100, 5.0, -0.5), (3100, 5.0, 0.0)
    ]  # fmt: skip
    assert len(label_range()) == 23 * 3 * 5
    labels = label_grid.label_grid(load_profile("paper").synthetic)  # all that a run can ask of the library
    nodes = np.array(label_range())
    assert np.all(nodes.min(0) <= labels.min(0)) and np.all(nodes.max(0) >= labels.max(0))
    with pytest.raises(DataError, match="'teff': 2000 to 2200 holds no node of PHOENIX-ACES; nodes: 2300, 2400"):
        label_range(teff=(2000, 2200))
    with pytest.raises(DataError, match="'mh'.* -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1"):
        label_range(mh=(0.5, 0.0))


# ---------------------------------------------------------------- fetching


def test_a_range_is_fetched_cut_and_the_originals_are_gone(server, cache, capsys):
    sizes = []
    paths = fetch_range(**SMALL, downloader=quick(), confirm=lambda size: sizes.append(size) or True)
    assert [path.name for path in paths] == [file_name(*node) for node in label_range(**SMALL)]
    assert "5 files, about 38 MB to fetch, 8785-8850 A of each kept" in capsys.readouterr().err
    assert sizes == [4 * 6.3e6 + 12.6e6]
    for node, path in zip(label_range(**SMALL), paths, strict=True):
        wavelength, flux, labels = read_phoenix(path)
        np.testing.assert_array_equal(wavelength, WAVE[INSIDE])
        np.testing.assert_array_equal(flux, flux_of(*node)[INSIDE])
        assert (labels["teff"], labels["logg"], labels["mh"]) == node
        header = fits.getheader(path)
        assert header["SRCHASH"] == sha(spectrum(*node)) and header["SRCURL"] == server.url + address(path.name)
        assert header["BUNIT"] == "erg/s/cm^2/cm"
    assert kept(cache) == sorted([WAVE_FILE, "manifest.json", *(path.name for path in paths)])
    assert {row.status for row in registry.verify(["phoenix"])} == {"ok"}
    assert server.busiest <= 2
    fetch_range(**SMALL, downloader=quick(), confirm=lambda size: False)  # nothing to confirm: all is there
    assert len(server.log) == 5 and "to fetch" not in capsys.readouterr().err


def test_whole_files_stay_when_asked_for_and_are_not_fetched_twice(server, cache, capsys):
    fetch_range(**SMALL, downloader=quick(), quiet=True)
    assert capsys.readouterr().err == ""
    fetch_range(**SMALL, downloader=quick(), keep_full=True)
    full = registry.find_all("phoenix/full/lte*.fits")
    originals = {file_name(*node): spectrum(*node) for node in label_range(**SMALL)}
    assert {path.name: path.read_bytes() for path in full} == originals
    n = len(server.log)
    fetch_range(**SMALL, window=(8780.5, 8880.0), offline=True)  # cut again from the whole files
    assert len(server.log) == n and registry.find_all("phoenix/full/lte*.fits") == full
    assert read_phoenix(registry.find_all("phoenix/cut/lte*.fits")[0])[0][-1] > 8879.9
    full[0].write_bytes(b"damaged")
    fetch_range(**SMALL, downloader=quick(), keep_full=True)
    assert full[0].read_bytes() == originals[full[0].name]


def test_whole_files_of_the_mirror_are_cut_without_network(server, cache, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror" / "phoenix"
    (mirror / "full").mkdir(parents=True)
    (mirror / WAVE_FILE).write_bytes(wave_file())
    for node in label_range(**SMALL):
        (mirror / "full" / file_name(*node)).write_bytes(spectrum(*node))
    monkeypatch.setenv("DTL_DATA", str(tmp_path / "mirror"))
    assert len(fetch_range(**SMALL, offline=True, quiet=True)) == 4
    assert not server.log and len(kept(mirror)) == 5


def test_damaged_or_narrow_cuts_are_made_anew(server, cache):
    first, second, third, _ = fetch_range(**SMALL, quiet=True, downloader=quick())
    first.write_bytes(b"damaged")
    second.write_bytes(spectrum()[:5000])
    registry.record([second], "here")  # damaged before it was noted
    n = len(server.log)
    fetch_range(**SMALL, quiet=True, downloader=quick())
    assert len(server.log) == n + 2
    np.testing.assert_array_equal(read_phoenix(first)[1], flux_of(3000, 5.0, -0.5)[INSIDE])
    fetch_range(**SMALL, window=(8781, 8850), quiet=True, downloader=quick())
    assert len(server.log) == n + 6 and read_phoenix(third)[0][0] < 8781.1


def test_what_fails_is_one_line_and_a_second_call_continues(server, cache):
    names = [file_name(*node) for node in label_range(**SMALL)]
    server.serve(address(names[0]), spectrum(3000, 5.0, -0.5), status(404))
    server.serve(address(names[1]), spectrum(3000, 5.0, 0.0), cut(16_384), cut(0))
    server.serve(address(names[2]), b"<html>moved</html>")
    with pytest.raises(DataError) as caught:
        fetch_range(**SMALL, quiet=True, downloader=quick())
    line = str(caught.value)
    assert line.startswith("3 of 4 could not be fetched, the others are kept; first: ") and names[0] in line
    part = names[1] + ".part"
    assert kept(cache) == sorted([WAVE_FILE, names[3], "manifest.json", part, part + ".tag"])
    server.serve(address(names[2]), spectrum(3100, 5.0, -0.5))
    assert len(fetch_range(**SMALL, quiet=True, downloader=quick())) == 4
    assert server.seen(address(names[1]))[-1][:2] == ["bytes=16384-", 206]
    assert kept(cache) == sorted([WAVE_FILE, "manifest.json", *names])


def test_nothing_is_asked_for_offline_or_unconfirmed_or_without_wavelengths(server, cache):
    with pytest.raises(
        DataError, match="phoenix/full/lte03000.*neither in DTL_DATA nor whole in the cache .nor 4 more"
    ):
        fetch_range(**SMALL, offline=True)
    with pytest.raises(DataError, match="nothing was fetched; confirm, or narrow the range"):
        fetch_range(**SMALL, quiet=True, confirm=lambda size: False)
    assert not server.log
    server.serve(f"/base/{WAVE_FILE}", wave_file(), status(404))
    with pytest.raises(DataError, match=f"{WAVE_FILE} not fetched: the server answers 404"):
        fetch_range(**SMALL, quiet=True, downloader=quick())
    assert len(server.log) == 1 and kept(cache) == []


def test_a_window_beyond_the_spectra_is_refused_and_leaves_no_cut(server, cache):
    with pytest.raises(DataError, match="does not reach over 8700-8850 A; narrow the window"):
        fetch_range(**SMALL, window=(8700, 8850), quiet=True, downloader=quick())
    assert not registry.find_all("phoenix/cut/*.fits") and not registry.find_all("phoenix/cut/.*")


def test_a_cut_that_cannot_be_written_leaves_nothing_half_done(server, cache, monkeypatch):
    write = fits.HDUList.writeto

    def full_disk(self, path):
        write(self, path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fits.HDUList, "writeto", full_disk)
    with pytest.raises(DataError, match=r"4 of 4 .*No space left on device.; free disk space or set DTL_CACHE"):
        fetch_range(**SMALL, quiet=True, downloader=quick())
    assert not list((cache / "phoenix" / "cut").iterdir())


def test_another_server_may_be_given(server, cache, monkeypatch):
    monkeypatch.setenv("DTL_PHOENIX_URL", "http://127.0.0.1:9/none")
    options = SMALL | dict(teff=(3000, 3000), mh=(0, 0))
    assert len(fetch_range(**options, base_url=f"{server.url}/base", quiet=True, downloader=quick())) == 1
    monkeypatch.delenv("DTL_PHOENIX_URL")
    assert phoenix._base_url(None) == "https://phoenix.astro.physik.uni-goettingen.de/data/v2.0/HiResFITS"


# ---------------------------------------------------------------- the library

GRID = dict(teff=(3000, 3200), logg=(4.5, 5.5), mh=(-0.5, 0.5))


@pytest.fixture
def cuts(server):
    return fetch_range(**GRID, quiet=True, downloader=quick())


def test_the_library_gives_its_nodes_back_exactly(cuts, cache):
    library = load_phoenix()
    assert library.teff.tolist() == [3000, 3100, 3200] and library.logg.tolist() == [4.5, 5.0, 5.5]
    assert library.mh.tolist() == [-0.5, 0.0, 0.5] and library.meta["library"] == "PHOENIX-ACES"
    np.testing.assert_array_equal(library.wavelength, WAVE[INSIDE])
    assert np.all(library.continuum == 1) and library.label.shape == (27, 3)
    expected = np.stack([flux_of(*node)[INSIDE].astype(float) for node in library.label])
    expected /= expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(generation.expand(library, library.label), expected, rtol=1e-12)
    between = generation.expand(library, [[3050, 5.0, 0.25]])[0]
    truth = flux_of(3050, 5.0, 0.25)[INSIDE]
    np.testing.assert_allclose(between, truth / truth.mean(), atol=1e-3)


@pytest.mark.slow
def test_a_run_takes_its_synthetic_spectra_from_the_library(cuts, cache, tmp_path):
    change = {"synthetic.library": "phoenix", "synthetic.n_spectra": 60, "synthetic.teff_min": 3000}
    change |= {"synthetic.teff_max": 3200, "synthetic.mh_min": -0.5, "synthetic.mh_max": 0.5}
    run = conduct.run("smoke", "synthetic", overrides=change, root=tmp_path / "results", quiet=True)
    flux, labels = run.synthetic["flux"], run.synthetic["labels"]
    assert flux.shape == (60, 3501) and labels[:, 0].min() >= 3000 and labels[:, 0].max() <= 3200
    deepest = run.wavelength[flux.argmin(axis=1)]
    np.testing.assert_allclose(deepest[labels[:, 3] < 10], 8809, atol=0.05)  # the line of flux_of
    inputs = json.loads((run.store.path("synthetic", run.keys["synthetic"]) / "manifest.json").read_text())["inputs"]
    assert len(inputs) == 27 and all(name.startswith("lte03") for name in inputs)


def test_the_library_loads_from_a_folder_and_a_part_of_it(cuts, cache):
    library = load_phoenix(cuts[0].parent, teff=(3000, 3100), logg=(4.5, 5.0), mh=(0.0, 0.5))
    assert library.norm.shape == (8, INSIDE.sum())


def test_a_hole_in_the_grid_is_named(cuts, cache):
    registry.find(f"phoenix/cut/{file_name(3100, 5.0, 0.0)}").unlink()
    with pytest.raises(DataError, match=r"holes: lte03100-5.00-0.0\S* is missing; dtl data fetch phoenix"):
        load_phoenix()
    registry.find(f"phoenix/cut/{file_name(3200, 5.0, 0.0)}").unlink()
    with pytest.raises(DataError, match="is missing and 1 more"):
        load_phoenix()


def test_what_makes_no_library_is_one_line(cuts, cache):
    with pytest.raises(DataError, match="'mh': has 1 PHOENIX nodes, two are needed"):
        load_phoenix(mh=(0, 0))
    with pytest.raises(DataError, match="'teff': has 0 PHOENIX nodes, two are needed; dtl data fetch phoenix"):
        load_phoenix(teff=(9000, 9900))
    (cuts[0].parent / "lte_copy.fits").write_bytes(cuts[3].read_bytes())
    with pytest.raises(DataError, match="is a second spectrum of its node"):
        load_phoenix()
    header = KEYS | {"PHXTEFF": 2900.0}
    both = [fits.PrimaryHDU(-np.ones(INSIDE.sum())), fits.ImageHDU(WAVE[INSIDE], name="WAVELENGTH")]
    both[0].header.update(header)
    fits.HDUList(both).writeto(cuts[0].parent / "lte_copy.fits", overwrite=True)
    with pytest.raises(DataError, match="lte_copy.fits: field 'flux': is not positive everywhere"):
        load_phoenix()
    both[1].data = both[1].data + 1
    fits.HDUList(both).writeto(cuts[0].parent / "lte_copy.fits", overwrite=True)
    with pytest.raises(DataError, match="lte_copy.fits: has other wavelengths"):
        load_phoenix()
