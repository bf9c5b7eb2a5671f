"""Jobs for a workflow engine: the plan names what a run makes, and the engine makes the same bytes with faults, too."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slurm
import yaml
from small import TINY, copy_of, stored, tree
from toys import simulated

from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.models.bulk import BulkCatalogue
from dtl_core.pipeline import conduct
from dtl_core.reading import sources
from workflow.graph import GRAPH
from workflow.jobs import BulkPlan, Plan, Waiting, load_plan

pytestmark = pytest.mark.uses_tiny

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = TINY | {"workers": 1}
STAGES = ("synthetic", "observed", "gap", "candidate", "autoencoder", "transfer", "regression", "recommended",
          "latent_gap", "catalogue")  # fmt: skip


def results(root):
    """All results in a store, with their hashes."""
    return {name: digest for name, digest in tree(root).items() if name.split("/")[0] in STAGES}


def snakemake(root, *arguments, environment=None, config=(), profile=None):
    """The workflow of the small run: the finished process, and what it said."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    command += ["--directory", str(root.parent), "--nocolor", *arguments]
    if profile:
        command += ["--workflow-profile", str(ROOT / "workflow" / "profiles" / profile)]
    command += ["--config", f"results={root}", *config]
    if not any(one.startswith("spectra=") for one in config):
        command += ["profile=smoke", f"set={json.dumps(SETTINGS)}"]
    environment = (environment or os.environ) | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done, done.stdout + done.stderr


# ---------------------------------------------------------------- the plan


def test_the_plan_names_what_a_run_makes(tiny, tmp_path):
    plan = Plan("smoke", SETTINGS, tiny.store.root)
    assert plan.n_rounds == 2
    assert plan.all_keys() == tiny.keys
    assert list(plan.members()) == tiny.keys["regression"]
    tried = tiny.keys["candidate"]
    assert set(plan.round(0)) == set(tried[:4]) and set(plan.round(1)) == set(tried[4:])
    assert len(plan.round(0)) == 4 and len(plan.round(1)) == 2
    empty = Plan("smoke", SETTINGS, tmp_path)
    assert empty.keys == plan.keys and not list(tmp_path.iterdir())  # planning makes nothing


def test_what_depends_on_the_search_waits_for_it(tiny, tmp_path):
    plan = Plan("smoke", SETTINGS, copy_of(tiny, tmp_path / "store", "synthetic"))
    assert set(plan.round(0)) == set(tiny.keys["candidate"][:4])
    for ask in (lambda: plan.round(1), plan.members, plan.all_keys):
        with pytest.raises(Waiting):
            ask()
    copy_of(tiny, plan.root, "candidate")
    assert plan.round_done(0) and plan.round_done(1)
    shutil.rmtree(plan.root / "candidate" / tiny.keys["candidate"][4])
    assert plan.round_done(0) and not plan.round_done(1)
    assert set(plan.round(1)) == set(tiny.keys["candidate"][4:])


def test_a_plan_survives_its_file(tmp_path):
    plan = Plan("smoke", SETTINGS | {"umap.n_neighbors": 6}, tmp_path)
    again = load_plan(plan.save())
    assert again.config == plan.config and again.file == plan.file
    (tmp_path / "no_plan.json").write_text('{"kind": "run"}')
    with pytest.raises(DataError, match="is not a plan; start the workflow again"):
        load_plan(tmp_path / "no_plan.json")


def test_a_job_that_the_plan_does_not_have_is_refused(tiny):
    plan = Plan("smoke", SETTINGS, tiny.store.root)
    for stage in ("regression", "synthetic", "candidate", "catalogue"):
        with pytest.raises(DTLError, match="start the workflow again"):
            plan.perform(stage, "0" * 20)
    with pytest.raises(DataError, match="no stage 'nonsense'"):
        plan.perform("nonsense", "0" * 20)


