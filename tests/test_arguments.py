"""Public functions called with what they cannot use: one typed line at once, never a traceback or a hang."""

import io
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.table import Table

import dtl_core
from dtl_core import arguments
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.models import adapting, bulk, exports, loading, prediction, report, specialist
from dtl_core.preparing import chain
from dtl_core.reading import sources
from dtl_core.reading.readers import read
from dtl_core.synthetic.examples import write_examples

WAVE = np.linspace(8780, 8860, 3000)
WRONG = {
    "none": None,
    "number": 3,
    "NaN": float("nan"),
    "flag": True,
    "bytes": b"star.fits",
    "dict": {"wavelength": WAVE, "flux": WAVE},
    "array": np.ones(3000),
    "arrays": (WAVE, np.ones(3000)),
    "numbers": [1.0, 2.0],
    "endless": itertools.count(),
    "quantity": WAVE * units.AA,
    "file": io.BytesIO(b"x"),
    "object": object(),
    "nested": [[["star.fits"]]],
    "nothing": [None],
    "empty name": "",
    "zero byte": "a\0b",
    "type": Table,
    "words": Table({"a": ["x"], "b": ["y"]}),
    "frame": pd.DataFrame({"a": [1.0]}),
}


@pytest.fixture(scope="module")
def star(tmp_path_factory):
    return read(write_examples(tmp_path_factory.mktemp("stars"))[0][0])


@pytest.fixture(scope="module")
def model():
    return loading.load()


@pytest.fixture(scope="module")
def examined(model, star):
    return prediction.examine(model, star)[0][0]


CONFIG = load_profile("demo")
MANY = {  # entry points that take spectra: one argument after the other is wrong
    "predict": lambda m, wrong: m.predict(wrong),
    "adapt": lambda m, wrong: m.adapt(wrong),
    "Model.prepare": lambda m, wrong: m.prepare(wrong),
    "Model.examine": lambda m, wrong: m.examine(wrong),
    "examine": lambda m, wrong: prediction.examine(m, wrong),
    "chain.prepare": lambda m, wrong: chain.prepare(wrong, CONFIG),
    "prepare_many": lambda m, wrong: chain.prepare_many(wrong, CONFIG, strict=True),
    "coadd": lambda m, wrong: chain.coadd(wrong, CONFIG),
    "steps": lambda m, wrong: chain.steps(wrong, CONFIG),
    "cut": lambda m, wrong: chain.cut(wrong, 8800, 8830),
    "group_exposures": lambda m, wrong: chain.group_exposures(wrong),
    "signal_to_noise": lambda m, wrong: chain.signal_to_noise(wrong),
    "read": lambda m, wrong: read(wrong),
    "read_many": lambda m, wrong: sources.read_many(wrong, strict=True),
    "list_files": lambda m, wrong: sources.list_files(wrong),
    "open_source": lambda m, wrong: sources.open_source(wrong),
    "read_anchors": lambda m, wrong: adapting.read_anchors(wrong),
    "load": lambda m, wrong: dtl_core.load(wrong),
    "hashes": lambda m, wrong: loading.hashes(wrong),
    "read_specialist": lambda m, wrong: specialist.read_specialist(wrong),
    "save": lambda m, wrong: exports.save(wrong, "never.csv"),
    "export": lambda m, wrong: bulk.export(wrong, "never.csv"),
    "BulkCatalogue": lambda m, wrong: bulk.BulkCatalogue("never.parquet", wrong),
    "html_report": lambda m, wrong: report.html_report(m, wrong),
    "png_report": lambda m, wrong: report.png_report(wrong, wrong),
}


