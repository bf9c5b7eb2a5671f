"""Where spectra come from: names of files, lists, patterns, and stores, whole, damaged or hostile."""

import json
import os

import layouts
import numpy as np
import pytest
from toys import simulated

from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.reading import readers, sources
from dtl_core.synthetic.examples import write_examples

N = 7


@pytest.fixture(scope="module")
def stars():
    """A few simulated spectra: wavelength (n_pixels,), and arrays by name."""
    wavelength, flux, _ = simulated(N)
    names = np.array([f"T{k} é" for k in range(N)])
    return wavelength, {"flux": flux.astype(np.float32), "uncertainty": np.full_like(flux, 0.01), "star": names,
                        "mask": np.zeros(flux.shape, bool), "berv": np.linspace(-20, 20, N)}  # fmt: skip


ABOUT = {"resolving_power": 53_000.0, "instrument": "TEST", "frame": "rest"}


def pieces(arrays, size=3):
    return [{name: values[k : k + size] for name, values in arrays.items()} for k in range(0, N, size)]


@pytest.fixture(params=["zarr", "parquet"])
def store(request, stars, tmp_path):
    path = tmp_path / f"stars.{request.param}"
    if request.param == "zarr":
        return sources.write_zarr(path, stars[0], pieces(stars[1]), N, rows=2, **ABOUT)
    return sources.write_parquet(path, stars[0], pieces(stars[1]), **ABOUT)


def test_a_store_gives_back_what_was_written_from_any_row_to_any_other(store, stars):
    source = sources.open_source(store)
    assert len(source) == N
    for start, stop in ((0, N), (1, 2), (2, 6), (6, 99)):
        spectra, refused = source.batch(start, stop).read()
        assert not refused and len(spectra) == min(stop, N) - start
        for k, spectrum in enumerate(spectra, start):
            kept = np.isin(stars[0], spectrum.wavelength)
            np.testing.assert_array_equal(spectrum.flux, stars[1]["flux"][k][kept])
            np.testing.assert_array_equal(spectrum.uncertainty, stars[1]["uncertainty"][k][kept])
            assert (spectrum.star, spectrum.berv, spectrum.frame) == (f"T{k} é", stars[1]["berv"][k], "rest")
            assert spectrum.resolving_power == 53_000 and spectrum.instrument == "TEST"
            assert spectrum.file == f"{store}/{k}"


def test_a_store_in_pieces_is_the_store(store):
    whole = sources.open_source(store, resolving_power=60_000.0).batch()
    spectra = [one for piece in whole.pieces(3) for one in piece.read()[0]]
    assert [one.star for one in spectra] == [one.star for one in whole.read()[0]]
    assert {one.resolving_power for one in spectra} == {60_000}


def test_several_parquet_files_are_one_store(stars, tmp_path):
    folder = tmp_path / "many.parquet"
    folder.mkdir()
    for number, part in enumerate(pieces(stars[1])):
        sources.write_parquet(folder / f"{number}.parquet", stars[0], [part], **ABOUT)
    spectra, _ = sources.open_source(folder).batch(2, 5).read()
    assert [one.star for one in spectra] == ["T2 é", "T3 é", "T4 é"]


def test_bad_rows_cost_themselves_alone(stars, tmp_path):
    arrays = {name: values.copy() for name, values in stars[1].items()}
    arrays["flux"][2] = np.nan
    path = sources.write_zarr(tmp_path / "x.zarr", stars[0], pieces(arrays), N, **ABOUT)
    spectra, refused = sources.open_source(path).batch().read()
    assert len(spectra) == N - 1
    ((name, error),) = refused
    assert name == f"{path}/2" and "flux" in error and "\n" not in error


def test_a_spoilt_piece_of_a_store_costs_its_rows_alone(stars, tmp_path):
    path = sources.write_zarr(tmp_path / "x.zarr", stars[0], pieces(stars[1]), N, rows=2, **ABOUT)
    (path / "flux" / "c" / "1" / "0").write_bytes(b"\x00 not compressed")
    spectra, refused = sources.open_source(path).batch().read()
    assert [one.star for one in spectra] == [f"T{k} é" for k in (0, 1, 4, 5, 6)]
    assert [name for name, _ in refused] == [f"{path}/2", f"{path}/3"]
    assert all("cannot be read" in error for _, error in refused)