def test_corrupted_results_are_move_corrupted_before_anything_is_planned(tiny, tmp_path):
    root = copy_of(tiny, tmp_path / "store", "synthetic", "candidate", "regression")
    plan, key = Plan("smoke", SETTINGS, root), tiny.keys["regression"][1]
    broken = root / "regression" / key / "weights.safetensors"
    content = bytearray(broken.read_bytes())
    content[-5] ^= 1
    broken.write_bytes(content)
    lost = tiny.keys["candidate"][5]
    (root / "candidate" / lost / "scores.safetensors").unlink()
    plan.file.parent.mkdir(parents=True)
    for number in range(2):
        plan.round_file(number).touch()
    assert plan.discard_invalid() == [("candidate", lost)]  # what comes after the search is not known without it
    assert plan.round_file(0).is_file() and not plan.round_file(1).is_file()
    shutil.copytree(tiny.store.path("candidate", lost), root / "candidate" / lost)
    assert plan.discard_invalid() == [("regression", key)]
    assert not (root / "regression" / key).exists() and len(list((root / "corrupted").iterdir())) == 2
    assert plan.discard_invalid() == []


def test_a_job_does_not_build_on_what_was_corrupted_meanwhile(tiny, tmp_path):
    root = copy_of(tiny, tmp_path / "store", "synthetic", "observed", "candidate")
    flux = next((root / "observed").glob("*/observed.safetensors"))
    flux.write_bytes(flux.read_bytes()[:-1] + b"\x00")
    plan = Plan("smoke", SETTINGS, root)
    with pytest.raises(DataError, match="is missing or corrupted; start the workflow again"):
        plan.perform("regression", tiny.keys["regression"][0])
    assert not flux.exists()


def test_of_a_stack_the_engine_watches_what_is_missing(tiny, tmp_path):
    """Candidates that train together are one job, which is not done while one of them is missing."""
    root = copy_of(tiny, tmp_path / "store", "synthetic", "candidate")
    plan = Plan("smoke", SETTINGS | {"stack": 2}, root)
    stacks = [plan._named([job])[0]["candidate"] for job in plan.round(0).values()]
    pair = next(keys for keys in stacks if len(keys) == 2)
    assert pair[0] in plan.round(0)
    shutil.rmtree(root / "candidate" / pair[1])
    assert pair[1] in plan.round(0) and pair[0] not in plan.round(0)
    assert plan._job("candidate", pair[0]) == plan._job("candidate", pair[1]) == plan.round(0)[pair[1]]


@pytest.mark.parametrize(
    ("given", "named"),
    [({"part": "abc"}, "part"), ({"part": 0}, "part"), ({"chunk": -1}, "chunk"), ({"velocity": "fast"}, "rv"),
     ({"options": {"medum": "air"}}, "medum"), ({"options": {"resolving_power": "high"}}, "resolution"),
     ({"options": {"medium": "water"}}, "medium")],
)  # fmt: skip
def test_wrong_settings_of_a_catalogue_are_one_line(tmp_path, given, named):
    with pytest.raises(ConfigError, match=f"field '{named}'") as error:
        BulkPlan("stars.zarr", tmp_path / "made.parquet", root=tmp_path, **given)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="field 'set'"):
        Plan("smoke", "seed=1", tmp_path)


def test_numbers_of_a_catalogue_are_numbers(tmp_path):
    """However the engine hands them over."""
    about = {"part": "64", "velocity": "-3", "options": {"resolving_power": "60000", "medium": None}}
    plan = BulkPlan("stars.zarr", tmp_path / "made.parquet", root=tmp_path, **about)
    assert plan.what["part"] == 64 and plan.what["velocity"] == -3.0
    assert plan.what["options"] == {"resolving_power": 60_000.0}


# ---------------------------------------------------------------- the engine


