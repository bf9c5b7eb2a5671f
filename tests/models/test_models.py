"""Trained models: what is shipped is whole and good, files that are broken are refused, a making is reproducible."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy import units
from astropy.table import QTable
from click.testing import CliRunner
from layouts import at, write_image, write_table
from safetensors.numpy import load_file, save_file

import dtl_core
from dtl_core.cli import main
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError, DataError
from dtl_core.estimates import gravity, outliers
from dtl_core.estimates.calibration import group_edges, groups_of
from dtl_core.models import adapting, loading, making, prediction, report, specialist
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS
from dtl_core.pipeline import records
from dtl_core.preparing.chain import prepare_many
from dtl_core.public_data import registry
from dtl_core.reading import readers
from dtl_core.synthetic import generation, label_grid, libraries, line_corrections
from dtl_core.synthetic.examples import write_examples
from dtl_core.synthetic.kinds import KINDS
from dtl_core.synthetic.line_corrections import load_corrections

pytestmark = [pytest.mark.uses_tiny, pytest.mark.usefixtures("few_surveys")]


@pytest.fixture(scope="module")
def model():
    return loading.load()


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("examples"))


TINY = {"models.n_spectra": 200, "models.epochs": 1, "models.emulator_epochs": 2, "models.members": 2,
        "models.reference_stars": 80, "models.test_stars": 40}  # fmt: skip


SYSTEMATICS = {name: {"stars": ["A"], "tau": [0.0, 0.1], "instrument": 0.0} for name in PARAMETERS}


@pytest.fixture(scope="module")
def tiny(few_surveys):
    """A specialist that was hardly trained."""
    return making.make_specialist(load_profile("demo", TINY), 53_000, systematics=SYSTEMATICS)


# ---------------------------------------------------------------- what is shipped


def test_the_package_brings_models_of_at_most_twenty_megabytes(model):
    entries = registry.resources("models")
    shipped = [one for one in entries if one.kind == "embedded"]
    assert sum(one.size for one in shipped) < 20e6
    assert [row.status for row in registry.verify([one.name for one in shipped])] == ["ok"] * len(shipped)
    powers = [one.resolving_power for one in model.specialists]
    assert powers == sorted(load_profile("demo").models.resolving_powers, reverse=True)


def test_every_card_says_what_it_is(model):
    for one in model.specialists:
        card = one.card
        assert card["library"] == "grid_a" and card["method"] == "calibrated"
        assert card["library_sha256"] == registry.get("lte/grid_a.npz").sha256
        assert card["labels"]["teff"][0] >= 2600 and card["labels"]["vsini"] == [1.5, 30.0]
        assert set(card["figures"]) == {f"{low}-{high}" for low, high in making.TEST_SNR}


def test_shipped_models_are_good_and_their_errors_hold_on_surveys_they_never_saw(model):
    for one in model.specialists:
        figures = one.card["figures"] | {"corrected": one.card["corrected"]}
        for name in PARAMETERS:
            for snr, found in figures.items():
                assert found["n_stars"] >= 700
                assert 0.58 < found[name]["inside_68"] < 0.86, (one.resolving_power, snr, name)
                assert 0.84 < found[name]["inside_90"] < 0.99, (one.resolving_power, snr, name)
            # of surveys without other physics more are inside than should be; over all kinds of gap it is right
            kinds = [found[name] for found in one.card["kinds"].values()]
            assert 0.58 < np.mean([found["inside_68"] for found in kinds]) < 0.82, (one.resolving_power, name)
            assert 0.84 < np.mean([found["inside_90"] for found in kinds]) < 0.96, (one.resolving_power, name)
        best = one.card["figures"]["100-400"]
        assert best["teff"]["rmse"] < 110 and best["logg"]["rmse"] < 0.08 and best["mh"]["rmse"] < 0.18
        assert best["false_flags"] < 0.08


def test_the_card_is_not_made_up(model):
    """The figures, measured again on other surveys, are those of the card within their noise."""
    one = model.specialist_for(53_000)
    config = dataclasses.replace(one.config, models=dataclasses.replace(one.config.models, test_stars=200))
    found = making.score(one, config, seeds=range(301, 311), snr=(100, 400))
    for name in PARAMETERS:
        assert 0.5 < found[name]["rmse"] / one.card["figures"]["100-400"][name]["rmse"] < 1.6, name
        assert abs(found[name]["inside_68"] - one.card["figures"]["100-400"][name]["inside_68"]) < 0.18, name
    for name in gravity.RELATIONS:  # of log g
        assert 0.7 < found[name] / one.card["figures"]["100-400"][name] < 1.4, name


def test_synthetic_spectra_come_out_as_they_went_in(model):
    """With the lines of the library and with corrected ones; the emulator has the latter."""
    one, rng = model.specialist_for(94_600), np.random.default_rng(3)
    library = libraries.load_library("grid_a")
    labels = np.column_stack([rng.uniform(low, high, 60) for low, high in ((2900, 4200), (0, 0), (-0.5, 0.3), (2, 15))])
    labels[:, 1] = label_grid.main_sequence_logg(labels[:, 0], labels[:, 2])  # the centre of the training band
    for lines in (library, load_corrections().library(library)):
        raw = generation.expand(lines, labels[:, :3])
        flux = generation.network_spectra(lines.wavelength, raw, labels[:, 3], one.config.window, one.config.continuum)
        errors = np.sqrt(np.mean((one.estimate(flux)["found"] - labels) ** 2, axis=0))
        assert np.all(errors < [80, 0.1, 0.15, 1.5]), errors
    model_flux = one.reconstruct(labels)
    assert np.sqrt(np.mean((model_flux - one.input(flux)) ** 2)) < 0.006


# ---------------------------------------------------------------- which specialist


@pytest.mark.parametrize(
    ("power", "wanted"),
    [(94_600, 94_600), (250_000, 94_600), (93_000, 94_600), (92_000, 80_000), (67_000, 53_000), (53_000, 53_000),
     (48_000, 42_000), (41_500, 42_000)],
)  # fmt: skip
def test_a_spectrum_goes_to_the_sharpest_specialist_that_is_not_sharper(model, power, wanted):
    assert model.specialist_for(power).resolving_power == wanted


def test_unknown_and_too_low_resolving_powers_are_refused(model):
    with pytest.raises(DataError, match=r"star\.csv.*not known.*--resolution"):
        model.specialist_for(float("nan"), "star.csv")
    with pytest.raises(DataError, match="below 42000"):
        model.specialist_for(11_500)


# ---------------------------------------------------------------- three lines of Python


def test_three_lines_of_python(examples):
    paths, truth = examples
    model = dtl_core.load()
    table = model.predict(paths)
    assert isinstance(table, QTable) and list(table["star"]) == list(truth["star"])
    assert table["Teff"].unit == units.K and table["vsini"].unit == units.km / units.s
    for k, (name, column) in enumerate(PARAMETER_COLUMNS.items()):
        value, low, high = (np.array(getattr(table[e + column], "value", table[e + column])) for e in ("", "e_", "E_"))
        assert np.isfinite(value).all() and (low >= 0).all() and (high >= 0).all()
        off = np.abs(value - truth[name].to_numpy())
        assert np.all(off < 4 * np.maximum(low, high) + [60, 0.05, 0.1, 1.5][k]), name
    assert np.all(np.abs(np.array(table["radial_velocity"].value) - [31.4, -17.2, 8.5]) < 1.0)
    assert np.all(np.array(table["resolving_power"]) == 94_600) and np.all(np.array(table["p_domain"]) > 0.05)


def test_predicting_alone_or_in_company_gives_the_same(model, examples):
    paths, _ = examples
    together, alone = model.predict(paths), [model.predict(path) for path in paths]
    for column in PARAMETER_COLUMNS.values():
        values = [float(getattr(one[column][0], "value", one[column][0])) for one in alone]
        np.testing.assert_allclose(np.array(getattr(together[column], "value", together[column])), values, rtol=2e-5)


def test_a_known_velocity_takes_the_place_of_the_one_found(model, examples):
    spectrum = readers.read(examples[0][0])
    table = model.predict(spectrum, velocity=31.4)
    assert table["radial_velocity"][0].value == pytest.approx(31.4, abs=1e-6)
    assert table["e_radial_velocity"][0].value == 0
    wrong = model.predict(spectrum, velocity=60.0)
    assert wrong["p_domain"][0] <= 0.05 < table["p_domain"][0]  # lines in the wrong places are strange
    with pytest.raises(ConfigError, match="beyond 250"):
        model.predict(spectrum, velocity=1000.0)
    unknown = dataclasses.replace(spectrum, frame="observatory", berv=float("nan"))
    with pytest.raises(DataError, match="barycentric correction"):
        model.predict(unknown, velocity=31.4)


def test_a_sharper_spectrum_is_brought_to_its_specialist(model, examples):
    spectrum = dataclasses.replace(readers.read(examples[0][1]), resolving_power=85_000.0)
    assert model.predict(spectrum)["resolving_power"][0] == 80_000


def test_strange_spectra_are_flagged(model, tmp_path):
    """Lines of no star: three hundred Gaussians at random places."""
    rng = np.random.default_rng(0)
    wavelength = np.arange(8785, 8850, 0.03)
    flux = at(wavelength) + rng.normal(0, 0.005, len(wavelength))
    columns = {"wavelength": wavelength, "flux": flux, "uncertainty": np.full(len(flux), 0.005)}
    meta = {"STAR": "no star", "RESOLVING_POWER": 94_600, "FRAME": "rest", "MEDIUM": "vacuum"}
    path = write_table(tmp_path / "lines.ecsv", columns, meta=meta, unit="Angstrom")
    spectrum = readers.read(path)
    table = model.predict(dataclasses.replace(spectrum, frame="barycentric"), velocity=0.0)
    assert table["p_domain"][0] <= 0.05 and "strange" in table["warnings"][0]


@pytest.mark.data
def test_real_stars_come_out_near_their_published_values(model):
    """GJ 699 has 3254 K, 5.13, -0.57 by Passegger et al. (2022) and 3353 K, 4.96, -0.22 by the paper; both count."""
    folder = registry.find("observed/hpf")
    table = model.predict(folder)
    rows = {row["star"].replace(" ", ""): row for row in table}
    star = rows["GJ699"]
    assert 3150 < star["Teff"].value < 3450 and 4.8 < star["logg"].value < 5.25 and -1.0 < star["[M/H]"].value < 0
    assert star["vsini"].value < 4 and abs(star["radial_velocity"].value + 110.5) < 1.5
    assert rows["VB10"]["Teff"].value < 2750 and "end of the training grid" in rows["VB10"]["warnings"]


# ---------------------------------------------------------------- making, saving, loading


def test_a_specialist_comes_back_from_its_file_as_it_was(tiny, tmp_path):
    again = specialist.read_specialist(tiny.save(tmp_path / "R053000.safetensors"))
    assert again.card == json.loads(json.dumps(tiny.card))
    flux = making.simulated_stars(again.config, 20, [5])[0]
    for name, value in tiny.estimate(flux).items():
        np.testing.assert_array_equal(value, again.estimate(flux)[name], err_msg=name)


def test_two_makings_give_the_same_bytes(tiny, tmp_path):
    other = making.make_specialist(load_profile("demo", TINY), 53_000, systematics=SYSTEMATICS, tested=False)
    for name, values in tiny.arrays.items():
        np.testing.assert_array_equal(values, other.arrays[name], err_msg=name)
    (low, high), config = making.TEST_SNR[0], dataclasses.replace(tiny.config, models=load_profile("demo", TINY).models)
    assert tiny.card["figures"][f"{low}-{high}"] == making.score(other, config, snr=(low, high))


def test_a_model_is_calibrated_on_every_kind_of_gap_and_tested_on_each_without_it(tiny):
    kinds = tiny.reference["kind"]
    assert set(kinds) == set(range(len(KINDS))) and set(tiny.card["kinds"]) == set(KINDS)
    weight = {kind: set(tiny.reference["kind_weight"][kinds == kind]) for kind in set(kinds)}
    assert all(len(own) == 1 for own in weight.values()) and len(set.union(*weight.values())) > 3
    for figures in tiny.card["kinds"].values():
        assert figures["n_stars"] >= 3 and np.isfinite([figures[name]["rmse"] for name in PARAMETERS]).all()


def test_a_model_names_the_real_stars_of_its_lines_and_is_tested_with_these_lines(tiny):
    assert tiny.card["method"] == "calibrated"
    assert tiny.seen == tuple(sorted(load_corrections().meta["stars"]))
    figures = tiny.card["corrected"]
    assert figures["n_stars"] >= 20 and figures["teff"] != tiny.card["figures"]["100-400"]["teff"]


def test_a_model_knows_the_corrections_of_its_lines_unless_the_package_has_others(tiny):
    assert tiny.corrections is load_corrections()
    card = tiny.card | {"corrections": tiny.card["corrections"] | {"sha256": "0" * 64}}
    assert specialist.Specialist(tiny.arrays, card).corrections is None
    plain = specialist.Specialist(tiny.arrays, {k: v for k, v in tiny.card.items() if k != "corrections"})
    assert plain.corrections is None


def test_systematic_errors_belong_to_the_corrections_of_the_package(tiny):
    assert tiny.card["systematics"] == SYSTEMATICS
    corrections = dataclasses.replace(load_corrections(), meta={"stars": ["A"]}, slopes=load_corrections().slopes + 1)
    options = {"corrections": corrections, "systematics": SYSTEMATICS, "tested": False}
    other = making.make_specialist(load_profile("demo", TINY | {"models.members": 1}), 53_000, **options)
    assert other.card["systematics"] == {} and other.seen == ("A",) and other.corrections is None
    assert not {"figures", "kinds", "corrected"} & set(other.card)


def test_models_are_built_with_the_systematic_errors_of_the_record(monkeypatch, tmp_path):
    given = []

    def remember(config, power, *, systematics, progress):
        given.append(systematics)
        raise DataError("far enough")

    monkeypatch.setattr(making, "make_specialist", remember)
    result = CliRunner().invoke(main, ["models", "build", "-o", str(tmp_path), "--quiet"])
    assert "far enough" in result.output
    recorded = records.read("real_stars")["values"]["left_out"]["values"]["systematics"]
    assert given == [recorded] and set(recorded) == set(PARAMETERS)


def test_the_emulator_learns_the_corrected_lines_and_the_networks_start_from_those_of_the_library():
    config = load_profile("demo", {"window.resolving_power": 53_000.0, "synthetic.n_spectra": 200})
    own, corrections = making.training_problem(config, epochs=1, emulator_epochs=1), load_corrections()
    other = making.emulator_problem(config, own, corrections)
    torch.testing.assert_close(own.labels, other.labels)
    assert float((other.flux - own.flux).std()) > 0.01
    expected = line_corrections.corrected_spectra(config, generation.synthetic_set(config)[1], corrections)
    np.testing.assert_array_equal(other.flux.numpy(), expected)
    assert making.emulator_problem(config, own, None) is own


def test_a_report_shows_what_corrected_lines_change_if_there_are_any(tiny, model, examples):
    whole = loading.Model([tiny])
    (star,), _ = prediction.examine(whole, examples[0][0])
    figure = report.lines_figure(tiny, star)
    shown = {line.get_label(): np.asarray(line.get_ydata()) for line in figure.axes[0].lines}
    np.testing.assert_array_equal(shown["spectrum"], star.flux)
    assert np.std(shown["corrected lines"] - shown["lines of the library"]) > 0.01
    residuals = [np.asarray(line.get_ydata()) for line in figure.axes[1].lines]
    np.testing.assert_allclose(residuals[1], star.flux - shown["corrected lines"], atol=1e-6)
    assert "lines" in report.figures(tiny, star)
    plain = specialist.Specialist(tiny.arrays, {k: v for k, v in tiny.card.items() if k != "corrections"})
    assert "lines" not in report.figures(plain, star)


@pytest.mark.parametrize(("name", "said"), [("GJ 699", True), ("gj273", True), ("GJ 436", False)])
def test_a_star_that_made_the_models_is_named(tiny, examples, name, said):
    spectrum = dataclasses.replace(readers.read(examples[0][0]), star=name)
    (star,), _ = prediction.examine(loading.Model([tiny]), spectrum)
    assert any("used to make the models" in text for text in star.warnings) == said


def test_a_cool_star_is_flagged_and_an_ordinary_one_is_not(tiny, examples):
    (star,), _ = prediction.examine(loading.Model([tiny]), examples[0][0])
    values = {"p": 0.5, "median": np.array([3400.0, 4.9, 0.0, 3.0])}
    assert dataclasses.replace(star, **values).flag == ""
    assert dataclasses.replace(star, **values | {"p": specialist.STRANGE}).flag == "strange"
    cool = values | {"median": np.array([specialist.COOLEST - 1, 5.1, 0.0, 3.0])}
    assert dataclasses.replace(star, **cool).flag == "cool"
    fast = values | {"median": np.array([3400.0, 4.9, 0.0, specialist.FASTEST + 0.1])}
    assert dataclasses.replace(star, **fast).flag == "fast"
    both = dataclasses.replace(star, **cool | {"p": 0.01})
    table = prediction.as_table([both], [], loading.Model([tiny]))
    assert table["flag"][0] == both.flag == "strange, cool"
    assert "STRANGE, COOL" in prediction.as_lines(table)[1]


def test_an_adapted_model_does_not_show_the_figures_of_the_one_that_it_was_made_from(tiny):
    card = adapting._card(tiny, [], {})
    assert card["method"] == "combined" and not {"figures", "kinds", "corrected", "corrections"} & set(card)
    assert set(card["real_stars"]) == set(tiny.seen)  # its fit starts from that model


def test_a_calibration_without_a_kind_knows_nothing_of_it(tiny, monkeypatch):
    asked = []

    def remember(specialist, config, **options):
        asked.append((specialist, options))

    monkeypatch.setattr(making, "score", remember)
    making.score_unknown(tiny, tiny.config, "spots")
    (other, options), number = asked[0], list(KINDS).index("spots")
    assert number not in other.reference["kind"] and number in tiny.reference["kind"]
    kept = tiny.reference["kind"] != number
    for name in ("found", "truth", "snr", "kind_weight"):
        np.testing.assert_array_equal(other.reference[name], tiny.reference[name][kept])
    assert all(len(scores) == kept.sum() for scores in other.detector.reference.values())
    assert options["kinds"] == (KINDS["spots"],)
    assert not set(options["seeds"]) & set(range(1000, 1000 + making.N_SURVEYS))


def test_stars_that_calibrate_are_not_those_that_are_reported():
    config = dataclasses.replace(load_profile("demo", {"survey.noise": 0.0}))
    labels = [making.simulated_stars(config, 40, [7], half=half)[1] for half in (making.CALIBRATION, making.REPORT)]
    one, two = ({tuple(row) for row in part[:, :3].round(6)} for part in labels)
    assert len(one) == len(two) == 40 and not one & two


def test_a_failure_is_silent_if_nothing_shows_it():
    good, bad = ({"inside_68": share} for share in (0.7, 0.49))
    figures = {"teff": good, "logg": bad, "mh": bad, "vsini": good}
    assert making.silent(figures | {"false_flags": 0.49}) == ["logg", "mh"]
    assert making.silent(figures | {"false_flags": 0.5}) == []


def test_kinds_with_larger_errors_weigh_more_and_none_dominates():
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2, 3], 500)
    size = np.array([0.1, 1.0, 1.5, 300.0])[kind]
    weight = making.weight_of_kinds(rng.normal(0, 1, (2000, 4)) * size[:, None], kind)
    each = [weight[kind == k][0] for k in range(4)]
    assert each == sorted(each) and each[0] == 0.25 and each[3] > 3.9 and np.ptp(weight[kind == 1]) == 0
    alone = np.r_[np.ones(4), np.full(2, 1e3)][:, None] * np.ones((6, 4))  # its share is limited
    assert making.weight_of_kinds(np.repeat(alone, 50, axis=0), np.repeat(np.arange(6), 50)).max() <= 4.0
    np.testing.assert_allclose(making.weight_of_kinds(rng.normal(0, 1, (2000, 4)), kind), 1, atol=0.2)


def test_simulated_stars_come_through_the_chain_of_a_users_spectrum(monkeypatch):
    seen = []

    def remember(spectra, config, **options):
        seen.extend(spectra)
        return prepare_many(spectra, config, **options)

    monkeypatch.setattr(making, "prepare_many", remember)
    config = load_profile("demo", {"window.resolving_power": 53_000.0})
    flux, truth, snr, survey = making.simulated_stars(config, 12, [5, 6], snr=(50, 60), sharper=1.3)
    assert len(seen) == len(flux) == 12 and list(survey) == [0] * 6 + [1] * 6
    shift = [spectrum.wavelength[0] / seen[0].wavelength[0] - 1 for spectrum in seen]
    assert 5 < 299_792 * np.std(shift) < making.FASTEST
    assert [spectrum.resolving_power for spectrum in seen] == [53_000.0] * 6 + [pytest.approx(68_900.0)] * 6
    assert np.all((snr > 35) & (snr < 70))


def test_weights_are_kept_in_half_precision_and_what_was_measured_in_single(tiny):
    assert {v.dtype.name for n, v in tiny.arrays.items() if n.endswith(".weight")} == {"float16"}
    assert tiny.arrays["network0.centre"].dtype == tiny.arrays["reference.found"].dtype == np.float32


@pytest.mark.parametrize("damage", ["cut", "garbage", "format", "shape", "one mean", "nan", "empty", "other"])
def test_a_damaged_file_is_refused_in_one_line(tiny, tmp_path, damage):
    path = tiny.save(tmp_path / "model.safetensors")
    arrays, card = dict(tiny.arrays), dict(tiny.card)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "garbage":
        path.write_bytes(b"\x80\x04pickle" * 100)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        save_file({"a": np.zeros(3)}, str(path))
    else:
        if damage == "format":
            card["format"] = 99
        elif damage == "shape":
            arrays["network0.head.weight"] = arrays["network0.head.weight"][:, :5].copy()
        elif damage == "one mean":  # which would be used for all pixels
            arrays["emulator.mean"] = arrays["emulator.mean"][:1].copy()
        else:
            arrays["emulator.mean"] = arrays["emulator.mean"] * np.nan
        save_file(arrays, str(path), metadata={"card": json.dumps(card)})
    with pytest.raises(DataError, match=r"model\.safetensors") as caught:
        loading.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_shipped_file_that_was_changed_is_refused(monkeypatch, tmp_path):
    def changed(names):
        name = "models/R094600.safetensors"
        return [registry.Check(name, "embedded", "wrong hash", tmp_path / "R094600.safetensors")]

    monkeypatch.setattr(registry, "verify", changed)
    with pytest.raises(DataError, match="wrong hash; reinstall"):
        loading.load()


def test_the_papers_ensemble_is_loaded_by_name_once_it_was_fetched(monkeypatch, tmp_path, tiny):
    monkeypatch.setenv("DTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DTL_DATA", raising=False)
    name = "models/paper_R094600.safetensors"
    with pytest.raises(DataError, match=f"is absent; dtl data fetch {name}"):
        loading.load("paper")
    path = tiny.save(registry.cache_root() / name)  # stands for what a release holds
    registry.record([path], registry.get(name).url)
    assert [one.resolving_power for one in loading.load("paper").specialists] == [53_000]
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(DataError, match=f"is wrong hash; dtl data fetch {name}"):
        loading.load("paper")


def test_absent_models_are_named(tmp_path):
    with pytest.raises(DataError, match="not found"):
        loading.load(tmp_path / "absent.safetensors")
    with pytest.raises(DataError, match="holds no model.*dtl models build"):
        loading.load(tmp_path)


def test_a_model_of_another_window_predicts_too(tmp_path, examples):
    config = load_profile("demo", TINY | {"models.members": 1, "window.start": 8806.0, "window.stop": 8832.0})
    one = making.make_specialist(config, 80_000, tested=False)
    one.save(tmp_path / "R080000.safetensors")
    model = loading.load(tmp_path)
    assert 8806 <= model.specialists[0].wavelength[0] < model.specialists[0].wavelength[-1] <= 8832
    assert len(model.predict(examples[0])) == 3


def test_posterior_keeps_centre_and_spread_of_the_errors(model):
    one = model.specialist_for(94_600)
    found, spread = np.array([3400.0, 4.9, -0.2, 10.0]), np.array([40.0, 0.03, 0.08, 0.7])
    samples = one.posterior(found, spread, n=20_000, real=False)
    reference = one.reference
    edges = group_edges(reference["found"][:, 0])
    own = groups_of(reference["found"][:, 0], edges) == groups_of(found[:1], edges)[0]
    scores = ((reference["truth"] - reference["found"]) / reference["spread"])[own]
    assert len(scores) > 300
    weight = reference["kind_weight"][own]
    mean, covariance = np.average(scores, axis=0, weights=weight), np.cov(scores.T, aweights=weight)
    np.testing.assert_allclose((samples.mean(0) - found) / spread, mean, atol=0.05)
    np.testing.assert_allclose(samples.std(0) / spread, np.sqrt(np.diag(covariance)), rtol=0.05)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    np.testing.assert_allclose(np.corrcoef(samples.T)[0, 1], correlation / (1 + 0.25**2), atol=0.05)


def test_a_reference_star_lies_at_its_own_place_in_the_map(model):
    one = model.specialist_for(53_000)
    place = one.place(one.reference["latent"][:20])
    np.testing.assert_allclose(place, one.reference["map"][:20], atol=0.05)


def test_detectors_come_back_from_their_arrays():
    rng = np.random.default_rng(3)
    measured = {"residual": rng.normal(0, 0.01, (100, 60)), "latent": rng.normal(0, 1, (100, 5)), "step": 0.03,
                "disagreement": rng.normal(0, 1, (100, 4)), "grain": rng.normal(0, 0.1, (100, 12))}  # fmt: skip
    detector = outliers.Detector(**measured)
    again = outliers.Detector.from_state(detector.state())
    for one, other in zip(detector.p_values(**measured), again.p_values(**measured), strict=True):
        np.testing.assert_array_equal(one, other)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, dtl_core; dtl_core.load; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_weights_in_the_package_are_safetensors_and_nothing_else():
    for path in (Path(dtl_core.__file__).parent / "data" / "models").iterdir():
        assert path.suffix == ".safetensors" and load_file(str(path))


def test_an_image_in_air_without_resolving_power_is_read_with_the_users_word(model, tmp_path):
    path = write_image(tmp_path / "image.fits", ctype="AWAV", OBJECT="in air")
    with pytest.raises(DataError, match="resolving power is not known"):
        model.predict(path)
    with pytest.raises(DataError, match="no velocity found"):  # Gaussians at random are no M dwarf
        model.predict(path, resolving_power=94_600)