@pytest.mark.parametrize("kind", ["zarr.json", "zgroup", "parquet"])
def test_what_is_no_store_is_one_line(tmp_path, kind):
    path = tmp_path / "x.parquet" if kind == "parquet" else tmp_path / "x.zarr"
    if kind == "parquet":
        path.write_bytes(b"PAR1 no")
    else:
        path.mkdir()
        (path / {"zgroup": ".zgroup"}.get(kind, kind)).write_text("{")
    with pytest.raises(DataError, match="cannot be opened") as caught:
        sources.open_source(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_arrays_that_are_missing_or_do_not_fit_are_named(stars, tmp_path):
    import zarr

    path = sources.write_zarr(tmp_path / "x.zarr", stars[0], pieces(stars[1]), N, **ABOUT)
    group = zarr.open_group(str(path), mode="r+")
    del group["star"]
    group.create_array("star", data=np.arange(3.0))
    with pytest.raises(DataError, match=r"star.*\(3,\)"):
        sources.open_source(path)
    del group["wavelength"]
    with pytest.raises(DataError, match="wavelength.*missing"):
        sources.open_source(path)


@pytest.mark.parametrize(("n", "said"), [(N + 3, f"{N} spectra given, {N + 3} announced"), (N - 1, "spectra left")])
def test_a_store_with_another_number_of_spectra_is_refused_and_not_left(stars, tmp_path, n, said):
    path = tmp_path / "x.zarr"
    with pytest.raises(DataError, match=said):
        sources.write_zarr(path, stars[0], pieces(stars[1]), n, **ABOUT)
    assert not path.exists()
    sources.write_zarr(path, stars[0], pieces(stars[1]), N, **ABOUT)
    with pytest.raises(DataError, match="exists already"):
        sources.write_zarr(path, stars[0], pieces(stars[1]), N, **ABOUT)
    assert len(sources.open_source(path)) == N, "what was there stays"


@pytest.mark.parametrize(("attribute", "value"), [("frame", "the rest"), ("resolving_power", "high")])
def test_attributes_that_mean_nothing_are_named(stars, tmp_path, attribute, value):
    path = sources.write_zarr(tmp_path / "x.zarr", stars[0], pieces(stars[1]), N, **ABOUT | {attribute: value})
    with pytest.raises(DataError, match=attribute):
        sources.open_source(path)


def test_a_codec_that_could_run_code_is_refused_before_anything_is_decoded(tmp_path):
    """In Zarr's second format an array of objects may name pickle as its filter."""
    path = tmp_path / "evil.zarr"
    for name, shape in (("flux", [2, 3]), ("wavelength", [3])):
        (path / name).mkdir(parents=True)
        meta = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "|O", "compressor": None, "order": "C",
                "fill_value": None, "filters": [{"id": "pickle", "protocol": 4}]}  # fmt: skip
        (path / name / ".zarray").write_text(json.dumps(meta))
        harmful = tmp_path / "harmed"
        (path / name / ("0.0" if len(shape) == 2 else "0")).write_bytes(
            b"cos\nsystem\n(S'touch " + os.fsencode(harmful) + b"'\ntR."
        )
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(DataError, match="codec 'pickle'"):
        sources.open_source(path)
    assert not (tmp_path / "harmed").exists()


def test_a_store_stands_alone(store, tmp_path):
    with pytest.raises(ConfigError, match="stands alone"):
        sources.open_source([store, tmp_path / "x.fits"])


def test_a_stamp_changes_with_the_spectra_and_with_nothing_else(store, stars):
    one = sources.open_source(store).batch(0, 3)
    assert one.stamp() == sources.open_source(store).batch(0, 3).stamp()
    others = sources.open_source(store).batch(1, 4), sources.open_source(store, medium="air").batch(0, 3)
    assert len({one.stamp(), *(other.stamp() for other in others)}) == 3
    file = next(path for path in sorted(store.rglob("*")) if path.is_file()) if store.is_dir() else store
    os.utime(file, (1, 1))
    assert sources.open_source(store).batch(0, 3).stamp() != one.stamp()