@pytest.mark.nightly
def test_the_engine_and_a_run_go_on_where_the_other_stopped(tiny, tmp_path):
    """The engine makes what ``dtl run`` left; a job that fails three times stops no other; the run then makes it."""
    root = copy_of(tiny, tmp_path / "store", "synthetic", "observed", "gap", "candidate", "recommended")
    shutil.rmtree(root / "candidate" / tiny.keys["candidate"][5])
    first, broken = tiny.keys["autoencoder"][0], tiny.keys["regression"][0]
    (root / "autoencoder" / first).mkdir(parents=True)
    (root / "autoencoder" / first / "junk").touch()  # to be moved aside
    (root / "corrupted").touch()  # where that cannot be done
    done, said = snakemake(root, profile="default")
    assert done.returncode == 1
    assert said.count("Error in rule regression:") == 3, said
    waits = {}  # the graph that the book shows
    for rule, files in re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):\n    input: (.*)$", said, re.M):
        waits.setdefault(rule, set()).update(re.findall(rf"{root}/(\w+)/\w+/manifest.json", files))
    assert set(waits) == {"candidate", "round", "regression"}
    assert waits.items() <= {rule: set(others) - {"round"} for rule, others in GRAPH.items()}.items()
    cause = f"{root}: cannot be written (File exists); free disk space or set DTL_RESULTS"
    assert re.findall(r"^dtl: (.*)$", said, re.M) == [f"regression-{broken}: {cause}"], said
    expected, lost = stored(tiny), (first, tiny.keys["transfer"][0], broken)
    assert set(expected) - set(results(root)) == {
        name for name in expected if name.startswith(("catalogue", "latent_gap")) or name.split("/")[1] in lost
    }
    (root / "corrupted").unlink()
    assert conduct.run("smoke", overrides=SETTINGS, root=root, quiet=True).keys == tiny.keys
    assert results(root) == expected
    done, said = snakemake(root, profile="default")
    assert done.returncode == 0 and "Nothing to be done" in said


def test_wrong_settings_are_one_line(tmp_path):
    done, said = snakemake(tmp_path / "store", "-n", config=["colour=blue"])
    assert done.returncode == 1
    assert "unknown setting colour; known are catalogue, chunk" in said
    (tmp_path / "empty").mkdir()
    done, said = snakemake(tmp_path / "store", "-n", config=[f"spectra={tmp_path}/empty"])
    assert done.returncode == 1 and f"{tmp_path}/empty: no spectra; give files" in said and "Traceback" not in said


@pytest.mark.nightly
@pytest.mark.skipif(not slurm.there(), reason="no Slurm that could be started here (Debian: slurm-wlm, munge; as root)")
def test_slurm_makes_the_same_bytes_though_a_job_is_killed(tiny, tmp_path):
    """A job killed on its node is redone."""
    stages = "synthetic", "observed", "candidate"
    root = copy_of(tiny, tmp_path / "store", *stages)
    shutil.rmtree(root / "candidate" / tiny.keys["candidate"][0])
    short = Path("/tmp") / f"dtl-slurm-{os.getpid()}"  # a socket's name is short
    options = ["--seconds-between-status-checks", "1", "--slurm-init-seconds-before-status-checks", "1"]
    options += ["--latency-wait", "5", "--until", "candidate"]
    try:
        with slurm.cluster(short) as environment:
            killer = subprocess.Popen([sys.executable, "-c", KILLER, str(root)], stdout=subprocess.PIPE, text=True)
            done, said = snakemake(root, *options, environment=environment, profile="slurm")
    finally:
        shutil.rmtree(short, ignore_errors=True)
    assert killer.communicate(timeout=60)[0] == "killed\n", said
    assert done.returncode == 0, said
    assert said.count("Error in rule candidate:") == 1, said
    assert len(re.findall("has been submitted with SLURM", said)) == 2, said
    assert results(root) == {name: digest for name, digest in stored(tiny).items() if name.split("/")[0] in stages}


# Kills the first trial that it sees, as a node does that runs out of memory.
KILLER = """
import os, signal, subprocess, sys, time
deadline = time.time() + 120
while time.time() < deadline:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = open(f"/proc/{name}/cmdline").read().split("\\0")
        except OSError:
            continue
        if line[1:3] == ["-m", "workflow.jobs"] and line[3].startswith(sys.argv[1]) and line[4] == "candidate":
            os.kill(int(name), signal.SIGKILL)
            print("killed")
            sys.exit()
    time.sleep(0.02)
"""


# ---------------------------------------------------------------- a bulk catalogue


