"""The whole method, small: what it finds, that it resumes, that nothing stale is shown, that two runs agree."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.table import Table
from bounds import bounded
from click.testing import CliRunner
from small import TINY, copy_of, tree

from dtl_core import machine
from dtl_core.cli import main
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.models.ensemble import Ensemble
from dtl_core.networks import training
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import conduct, headline, jobs, records, search, searches
from dtl_core.pipeline.store import Store
from dtl_core.spectra.operators import doppler_shift, window_grid
from dtl_core.synthetic import generation, simulated_survey

pytestmark = pytest.mark.uses_tiny


def test_found_again_and_not_computed_again(tiny, monkeypatch):
    before = tree(tiny.store.root)
    monkeypatch.setattr(generation, "synthetic_set", lambda *a, **k: pytest.fail("computed again"))
    monkeypatch.setattr(simulated_survey, "survey_set", lambda *a, **k: pytest.fail("computed again"))
    again = conduct.run("smoke", overrides=TINY | {"workers": 1}, root=tiny.store.root, quiet=True)
    assert again.keys == tiny.keys
    assert tree(tiny.store.root) == before


@pytest.mark.parametrize(
    ("change", "until", "changed"),
    [
        ({"regression.n_kept": 2}, "catalogue", {"catalogue"}),
        ({"estimate.bandwidth": "silverman"}, "catalogue", {"catalogue"}),
        ({"regression.epochs": 3}, "catalogue", {"regression", "catalogue"}),
        ({"survey.noise": 0}, "transfer", {"observed", "gap", "transfer", "latent_gap"}),
        ({"search.epochs": 3}, "search", {"candidate"}),
        ({"umap.n_neighbors": 6}, "gap", {"gap"}),
    ],
)
def test_a_changed_setting_recomputes_what_depends_on_it_and_nothing_else(tiny, change, until, changed):
    other = conduct.run("smoke", until, overrides=TINY | {"workers": 1} | change, root=tiny.store.root, quiet=True)
    assert {stage for stage in other.keys if other.keys[stage] != tiny.keys[stage]} == changed


def test_a_profile_can_choose_the_papers_method(tiny):
    change = {"workers": 1, "recommended.method": "paper"}
    other = conduct.run("smoke", overrides=TINY | change, root=tiny.store.root, quiet=True)
    assert "recommended" in tiny.keys and set(tiny.keys) - set(other.keys) == {"recommended"}
    assert other.keys["catalogue"] == tiny.keys["catalogue"]


def test_stars_are_encoded_before_and_after_fine_tuning_and_synthetic_spectra_before(tiny):
    flux = {"synthetic": tiny.synthetic["flux"], "direct": tiny.observed, "transfer": tiny.observed}
    for member in range(len(tiny.architectures)):
        stored = tiny.arrays("transfer", "latents", member)
        assert not np.allclose(stored["direct"], stored["transfer"])
        for name, spectra in flux.items():
            with torch.no_grad():
                expected = tiny.autoencoder(member, tuned=name == "transfer").encode(torch.from_numpy(spectra))[0]
            np.testing.assert_allclose(stored[name], expected, rtol=1e-4, atol=1e-5)


STAGED = {
    "candidate": ["scores"],
    "autoencoder": ["weights", "history"],
    "transfer": ["weights", "history", "latents"],
    "regression": ["weights", "estimates"],
}


def test_networks_trained_together_equal_those_trained_one_by_one(tiny, tmp_path):
    """Float32 rounds otherwise in a stack: to 2e-3 of the largest value after these few steps."""
    rates = {"autoencoder.learning_rate": 1e-3, "search.learning_rates": "1e-3"}
    both = TINY | rates | {"autoencoder.l1": "1e-7,2e-7,3e-7", "workers": 1}
    for size in (1, 2):
        copy_of(tiny, tmp_path / str(size), "synthetic", "observed", "gap")
    one, two = (
        conduct.run("smoke", "regression", overrides=both | {"stack": size}, root=tmp_path / str(size), quiet=True)
        for size in (1, 2)
    )
    assert one.keys == two.keys and len(one.keys["regression"]) == 2
    for stage, files in STAGED.items():
        for file in files:
            for member in range(2):
                mine, theirs = one.arrays(stage, file, member), two.arrays(stage, file, member)
                assert set(mine) == set(theirs)
                for name, value in mine.items():
                    apart = np.abs(theirs[name] - value).max(initial=0) / max(np.abs(value).max(initial=0), 1e-6)
                    bounded(f"{stage} apart", apart, below=2e-3)


def test_a_parameter_has_a_regressor_of_its_own_and_changes_no_other(tiny, tmp_path):
    shutil.copytree(tiny.store.root, tmp_path, dirs_exist_ok=True)
    change = {"regression.mh.filters": "8,4", "regression.mh.units": "32,16,8", "regression.vsini.learning_rate": 0.01}
    other = conduct.run("smoke", overrides=TINY | {"workers": 1} | change, root=tmp_path, quiet=True)
    mine, theirs = tiny.arrays("regression", "estimates", 0), other.arrays("regression", "estimates", 0)
    for k, name in enumerate(PARAMETERS):
        own = mine["column"] == k
        scale = mine["test_truth"][k].std()
        difference = np.abs(mine["test_prediction"][own] - theirs["test_prediction"][own]).max() / scale
        if name in ("teff", "logg"):
            bounded(f"{name} apart", difference, below=2e-3)  # another stack rounds otherwise
        else:
            bounded(f"{name} apart", difference, above=2e-3)
    weights = other.arrays("regression", "weights", 0)
    assert weights["mh.convolutions.0.weight"].shape == (1, 2, 8) and weights["mh.dense.2.weight"].shape == (1, 8, 16)
    assert weights["teff.convolutions.0.weight"].shape == (1, 2, 64)
    assert Ensemble(other).estimate(other.observed[:3]).shape == (3, 4, 3)


def test_what_a_stage_took_is_known(tiny):
    for stage in ("autoencoder", "transfer", "regression"):
        timing = tiny.store.timing(stage, tiny.keys[stage][0])
        assert timing["together"] == 1 and timing["seconds"] > 0 and timing["peak_memory"] > 5e7
        assert len(timing["epochs"]) == getattr(tiny.config, stage).epochs
        assert np.all(np.diff(timing["epochs"]) >= 0) and timing["epochs"][-1] <= timing["seconds"] + 0.01
    assert tiny.peak_memory()["regression"] == max(
        tiny.store.timing("regression", key)["peak_memory"] for key in tiny.keys["regression"]
    )


SEARCH = {
    "search.filters": "8,16",
    "search.second_filters": "8",
    "search.last_units": "8",
    "search.regressor_rates": "1e-5,3e-3",
    "search.regressor_epochs": 4,
    "search.halving": 2,
}


def test_the_search_is_a_command_that_leaves_a_record(tiny, tmp_path):
    settings = [f"--set={name}={value}" for name, value in (TINY | {"workers": 1} | SEARCH).items()]
    where = ["--results", str(tiny.store.root), "--out", str(tmp_path), "--quiet"]
    done = CliRunner().invoke(main, ["search", "--profile", "smoke", *settings, *where])
    assert done.exit_code == 0, done.output
    values = records.read("searches", tmp_path)["values"]
    assert values["profile"] == "smoke" and values["settings"]["search.halving"] == "2"
    assert sorted(values["autoencoders"]["rank"]) == list(range(len(values["autoencoders"]["width"])))
    assert len(values["regressors"]["mse"]) == 16 and set(values["chosen"]) == set(PARAMETERS)
    best = values["chosen"]["teff"]
    assert f"teff: filters {tuple(best['filters'])}, units {tuple(best['units'])}, learning rate 0.003" in done.output


def test_the_search_for_regressors_finds_a_table_for_every_parameter(tiny):
    overrides = TINY | {"workers": 1} | SEARCH
    run = conduct.run("smoke", "transfer", overrides=overrides, root=tiny.store.root, quiet=True)
    table = searches.search_regressors(run, quiet=True)
    assert len(table) == 16 and set(table["parameter"]) == set(PARAMETERS)
    assert (table.groupby("parameter")["epochs"].max() == 4).all() and (table["mse"] > 0).all()
    best = table.groupby(["parameter", "learning_rate"])["mse"].min().unstack()
    bounded("best error at 1e-5 over that at 3e-3", best[1e-5] / best[3e-3], above=1)
    chosen = search.select_regressors(table)
    assert {net.learning_rate for net in chosen.values()} == {3e-3}, "1e-5 learns nothing in so few steps"
    assert searches.search_regressors(run, quiet=True).equals(table)  # from the store


@pytest.mark.parametrize(
    ("stage", "stop", "left"),
    [
        ("train_autoencoders", 2, [1]),
        ("train_regressors", 2, [1, 0, 1, 0, 0, 1, 1]),  # the stack of Teff, then log g, then [M/H] with v sin i
        ("train_regressors", 4, [1, 0, 0, 1, 1]),  # Teff is finished
        ("train_regressors", 6, [1, 1]),
    ],
)
def test_a_stage_stopped_in_the_middle_goes_on_from_its_last_epoch(
    tiny, tmp_path, monkeypatch, request, stage, stop, left
):
    shutil.copytree(tiny.store.root, tmp_path / "store")
    kind = {"train_autoencoders": "autoencoder", "train_regressors": "regression"}[stage]
    shutil.rmtree(tmp_path / "store" / kind)
    store, config = Store(tmp_path / "store"), tiny.config
    row = tiny.architectures.iloc[0]
    members = [conduct.stages.Member(int(row["width"]), float(row["l1"]), 0)]
    before = [tiny.keys["transfer"][:1]] if kind == "regression" else []
    calls = []

    def progress(share=1.0):
        calls.append(share)
        if len(calls) == stop:  # at the end of a second epoch, after the first was saved
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the workers, whose bytes these shall be
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    monkeypatch.setattr(training.Checkpoint, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        getattr(conduct.stages, stage)(store, config, tiny.keys, *before, members, progress)
    assert len(list((store.root / "checkpoints").iterdir())) == stop // 2
    assert not list((store.root / "unfinished").iterdir())
    epochs = []
    monkeypatch.setattr(training, "_order", lambda row, seed, epoch, f=training._order: epochs.append(epoch) or
                        f(row, seed, epoch))  # fmt: skip
    (key,) = getattr(conduct.stages, stage)(store, config, tiny.keys, *before, members)
    assert key == tiny.keys[kind][0] and epochs == left, "no epoch is trained again"
    mine, theirs = tree(tiny.store.path(kind, key)), tree(store.path(kind, key))
    assert mine == theirs and not list((store.root / "checkpoints").iterdir())


def test_another_seed_gives_other_numbers(tiny, tmp_path):
    other = conduct.run("smoke", "synthetic", overrides=TINY | {"seed": 1}, root=tmp_path, quiet=True)
    assert not np.array_equal(other.synthetic["labels"], tiny.synthetic["labels"])


def test_another_number_of_threads_gives_the_same_to_the_last_digits(tiny, tmp_path):
    """Within 1 K, 0.005 dex, 0.01 dex and 0.05 km/s."""
    copy_of(tiny, tmp_path, "gap", "latent_gap")  # nothing follows from them
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    settings = [f"--set={name}={value}" for name, value in (TINY | {"workers": 2}).items()]
    command = [sys.executable, "-m", "dtl_core", "run", "--profile", "smoke", "--results", str(tmp_path), *settings]
    done = subprocess.run(command, env=os.environ | dict.fromkeys(names, "1"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one = conduct.run("smoke", overrides=TINY | {"workers": 2}, root=tmp_path, quiet=True)
    assert one.keys == tiny.keys
    for encoder in (*conduct.ENCODERS, "recommended"):
        mine, other = tiny.catalogue_of(encoder), one.catalogue_of(encoder)
        for column, tolerance in (("Teff", 1.0), ("logg", 0.005), ("[M/H]", 0.01), ("vsini", 0.05)):
            for name in (column, f"e_{column}", f"E_{column}"):
                assert np.allclose(mine[name], other[name], rtol=0, atol=tolerance), (encoder, name)


def test_paper_profile_runs_the_same_code(tmp_path):
    small = TINY | {"autoencoder.contractive": "exact", "autoencoder.widths": "64,72", "regression.n_models": 2}
    run = conduct.run("paper", overrides=small, root=tmp_path, quiet=True)
    assert len(run.wavelength) == 3501
    assert not run.config.autoencoder.centred
    assert np.isfinite(list(v for v in run.figures.values() if isinstance(v, float))).all()


def test_own_spectrum_joins_the_observed_domain(tiny, tmp_path):
    grid = window_grid(tiny.config.window)
    star = Table({"wavelength": doppler_shift(grid, 30.0), "flux": np.interp(grid, tiny.wavelength, tiny.observed[3])})
    star.meta["OBJECT"] = "My star"
    star["wavelength"].unit = "Angstrom"
    star.write(tmp_path / "star.ecsv")
    change = {"survey.spectra": str(tmp_path / "star.ecsv")}
    run = conduct.run("smoke", "observed", overrides=TINY | change, root=tiny.store.root, quiet=True)
    assert run.stars[-1] == "My star"
    assert run.reports["velocity"].iloc[0] == pytest.approx(30.0, abs=0.5)
    rms = np.sqrt(np.mean((run.observed[-1] - tiny.observed[3]) ** 2))
    assert rms < 0.03
    assert run.keys["synthetic"] == tiny.keys["synthetic"] and run.keys["observed"] != tiny.keys["observed"]


@pytest.mark.data
def test_real_stars_set_the_resolving_power():
    config, files = conduct.resolve(load_profile("smoke"))
    assert len(files) == 3
    assert config.window.resolving_power == 53_000


def test_without_real_stars_the_profile_is_kept(monkeypatch):
    monkeypatch.delenv("DTL_DATA", raising=False)
    config, files = conduct.resolve(load_profile("smoke"))
    assert files == [] and config.window.resolving_power == 94_600
    with pytest.raises(DataError, match="no HPF spectra found"):
        conduct.resolve(load_profile("smoke", {"survey.real_stars": "yes"}))


def test_two_exposures_of_one_star_are_two_rows(tiny, tmp_path):
    grid = window_grid(tiny.config.window)
    for scale, name in enumerate(("a", "b"), 1):
        star = Table({"wavelength": grid, "flux": scale * np.interp(grid, tiny.wavelength, tiny.observed[3])})
        star.meta["OBJECT"] = tiny.stars[0]  # a name that the survey uses, too
        star.write(tmp_path / f"{name}.ecsv")
    change = TINY | {"survey.spectra": f"{tmp_path / 'a.ecsv'},{tmp_path / 'b.ecsv'}"}
    run = conduct.run("smoke", "observed", overrides=change, root=tiny.store.root, quiet=True)
    assert run.stars[-2:] == [f"{tiny.stars[0]} (a)", f"{tiny.stars[0]} (b)"]
    assert len(set(run.stars)) == len(run.stars)
    for warnings in run.reports["warnings"]:
        assert "no resolving power given, taken as the run's 94600" in warnings
    together = conduct.run("smoke", "observed", overrides=change | {"survey.coadd": "yes"}, root=tiny.store.root)
    assert len(together.reports) == 1 and together.reports["n_exposures"][0] == 2


def test_broken_spectra_stop_a_run_unless_they_are_to_be_skipped(tiny, tmp_path):
    grid = window_grid(tiny.config.window)
    Table({"wavelength": grid, "flux": np.interp(grid, tiny.wavelength, tiny.observed[3])}).write(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("wavelength,flux\n1,oops\n")
    change = TINY | {"survey.spectra": str(tmp_path)}  # a folder
    with pytest.raises(DataError, match="b.csv"):
        conduct.run("smoke", "observed", overrides=change, root=tiny.store.root, quiet=True)
    run = conduct.run("smoke", "observed", overrides=change | {"survey.broken": "skip"}, root=tiny.store.root)
    assert run.stars[-1] == "a" and len(run.refused) == 1 and "b.csv" in run.refused["error"][0]


def test_a_lower_resolving_power_than_that_of_the_real_stars_is_kept(monkeypatch):
    monkeypatch.setattr(conduct.registry, "find_all", lambda pattern: [])
    assert conduct.resolve(load_profile("smoke"))[0].window.resolving_power == 94_600
    monkeypatch.setattr(conduct.registry, "find_all", lambda pattern: [Path("one")])
    assert conduct.resolve(load_profile("smoke"))[0].window.resolving_power == 53_000
    low = load_profile("smoke", {"window.resolving_power": 30_000})
    assert conduct.resolve(low)[0].window.resolving_power == 30_000


def test_unknown_stage():
    with pytest.raises(ConfigError, match="unknown stage 'end'"):
        conduct.run("smoke", "end")


def test_manifest_says_what_a_result_was_made_from(tiny):
    manifest = json.loads((tiny.store.path("autoencoder", tiny.keys["autoencoder"][0]) / "manifest.json").read_text())
    assert manifest["inputs"] == {"synthetic": tiny.keys["synthetic"]}
    assert manifest["settings"]["architecture"]["epochs"] == 2
    assert {"python", "numpy", "torch", "scipy", "umap-learn"} <= set(manifest["versions"])
    assert manifest["settings"]["device"] == "cpu"
    assert set(manifest["files"]) == {"weights.safetensors", "history.safetensors"}
    record = headline.last_run("smoke", tiny.store.root)
    assert record["seconds"]["autoencoder"] > 0


class Fatal:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_worker_that_dies_is_one_line(tmp_path):
    config = load_profile("smoke", TINY | {"workers": 1})
    keys = {"synthetic": "none", "fatal": Fatal()}
    job = jobs.Job("candidate", tmp_path, config, keys, ([(64, 1e-7, 1e-3)], 1), cost={"candidate": 1.0})
    with (
        pytest.raises(DTLError, match="a worker process died") as error,
        jobs.Workers(config, quiet=True) as workers,
    ):
        workers.run([job], "test")
    assert "workers=1" in str(error.value)


def test_two_spectra_of_one_name_are_two_inputs(tiny, tmp_path):
    grid = window_grid(tiny.config.window)
    runs = []
    for velocity in (20.0, -20.0):
        folder = tmp_path / f"{velocity:.0f}"
        folder.mkdir()
        flux = np.interp(grid, tiny.wavelength, tiny.observed[3])
        Table({"wavelength": doppler_shift(grid, velocity), "flux": flux}).write(folder / "star.csv")
        other = tmp_path / "other" / "star.csv"
        other.parent.mkdir(exist_ok=True)
        Table({"wavelength": doppler_shift(grid, 5.0), "flux": flux}).write(other, overwrite=True)
        names = f"{folder / 'star.csv'},{other}"
        change = TINY | {"survey.spectra": names}
        runs.append(conduct.run("smoke", "observed", overrides=change, root=tiny.store.root, quiet=True))
    assert runs[0].keys["observed"] != runs[1].keys["observed"]
    assert runs[1].reports["velocity"].tolist() == pytest.approx([-20, 5], abs=0.5)


def test_workers_fit_the_memory():
    assert machine.affordable_workers(1e15) == 1
    assert machine.affordable_workers(1.0) == len(os.sched_getaffinity(0))