def test_empty_and_senseless_cells_cost_their_rows_alone(stars, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    flux = [list(map(float, one)) for one in stars[1]["flux"]]
    flux[1] = None
    table = pa.table({"flux": flux, "star": ["a", "b", None, "d", "e", "f", "g"], "berv": [None] + [0.0] * (N - 1)})
    about = ABOUT | {"wavelength": list(map(float, stars[0])), "frame": "observatory"}
    pq.write_table(table.replace_schema_metadata({"dtl": json.dumps(about)}), tmp_path / "x.parquet")
    spectra, refused = sources.open_source(tmp_path / "x.parquet").batch().read()
    assert [one.star for one in spectra] == ["a", "2", "d", "e", "f", "g"] and np.isnan(spectra[0].berv)
    assert [name for name, _ in refused] == [f"{tmp_path}/x.parquet/1"] and "'flux': is missing" in refused[0][1]
    pq.write_table(table.set_column(2, "berv", [["fast"] * N]).replace_schema_metadata({"dtl": json.dumps(about)}),
                   tmp_path / "y.parquet")  # fmt: skip
    spectra, refused = sources.open_source(tmp_path / "y.parquet").batch().read()
    assert not spectra and len(refused) == N and sum("cannot be read" in error for _, error in refused) == N - 1


def test_a_store_is_opened_once_for_all_its_batches(store, monkeypatch):
    source, opened = sources.open_source(store), []
    kind = type(source)
    monkeypatch.setattr(kind, "__init__", lambda self, *a, init=kind.__init__: opened.append(1) or init(self, *a))
    assert sum(len(piece.read()[0]) for piece in source.batch().pieces(2)) == N and len(opened) == 1


# ---------------------------------------------------------------- files


@pytest.fixture
def folder(tmp_path):
    write_examples(tmp_path / "stars")
    return tmp_path / "stars"


def test_folders_patterns_and_lists_mean_the_same_files(folder, tmp_path):
    files = sorted(map(str, folder.glob("*.ecsv")))
    (tmp_path / "list.txt").write_text("# three stars\n\n" + "\n".join(files) + "\n")
    for given in (folder, f"{folder}/*.ecsv", f"{tmp_path}/**/ex*.ecsv", f"@{tmp_path / 'list.txt'}", files):
        source = sources.Files(given)
        assert list(source.batch().paths) == files
        assert [name for k in range(3) for name in source.batch(k, k + 1).paths] == files
    assert len(sources.open_source(folder).batch(0, 2).read()[0]) == 2


def test_names_are_taken_as_they_are(tmp_path):
    odd = tmp_path / "a [b] * 'c' $(d).ecsv"
    odd.write_text("x")
    (source,) = sources.Files(str(odd)).batch(0, 1).paths
    assert source == str(odd)
    latin = os.fsencode(str(tmp_path)) + b"/caf\xe9.ecsv"
    with open(latin, "w") as file:
        file.write("x")
    assert os.fsdecode(latin) in sources.Files(str(tmp_path)).batch(0, 9).paths


@pytest.mark.parametrize(
    ("given", "words"),
    [("nothing/*.fits", "matches no file"), ("@absent.txt", "absent.txt.*cannot be read"), ("@bad.txt", "zero byte")],
)
def test_names_that_lead_nowhere_are_one_line(tmp_path, monkeypatch, given, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.txt").write_bytes(b"a\0b\n")
    with pytest.raises(DataError, match=words):
        sources.open_source(given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no spectra"):
        sources.open_source(tmp_path / "empty")


# ---------------------------------------------------------------- many spectra


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """A folder of 1,000 spectra of 1,000 stars, ten of them broken."""
    folder = tmp_path_factory.mktemp("thousand")
    table = layouts.columns(start=8790, stop=8845, step=0.25)
    rows = "\n".join(f"{w:.2f},{f:.4f}" for w, f in zip(table["wavelength"], table["flux"], strict=True))
    for k in range(1000):
        (folder / f"star{k:04d}.csv").write_text(f"# star: S{k}\nwavelength,flux\n{rows}\n8846.0,{k + 1}\n")
    broken = [folder / f"star{k:04d}.csv" for k in range(50, 1000, 100)]
    for k, path in enumerate(broken):
        path.write_bytes([b"", b"\0\0", b"wavelength\n1\n", path.read_bytes()[:500], b"SIMPLE  = T"][k % 5])
    return folder, broken


@pytest.mark.slow
def test_broken_files_are_listed_and_the_others_go_on(thousand):
    folder, broken = thousand
    done = []
    found, failures = sources.read_many(folder, progress=done.append)
    assert len(found) == 990 and len(done) == 1000
    assert [file for file, _ in failures] == [str(path) for path in broken]
    assert all("\n" not in error and "; " in error for _, error in failures)
    assert [star.star for star in found[:3]] == ["S0", "S1", "S2"]
    assert not any("second" in note for star in found for note in star.notes)


def test_strict_makes_the_first_broken_file_fatal(thousand):
    folder, broken = thousand
    with pytest.raises(DataError, match=r"star0050.csv: is empty"):
        sources.read_many(folder, strict=True)


@pytest.mark.slow
def test_workers_read_the_same(thousand):
    folder, broken = thousand
    few = sorted(folder.iterdir())[40:60]
    alone, failures = sources.read_many(few)
    found, same = sources.read_many(few, workers=2)
    assert [star.star for star in found] == [star.star for star in alone]
    assert failures == same and len(failures) == 1


def test_stars_that_come_twice_are_noted_and_copies_left_out(tmp_path):
    (tmp_path / "sub").mkdir()
    layouts.write_carmenes(tmp_path / "night1.fits", OBJECT="GJ_699")
    layouts.write_carmenes(tmp_path / "night2.fits", OBJECT="gj 699", seed=1)
    (tmp_path / "night3.fits").write_bytes((tmp_path / "night1.fits").read_bytes())
    layouts.write_carmenes(tmp_path / "sub" / "night4.fits", OBJECT="GJ 1")
    layouts.write_hpf(tmp_path)
    found, failures = sources.read_many(tmp_path)
    assert [star.star for star in found] == ["GJ TEST", "GJ 699", "gj 699"]  # no flat, no mask, no subfolder
    assert found[2].notes == (f"second spectrum of gj 699: {tmp_path / 'night1.fits'}",) and found[1].notes == ()
    ((file, error),) = failures
    assert file.endswith("night3.fits") and f"same content as {tmp_path / 'night1.fits'}" in error
    with pytest.raises(DataError, match="same content"):
        sources.read_many(tmp_path, strict=True)
    found, _ = sources.read_many([tmp_path / "night1.fits", tmp_path / "sub"], resolving_power=90_000)
    assert [(star.star, star.resolving_power) for star in found] == [("GJ 699", 90_000), ("GJ 1", 90_000)]


def test_nothing_to_read_and_a_wrong_option_are_errors(tmp_path):
    with pytest.raises(DataError, match="no spectra; give files ending in .fits"):
        sources.read_many(tmp_path)
    path = layouts.write_table(tmp_path / "a.csv")
    with pytest.raises(ConfigError):
        sources.read_many(str(path), instrument="GIANO")
    found, failures = sources.read_many(path)
    assert len(found) == 1 and not failures


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error(tmp_path, monkeypatch):
    path = layouts.write_table(tmp_path / "a.csv")
    monkeypatch.setattr(sources, "_attempt", _die)
    with pytest.raises(DTLError, match="a worker process died"):
        sources.read_many(path, workers=2)


def test_paths_and_spectra_in_memory_are_read_together(tmp_path, store):
    written = layouts.write_table(tmp_path / "a.csv")
    star, counted = readers.read(written, star="GJ 1"), []
    found, refused = sources.read_many([written, star, [star, star]], progress=counted.append)
    assert found[0] is star and found[1] == [star, star] and found[2].file == str(written) and not refused
    assert counted == [1]
    found, refused = sources.read_many(store, progress=counted.append)
    assert len(found) == N and sum(counted) == N + 1 and not refused
    with pytest.raises(ConfigError, match="several files"):
        sources.read_many([written, star], star="GJ 1")
    assert sources.read_many(str(tmp_path / "*.csv"), star="GJ 2")[0][0].star == "GJ 2"


def _die(file, options):
    os._exit(1)
