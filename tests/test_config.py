"""Profiles, overrides and typed errors."""

import dataclasses
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.config import PROFILES, Config, RegressorConfig, load_profile
from dtl_core.errors import ConfigError, DataError, DTLError, StoreError
from dtl_core.public_data.registry import data_mirror
from dtl_core.spectra import operators


@pytest.mark.parametrize(
    ("profile", "overrides", "words"),
    [
        ("tiny", {}, ["field 'profile'", "'tiny'", "choose one of smoke, demo, paper"]),
        ("smoke", {"epochs": 3}, ["field 'epochs'", "unknown setting", "known here: ", "autoencoder"]),
        ("smoke", {"survey.nois": 0}, ["field 'survey.nois'", "unknown setting", "noise"]),
        ("smoke", {"survey": 0}, ["field 'survey'", "is a group", "name one setting"]),
        ("smoke", {"seed.x": 0}, ["field 'seed.x'", "seed has no parts"]),
        ("smoke", {"autoencoder.epochs": "many"}, ["field 'autoencoder.epochs'", "'many'", "type int"]),
        ("smoke", {"autoencoder.epochs": 2.5}, ["field 'autoencoder.epochs'", "2.5", "type int"]),
        ("smoke", {"autoencoder.centred": "perhaps"}, ["field 'autoencoder.centred'", "'perhaps'", "type bool"]),
        ("smoke", {"autoencoder.widths": "64,wide"}, ["field 'autoencoder.widths'", "'64,wide'"]),
        ("smoke", {"autoencoder.widths": 64}, ["field 'autoencoder.widths'", "cannot read 64"]),
        ("smoke", {"survey.noise": None}, ["field 'survey.noise'", "None", "type float"]),
        ("smoke", {"survey.noise": -1}, ["field 'survey.noise'", "out of range", "give 0.0 to 100.0"]),
        ("smoke", {"survey.noise": "nan"}, ["field 'survey.noise'", "out of range"]),
        ("smoke", {"survey.n_stars": 287}, ["field 'survey.n_stars'", "287", "give 10 to 286"]),
        ("smoke", {"window.resolving_power": 100}, ["field 'window.resolving_power'", "out of range"]),
        ("smoke", {"transfer.frozen_layers": 6}, ["field 'transfer.frozen_layers'", "give 0 to 5"]),
        ("smoke", {"autoencoder.contractive": "none"}, ["field 'autoencoder.contractive'", "paper, exact"]),
        ("smoke", {"device": "tpu"}, ["field 'device'", "auto, cpu, cuda"]),
        ("smoke", {"autoencoder.widths": ""}, ["field 'autoencoder.widths'", "at least one value"]),
        ("smoke", {"autoencoder.l1": "-1e-7"}, ["field 'autoencoder.l1'", "none negative"]),
        ("smoke", {"autoencoder.widths": "100"}, ["field 'autoencoder.widths'", "multiples of 8"]),
        ("smoke", {"window.start": 8700}, ["field 'window.start'", "outside the embedded library"]),
        ("smoke", {"window.stop": 8799}, ["field 'window.start'", "start below stop"]),
    ],
)
def test_bad_settings_are_refused_in_one_line(profile, overrides, words):
    with pytest.raises(ConfigError) as error:
        load_profile(profile, overrides)
    line = str(error.value)
    assert "\n" not in line and "; " in line
    for word in words:
        assert word in line


