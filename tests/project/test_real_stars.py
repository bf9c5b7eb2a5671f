"""The benchmark of real stars: its record is whole, its variants do what they say, and the models still give it."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import real_stars as benchmark

from dtl_core.errors import DataError
from dtl_core.literature import real_stars
from dtl_core.models import loading
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records
from dtl_core.preparing import chain
from dtl_core.spectra.spectrum import Spectrum

PARTS = {name: part["values"] for name, part in records.read("real_stars")["values"].items()}
LINES = pd.concat([records.frame(part["lines"]) for part in PARTS.values()], ignore_index=True)
STARS = real_stars.load_real_stars()


def spectrum(resolving_power=53_000.0):
    wave = np.arange(8785.0, 8850.0, 0.06)
    flux = 1 - 0.5 * np.exp(-0.5 * ((wave - 8820.0) / 0.08) ** 2)
    return Spectrum("A 1", wave, flux, np.full(len(wave), 0.002), resolving_power=resolving_power)


def test_the_record_has_every_star_file_and_variant_and_judges_none_by_a_model_that_has_seen_it():
    assert PARTS["shipped"]["missing"] == [] and set(PARTS["shipped"]["seen"]) == set(benchmark.LEFT_OUT)
    known = {(star.name, entry.file) for star in STARS.values() for entry in star.spectra}
    assert set(LINES[["star", "file"]].itertuples(index=False, name=None)) == known
    expected = [f"without {star}" if star in benchmark.LEFT_OUT else "shipped" for star in LINES["star"]]
    assert list(LINES["model"]) == expected
    assert set(LINES["variant"]) == {"exposure", "cut", "R = 42000", "S/N = 60", "S/N = 20"}
    assert LINES[[*PARAMETERS, "rms", "p_value", "snr"]].notna().all(axis=None)
    for p in PARAMETERS:
        ends = LINES[[f"low90_{p}", f"low68_{p}", p, f"high68_{p}", f"high90_{p}"]].to_numpy()
        assert (np.diff(ends) >= 0).all()
    # otherwise run benchmarks/real_stars.py
    assert PARTS["shipped"]["sha256"] == [one[:12] for one in loading.hashes()]
    for one in loading.load().specialists:
        assert one.card["systematics"] == PARTS["left_out"]["systematics"]


def test_a_lower_resolving_power_widens_a_line_and_keeps_its_strength():
    before, after = spectrum(), benchmark.degraded(spectrum())
    assert after.resolving_power == 42_000 and after.flux.min() > before.flux.min() + 0.02
    np.testing.assert_allclose((1 - after.flux).sum(), (1 - before.flux).sum(), rtol=1e-3)


def test_noise_is_as_large_as_asked_for_and_the_same_again():
    clean = spectrum()
    for snr in benchmark.SNR:
        noisy, again, other = (benchmark.noisy(clean, snr, [seed]) for seed in (1, 1, 2))
        assert chain.signal_to_noise(noisy) == pytest.approx(snr, rel=0.05)
        assert np.std(noisy.flux - clean.flux) == pytest.approx(1 / snr, rel=0.1)
        assert np.array_equal(noisy.flux, again.flux) and not np.array_equal(noisy.flux, other.flux)
    assert benchmark.noisy(clean, 600, [0]) is None
    unknown = dataclasses.replace(clean, uncertainty=np.full(len(clean.flux), np.nan))
    assert benchmark.noisy(unknown, 20, [0]) is None


def test_a_cut_spectrum_comes_as_it_is_only():
    assert [variant for variant, *_ in benchmark.variants(spectrum(), True)] == ["cut"]
    assert len(list(benchmark.variants(spectrum(), False, draws=3))) == 2 + 3 * len(benchmark.SNR)
    sharper = list(benchmark.variants(spectrum(), False, draws=3, lowest=53_000.0))
    assert len(sharper) == 1 + 3 * len(benchmark.SNR)  # no model for the lower resolving power


def test_without_spectra_nothing_is_recorded(cache):
    with pytest.raises(DataError, match="no real spectrum found; dtl data fetch hpf"):
        benchmark.measure(loading.load(), {"VB 10": STARS["VB 10"]}, draws=1)


@pytest.mark.data
def test_a_model_that_has_seen_a_star_is_not_recorded():
    (one, *_) = [part for part in loading.load().specialists if part.resolving_power == 53_000]
    model = loading.Model([type(one)(one.arrays, one.card | {"real_stars": ["J07274+052"]})])
    with pytest.raises(DataError, match="GJ 273 has been seen by the model"):
        benchmark.measure(model, {"GJ 273": STARS["GJ 273"]}, draws=0)


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(set(STARS) - set(benchmark.LEFT_OUT)))
def test_the_models_give_what_the_record_says(name):
    star, model = STARS[name], loading.load()
    entry = star.spectra[0]
    found = benchmark.estimate(model, real_stars.read_spectrum(star, entry))
    row = LINES[(LINES["file"] == entry.file) & (LINES["variant"] == "exposure")].iloc[0]
    for p, tolerance in zip(PARAMETERS, (2.0, 0.005, 0.005, 0.05), strict=True):
        assert abs(found[p] - row[p]) < tolerance, p
        assert abs(found[f"high68_{p}"] - row[f"high68_{p}"]) < 2 * tolerance, p
    assert found["rms"] == pytest.approx(row["rms"], rel=0.02)
    assert found["p_value"] == pytest.approx(row["p_value"], rel=0.1)
    assert found["flag"] == (row["flag"] if isinstance(row["flag"], str) else "")


def test_a_kept_model_is_not_used_for_other_settings_values_or_spectra(monkeypatch, tmp_path):
    names, settings = ["GJ 699", "GJ 273"], {"models.members": 2}
    key = benchmark.key_of(names, settings)
    assert key == benchmark.key_of(names, settings)
    others = {benchmark.key_of(names[:1], settings), benchmark.key_of(names, {"models.members": 3})}
    values = tmp_path / "real_stars.toml"
    values.write_text(real_stars.FILE.read_text() + "# changed")
    monkeypatch.setattr(real_stars, "FILE", values)
    others.add(benchmark.key_of(names, settings))
    monkeypatch.undo()
    spectrum = tmp_path / "spectrum.fits"
    spectrum.write_bytes(b"other")
    monkeypatch.setattr(benchmark.registry, "find", lambda name: spectrum)
    others.add(benchmark.key_of(names, settings))
    assert len(others | {key}) == 5


@pytest.mark.data
@pytest.mark.slow
def test_a_star_is_judged_by_a_model_without_it_with_systematic_errors_of_the_others(monkeypatch):
    made = []

    def remember(config, power, **options):
        made.append(options["corrections"].meta["stars"])
        return making(config, power, **options)

    making = benchmark.making.make_specialist
    monkeypatch.setattr(benchmark.making, "make_specialist", remember)
    tiny = {"models.n_spectra": 300, "models.epochs": 1, "models.emulator_epochs": 2, "models.members": 1,
            "models.reference_stars": 80}  # fmt: skip
    names = benchmark.LEFT_OUT[:2]
    found = benchmark.left_out(names, tiny, draws=0)
    assert made == [[other for other in benchmark.LEFT_OUT if other != name] for name in names]
    lines = records.frame(found["lines"])
    assert list(dict.fromkeys(lines["model"])) == [f"without {name}" for name in names]
    assert found["systematics"]["mh"]["stars"] == list(names) and len(found["systematics"]["mh"]["tau"]) == 40