@pytest.mark.parametrize("name", MANY)
def test_what_is_no_spectrum_path_or_result_is_refused_in_one_line_within_a_second(name, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, wrong in WRONG.items():
        if (name, kind) in {("save", "words"), ("save", "frame")}:
            continue  # a table is right there
        begin = time.perf_counter()
        with pytest.raises(DTLError) as caught:
            MANY[name](model, wrong)
            pytest.fail(f"{name} took {kind}")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500, kind
        assert time.perf_counter() - begin < 1.5, kind
    assert not list(tmp_path.iterdir())


VALUES = {
    "text": "12",
    "NaN": float("nan"),
    "infinite": float("inf"),
    "flag": True,
    "list": [12.0],
    "array": np.ones(3),
    "other unit": 3 * units.K,
    "bytes": b"12",
}


@pytest.mark.parametrize("kind", VALUES)
def test_numbers_are_numbers(kind, model, star):
    wrong = VALUES[kind]
    calls = [
        lambda: model.predict(star, velocity=wrong),
        lambda: model.prepare(star, velocity=wrong),
        lambda: chain.prepare(star, CONFIG, velocity=wrong),
        lambda: chain.prepare_many([star], CONFIG, velocity=wrong),
        lambda: chain.cut(star, wrong, 8830),
        lambda: model.predict(star, resolving_power=wrong),
        lambda: model.predict(star.file, resolving_power=wrong),
        lambda: sources.open_source(star.file, resolving_power=wrong),
        lambda: model.specialist_for(wrong),
        lambda: model.adapt([star], epochs=wrong),
        lambda: model.adapt([star], seed=wrong),
        lambda: model.adapt([star], velocity=wrong),
        lambda: bulk.BulkCatalogue("never.parquet", sources.open_source(star.file), velocity=wrong),
        lambda: bulk.BulkCatalogue("never.parquet", sources.open_source(star.file), part=wrong),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(DTLError) as caught:
            call()
            pytest.fail(f"call {number} took {kind}")
        assert "field" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coadd": "yes"}, "'coadd'.*'yes' is neither True nor False"),
        ({"strict": 1}, "'strict'.*1 is neither True nor False"),
        ({"strict": None}, "'strict'.*None"),
        ({"medium": "water"}, "'medium'.*give air or vacuum"),
        ({"medium": True}, "'medium'.*give air or vacuum"),
        ({"star": 3}, "'star'.*3 is not a text"),
        ({"instrument": 3}, "'instrument'.*3 is not a text"),
        ({"progress": "bar"}, "'progress'.*not a function"),
        ({"resolving_power": -3}, "'resolving_power'.*-3 is not a number from 100"),
        ({"resolving_power": "94600"}, "'resolving_power'.*'94600'.*without quotes"),
        ({"resolution": 3}, "'resolution'.*is not an argument.*did you mean resolving_power"),
        ({"velocty": 3}, "'velocty'.*did you mean velocity"),
        ({"rv": 3}, "'rv'.*did you mean velocity"),
        ({"strickt": True}, "'strickt'.*did you mean strict"),
        ({"zzz": True}, "'zzz'.*give any of .*coadd"),
    ],
)
def test_options_are_checked_and_unknown_ones_refused_with_the_nearest(options, words, model, star):
    for spectra in (star, star.file, [star]):
        with pytest.raises(ConfigError, match=words):
            model.predict(spectra, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: chain.prepare(s, None), "'config'.*load_profile"),
        (lambda s: chain.prepare(s, "demo"), "'config'.*load_profile"),
        (lambda s: chain.prepare(s), "missing a required argument: 'config'"),
        (lambda s: chain.prepare(s, CONFIG, speed=3), "'speed'.*is not an argument of prepare"),
        (lambda s: chain.prepare_many([s], CONFIG, strict="no"), "'strict'"),
        (lambda s: chain.prepare_many([s], CONFIG, progress=3), "'progress'"),
        (lambda s: prediction.examine("shipped", s), "'model'.*dtl_core.load"),
        (lambda s: chain.report_table(3), "'reports'"),
        (lambda s: chain.save("a.fits", np.ones(3), [], [], CONFIG), "a.fits.*'flux'.*has shape"),
        (lambda s: chain.save(3, np.ones((0, 3501)), [], [], CONFIG), "'path'.*3 is not a path"),
        (lambda s: exports.save(Table(), 3), "'path'"),
        (lambda s: exports.save(Table({"a": [1]}), "a.xyz"), "'.xyz'"),
        (lambda s: loading.load("shiped"), "shiped.*give shipped or paper"),
        (lambda s: loading.load().adapt([s], anchors=3), "'anchors'"),
        (lambda s: loading.load().adapt([s], anchors={"a": 3}), "'anchors'.*star: {parameter: number}"),
        (lambda s: loading.load().adapt([s], anchors={"a": {"teff": "hot"}}), "'anchors'"),
        (lambda s: loading.load().adapt([s], anchors="absent.csv"), "absent.csv: not found"),
        (lambda s: loading.load().save(None), "'folder'"),
        (lambda s: loading.load().predict(s, instrument="HPF"), "'instrument'.*is for files"),
        (lambda s: loading.load().predict(s, berv=3.0), "'berv'.*is for files"),
        (lambda s: loading.load().predict(s, medium="air"), "'medium'.*in vacuum as it is"),
        (lambda s: loading.load().predict([s, s], star="A"), "'star'.*several"),
        (lambda s: sources.open_source(s.file, resolution=3), "'resolution'.*resolving_power"),
    ],
)
def test_other_arguments_are_checked_too(call, words, star, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DTLError, match=words):
        call(star)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_is_right_passes(model, star):
    first = model.predict(star, velocity=np.float32(31.4) * units.km / units.s, strict=np.True_)
    second = model.predict(Path(star.file), velocity=np.float32(31.4), star="S")
    third = model.predict(p for p in [star.file])
    assert first["Teff"] == second["Teff"] and second["star"][0] == "S" and len(third) == 1
    assert model.predict(star, resolving_power=70_000)["resolving_power"][0] == 53_000
    assert model.predict([star, [star, star]], star=None)["star"].tolist() == [star.star] * 2
    assert chain.prepare(iter([star, star]), CONFIG)[1].n_exposures == 2


def test_one_wrong_spectrum_of_many_is_listed_and_the_others_go_on(model, star):
    broken = Table({"wavelength": star.wavelength, "flux": -star.flux}, meta={"R": 94600})
    with pytest.raises(DataError, match="flux"):
        model.predict([star, broken, star.file])
    table = model.predict([star, broken, star.file], strict=False)
    assert len(table) == 2 and [row["file"] for row in table.meta["refused"]] == ["spectra[1]"]
    with pytest.raises(ConfigError, match=r"'spectra\[1\]': None is not a spectrum"):  # a fault of the call
        model.predict([star, None], strict=False)


def test_the_home_folder_is_meant_by_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert arguments.a_path("~/x.fits", "path") == f"{tmp_path}/x.fits"
    (tmp_path / "~").mkdir()
    assert arguments.a_path("~", "path") == "~"  # a file of this name comes first
    exports.save(Table({"a": [1]}), "~new.csv")
    assert (tmp_path / "~new.csv").is_file()