def test_overrides_are_read_as_the_settings_type():
    config = load_profile(
        "smoke",
        {
            "seed": "7",
            "survey.noise": "0",
            "survey.real_stars": "no",
            "autoencoder.centred": "false",
            "autoencoder.widths": "64,128",
            "autoencoder.l1": (1, 2e-7),
            "synthetic.vsini": "1.5,2",
            "survey.spectra": "a.csv,b.ecsv",
            "transfer.epochs": 3.0,
        },
    )
    assert config.seed == 7 and isinstance(config.seed, int)
    assert config.survey.noise == 0.0 and isinstance(config.survey.noise, float)
    assert config.survey.real_stars == "no"
    assert config.autoencoder.centred is False
    assert config.autoencoder.widths == (64, 128)
    assert config.autoencoder.l1 == (1.0, 2e-7)
    assert config.synthetic.vsini == (1.5, 2.0)
    assert config.survey.spectra == ("a.csv", "b.ecsv")
    assert config.transfer.epochs == 3 and isinstance(config.transfer.epochs, int)
    for word, value in {"yes": True, "1": True, "TRUE": True, "no": False, "0": False, False: False}.items():
        assert load_profile("smoke", {"autoencoder.centred": word}).autoencoder.centred is value


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.floats(0, 100), st.integers(10, 286))
def test_an_override_changes_its_setting_and_nothing_else(noise, n_stars):
    plain = load_profile("demo")
    changed = load_profile("demo", {"survey.noise": str(noise), "survey.n_stars": str(n_stars)})
    assert changed.survey.noise == noise and changed.survey.n_stars == n_stars
    back = dataclasses.replace(changed.survey, noise=plain.survey.noise, n_stars=plain.survey.n_stars)
    assert dataclasses.replace(changed, survey=back) == plain


def test_paper_profile_has_the_papers_values():
    config = load_profile("paper")
    assert (config.autoencoder.epochs, config.transfer.epochs, config.regression.epochs) == (120, 60, 200)
    assert len(operators.window_grid(config.window, margin=False)) == 3501
    assert config.window.resolving_power == 94_600 and config.window.margin == 5.0
    assert config.autoencoder.batch_size == 128 and config.autoencoder.bottleneck == 32
    assert config.autoencoder.learning_rate == 1e-4 and config.autoencoder.contractive_weight == 1e-4
    assert config.autoencoder.test_fraction == 0.3 and config.transfer.test_fraction == 0.2
    assert config.autoencoder.contractive == "paper" and config.autoencoder.centred is False
    assert config.autoencoder.n_models == 26 and len(config.architectures()) >= 26
    assert (config.search.folds, config.search.epochs) == (4, 15)
    assert config.transfer.frozen_layers == 4
    assert config.regression.n_models == 5
    assert config.regression.n_models * config.autoencoder.n_models == 130
    assert config.regression.n_kept == 80
    assert config.regression.teff == RegressorConfig((64, 32), (256, 128, 64), 0.01)
    assert config.regression.batch_size == 32
    assert config.synthetic.n_spectra == 22_933
    assert config.synthetic.vsini == (1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30)
    assert config.survey.n_stars == 286


def test_every_profile_loads_and_can_train_what_it_keeps():
    for name in PROFILES:
        config = load_profile(name)
        assert config.profile == name
        assert config.autoencoder.n_models <= len(config.architectures())
        assert config.regression.n_kept <= config.regression.n_models * config.autoencoder.n_models
    assert len(load_profile("smoke").architectures()) < len(load_profile("paper").architectures())


def test_architectures_are_every_pair_widths_outermost():
    config = load_profile("smoke", {"autoencoder.widths": "64,128", "autoencoder.l1": "1e-7,2e-7"})
    assert config.architectures() == [(64, 1e-7), (64, 2e-7), (128, 1e-7), (128, 2e-7)]


def test_configuration_cannot_be_changed_in_place():
    config = load_profile("smoke")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.survey.noise = 0.0
    assert pickle.loads(pickle.dumps(config)) == config and isinstance(hash(config), int)
    assert Config() == load_profile("paper")


def test_data_mirror_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    assert data_mirror() == tmp_path
    for unset in (lambda: monkeypatch.setenv("DTL_DATA", ""), lambda: monkeypatch.delenv("DTL_DATA")):
        unset()
        assert data_mirror() is None


@pytest.mark.parametrize("kind", [DTLError, ConfigError, DataError, StoreError])
def test_errors_survive_the_way_between_processes(kind):
    error = kind("is\nbroken", file="a/b.fits", field="FLUX", remedy="mend it")
    assert str(error) == "a/b.fits: field 'FLUX': is broken; mend it"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind and str(copy) == str(error)
    again = pickle.loads(pickle.dumps(copy))
    assert str(again) == str(error) and isinstance(again, DTLError)
    assert str(kind("is broken")) == "is broken"
