"""Keys of stored results: what a stage reaches by imports is in its key, and what it calls lies in what it reaches."""

import sys
from pathlib import Path

import pytest
from small import TINY

import dtl_core
from book.maker import documents
from dtl_core import source_code
from dtl_core.config import load_profile
from dtl_core.pipeline import conduct, results, stages
from dtl_core.pipeline.store import Store
from dtl_core.source_code import closure, code_hashes, module_hash

STAGES = "dtl_core.pipeline.stages"


@pytest.fixture
def changed(monkeypatch):
    """change(module, old, new): the same package with another text of one module, while the test lasts."""

    def clear():
        source_code._parsed.cache_clear()
        code_hashes.cache_clear()

    def change(name, old, new):
        text = source_code._SOURCES[name]
        assert old in text, f"{name} has no {old!r}"
        monkeypatch.setitem(source_code._SOURCES, name, text.replace(old, new, 1))
        clear()

    yield change
    monkeypatch.undo()
    clear()


def key(stage, folder):
    return Store(folder).key(stage, {}, {}, f"{STAGES}.{stage}")[0]


def test_only_code_counts(changed, tmp_path):
    before = {stage: key(stage, tmp_path) for stage in ("catalogue", "regression")}
    changed("dtl_core.estimates.density", '"""', '"""Another docstring. ')
    changed("dtl_core.estimates.density", "def best_of(", "# a comment\n\n\ndef best_of(")
    changed("dtl_core.config", '"width of a pixel"', '"another help text"')
    assert {stage: key(stage, tmp_path) for stage in before} == before
    changed("dtl_core.estimates.density", "def best_of(", "changed = 1\n\n\ndef best_of(")
    assert key("catalogue", tmp_path) != before["catalogue"]
    assert key("regression", tmp_path) == before["regression"]  # it makes no densities


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("synthetic_spectra", "spectra.operators"),
        ("observed_spectra", "reading.text"),  # reached through readers and tables
        ("pretraining", "networks.stacks"),
        ("transfer", "networks.fine_tuning"),
        ("recommended", "estimates.calibration"),
        ("catalogue", "estimates.density"),
    ],
)
def test_a_change_deep_below_changes_the_key(changed, tmp_path, stage, module):
    before = key(stage, tmp_path)
    name = f"dtl_core.{module}"
    changed(name, "from __future__ import annotations\n", "from __future__ import annotations\n\nchanged = 1\n")
    assert key(stage, tmp_path) != before


@pytest.mark.slow
def test_a_change_of_one_stage_leaves_the_others(changed, tmp_path):
    names = [name.rpartition(".")[2] for name in source_code._SOURCES if name.startswith(f"{STAGES}.")]
    before = {name: key(name, tmp_path) for name in names}
    changed(f"{STAGES}.domain_gap", "def measure_gap(", "changed = 1\n\n\ndef measure_gap(")
    assert [name for name in names if key(name, tmp_path) != before[name]] == ["domain_gap"]


@pytest.mark.slow
def test_a_document_depends_on_the_package_and_on_what_makes_it(changed, tmp_path):
    run = results.Run(load_profile("smoke"), Store(tmp_path), {})

    def keys():
        made = [documents.document(run, name, {}, {}, lambda folder: None, f"book.maker.{name}") for name in makers]
        return [folder.name for folder in made]

    makers = ("execution", "pages")
    notebook, pages = keys()
    changed("book.maker.sliders", "__all__", "changed = 1\n__all__")
    assert keys()[0] == notebook and keys()[1] != pages
    with_cli = "dtl_core.cli", "__all__", "changed = 1\n__all__"
    for change in (("benchmarks.transfer", "SEEDS", "changed = 1\nSEEDS"), with_cli):  # records may be stale then
        changed(*change)
        assert keys()[0] != notebook
        notebook = keys()[0]


def test_a_survey_depends_on_all_that_its_models_reach():
    reached = closure("dtl_core.models.parallel")
    for name in ("estimates.density", "networks.regressor", "reading.hpf", "preparing.chain", "bridging.emulator"):
        assert f"dtl_core.{name}" in reached
    assert not [name for name in reached if ".pipeline" in name or ".literature" in name or "benchmark" in name]


def test_modules_are_hashed_as_they_were_imported():
    names = set(code_hashes())
    assert {f"dtl_core.{path.stem}" for path in Path(dtl_core.__file__).parent.glob("[a-z]*.py")} <= names
    assert module_hash("dtl_core.errors") != module_hash("dtl_core.files")
    assert closure("numpy") == ()


def called(function):
    """Modules of the package in which functions were called while ``function`` ran."""
    root, seen = str(Path(dtl_core.__file__).parent), set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(root) and frame.f_code.co_name != "<module>":
            seen.add(frame.f_globals["__name__"])

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.uses_tiny
def test_whatever_a_stage_calls_is_in_its_key(tiny, tmp_path):
    """Each stage is computed in this process and watched: no function may be called outside of its closure."""
    config, files = conduct.resolve(load_profile("smoke", TINY | {"workers": 1}))
    store, keys, stars = Store(tmp_path), {}, tiny.stars
    members = [stages.Member(int(row.width), float(row.l1), 0) for row in tiny.architectures.head(1).itertuples()]

    def watch(name, function):
        made = []
        # the store, progress and the settings that a caller hands over are not the stage's
        around = {f"dtl_core.{part}" for part in ("pipeline.store", "source_code", "machine", "config")}
        outside = called(lambda: made.append(function())) - set(closure(f"{STAGES}.{name}")) - around
        assert not outside, f"{name} calls {', '.join(sorted(outside))}"
        return made[0]

    keys["synthetic"] = watch("synthetic_spectra", lambda: stages.make_synthetic(store, config))[1]
    keys["observed"] = watch("observed_spectra", lambda: stages.make_observed(store, config, files))[1]
    width = members[0].width
    candidates = [(width, members[0].l1, config.search.learning_rates[0])]
    watch("searching", lambda: stages.score_candidates(store, config, keys, candidates, 1))
    trained = watch("pretraining", lambda: stages.train_autoencoders(store, config, keys, members))
    tuned = watch("transfer", lambda: stages.transfer_autoencoders(store, config, keys, trained, members))
    fitted = watch("regression", lambda: stages.train_regressors(store, config, keys, tuned, members))
    watch("catalogue", lambda: stages.make_catalogue(store, config, keys, fitted, stars))
    watch("recommended", lambda: stages.make_recommended(store, config, keys))
    run = conduct.Run(config, store, keys)
    synthetic, observed = run.synthetic["flux"], run.observed
    inputs, vectors = (
        {name: keys[name] for name in ("synthetic", "observed")},
        (lambda: synthetic, lambda: {"flux": observed}),
    )
    options = {"name": "gap", "metric": "correlation"}
    watch("domain_gap", lambda: stages.measure_gap(store, config, inputs, *vectors, **options))