@pytest.mark.nightly
def test_a_catalogue_is_jobs_of_some_parts_each(tmp_path):
    wavelength, flux, _ = simulated(7)
    about = {"resolving_power": 53_000.0, "instrument": "TEST", "frame": "rest"}
    arrays = [{"flux": flux.astype(np.float32), "uncertainty": np.full(flux.shape, 0.005, np.float32)}]
    store = sources.write_zarr(tmp_path / "stars.zarr", wavelength, arrays, 7, rows=2, **about)
    expected, made = tmp_path / "expected.parquet", tmp_path / "made.parquet"
    BulkCatalogue(expected, sources.open_source(store), part=2).run()
    root, config = tmp_path / "store", [f"spectra={store}", f"catalogue={made}", "part=2", "chunk=2"]
    plan = BulkPlan(store, made, part=2, chunk=2, root=root)
    assert plan.chunks() == [range(0, 2), range(2, 4)]
    shutil.copytree(expected, made)  # all is there, but one part is corrupted
    (made / "part-0000000.parquet").write_bytes(b"PAR1")
    done, said = snakemake(root, config=config, profile="default")
    assert done.returncode == 0, said
    assert said.count("rule chunk:") == 1 and "part 0 is corrupted or out of date: made again" in said, said
    assert {path.name: path.read_bytes() for path in made.iterdir()} == {
        path.name: path.read_bytes() for path in expected.iterdir()
    }


# ---------------------------------------------------------------- Kubernetes


@pytest.fixture
def kubectl(tmp_path):
    """Environment with a ``kubectl`` that keeps what it is given, and answers with the file ``answer``."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n[ "$1" = create ] && cat > {tmp_path}/job.yaml\n'
                       f'cat {tmp_path}/answer\n')  # fmt: skip
    program.chmod(0o755)
    own = {"DTL_IMAGE": "registry/dtl:1", "DTL_CLAIM": "shared", "DTL_MOUNT": "/shared"}
    return os.environ | own | {"DTL_RESULTS": "/shared/my results"} | {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def test_a_job_of_kubernetes_has_the_volume_and_the_memory(kubectl, tmp_path):
    scripts = ROOT / "workflow" / "profiles" / "kubernetes"
    (tmp_path / "answer").write_text("dtl-x7k")
    done = subprocess.run([scripts / "submit.sh", "3000", "/shared/.snakemake/tmp/job 1.sh"], env=kubectl, cwd="/",
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0 and done.stdout == "dtl-x7k", done.stderr
    spec = yaml.safe_load((tmp_path / "job.yaml").read_text())["spec"]
    pod, (container,) = spec["template"]["spec"], spec["template"]["spec"]["containers"]
    assert spec["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"  # the engine tries again, and counts
    assert container["command"] == ["bash", "/shared/.snakemake/tmp/job 1.sh"] and container["workingDir"] == "/"
    assert container["env"] == [{"name": "DTL_RESULTS", "value": "/shared/my results"}]
    assert container["resources"]["limits"] == {"memory": "3000M"}
    assert container["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "shared"}
    del kubectl["DTL_CLAIM"]
    done = subprocess.run([scripts / "submit.sh", "3000", "job.sh"], env=kubectl, capture_output=True, text=True)
    assert done.returncode and "DTL_CLAIM: the claim of the shared volume" in done.stderr


@pytest.mark.parametrize(
    ("answer", "state"),
    [("state 1/", "success"), ("state /1", "failed"), ("state /", "running"), ("", "failed"), (None, "running")],
)
def test_the_state_of_a_job_of_kubernetes_is_read(kubectl, tmp_path, answer, state):
    if answer is not None:  # else kubectl fails: the cluster cannot be asked
        (tmp_path / "answer").write_text(answer)
    script = ROOT / "workflow" / "profiles" / "kubernetes" / "status.sh"
    done = subprocess.run([script, "dtl-x7k"], env=kubectl, capture_output=True, text=True)
    assert done.stdout == f"{state}\n"
    assert (tmp_path / "arguments").read_text().startswith("get job dtl-x7k ")
