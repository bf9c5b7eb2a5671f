"""Confirm a record for code that has changed without changing a value, such as a name or an import.

    python benchmarks/confirm.py transfer COMMIT [--workers 2]          some ten minutes; or real_stars, left_out

These records take hours or days to measure. Here a small run of each part is made with the code of COMMIT, which
measured the record, and with that of the working tree. The parts whose values are equal in all digits get the hashes
of the present code and the date; of the others nothing is written, and the first difference is shown.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from dtl_core.errors import DataError, DTLError
from dtl_core.pipeline import records
from dtl_core.processes import worker_pool

CLONE = Path(__file__).resolve().parents[1]
# What each tree runs, by the interfaces of both: profile demo with its sizes written out, so that they are the same.
_RUN = {
    "synthetic.n_spectra": 300, "survey.n_stars": 260, "autoencoder.widths": "64", "autoencoder.l1": "1e-7,1e-5",
    "autoencoder.n_models": 2, "autoencoder.epochs": 2, "autoencoder.batch_size": 32, "search.learning_rates": "1e-3",
    "search.epochs": 1, "search.folds": 2, "transfer.epochs": 2, "regression.n_models": 1, "regression.n_kept": 1,
    "regression.epochs": 2, "recommended.epochs": 1, "recommended.emulator_epochs": 1, "umap.n_synthetic": 60,
}  # fmt: skip
_MODELS = {
    "models.n_spectra": 200, "models.epochs": 1, "models.emulator_epochs": 2, "models.members": 1,
    "models.reference_stars": 80, "models.test_stars": 40,
}  # fmt: skip
DRIVERS = {
    "transfer": f"""
import transfer as script
from dtl_core.pipeline import conduct
run = conduct.run
conduct.run = lambda profile, overrides=None, **other: run(profile, overrides={_RUN!r} | (overrides or {{}}), **other)
script.KINDS = dict(list(script.KINDS.items())[:: max(1, len(script.KINDS) // 2)])
script.STRENGTHS, script.SURVEY_EFFECTS, script.STRANGERS = (0.5,), script.SURVEY_EFFECTS[:1], [1]
for part, (measure, seeds) in script.PARTS.items():
    tables = measure(folder, seeds[0])
    tables.pop("seconds", None)
    found[part] = {{name: [table.to_csv(index=False) for table in some] for name, some in tables.items()}}
""",
    "real_stars": f"""
import real_stars as script
found["left_out"] = script.left_out(settings={_MODELS!r}, draws=1)
""",
}
_HEAD = """
import json, sys
tree, folder = sys.argv[1:]
sys.path[:0] = [tree, tree + "/benchmarks"]
from dtl_core.pipeline import records
found = {}
"""
_TAIL = """
print(json.dumps({"code": records._hashes(script.CODE), "found": found}))
"""


def small_run(name, tree, folder):
    """Hashes of the code of a tree, and what its benchmark of this name finds in a small run of each part."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _HEAD + DRIVERS[name] + _TAIL, str(tree), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tree, check=False)
    if done.returncode:
        raise DataError(f"a small run failed: {done.stderr.strip().splitlines()[-1]}", file=tree)
    return json.loads(done.stdout.splitlines()[-1])


def differences(old, new):
    """The first table that differs of each part that does: dict of str to str."""
    found = {}
    for part in sorted(old.keys() | new.keys()):
        tables, others = old.get(part, {}), new.get(part, {})
        differ = [name for name in sorted(tables.keys() | others.keys()) if tables.get(name) != others.get(name)]
        if differ:
            found[part] = differ[0]
    return found


def small_runs(name, commit, workers):
    """The small runs of the code of a commit and of the working tree."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        subprocess.run(["git", "-C", CLONE, "worktree", "add", "--detach", "-q", tree, commit], check=True)
        try:
            with worker_pool(workers, remedy="use one worker") as pool:
                return list(
                    pool.map(small_run, (name, name), (tree, CLONE), (Path(place) / "old", Path(place) / "new"))
                )
        finally:
            subprocess.run(["git", "-C", CLONE, "worktree", "remove", "--force", tree], check=True)


@click.command()
@click.argument("name", type=click.Choice(list(DRIVERS)))
@click.argument("commit")
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
@click.option("--workers", type=click.IntRange(1, 2), default=1, help="Processes.")
def main(name, commit, folder, workers):
    """Confirm the parts of the record NAME for which small runs of the code of COMMIT and of the tree are equal."""
    old, new = small_runs(name, commit, workers)
    differ = differences(old["found"], new["found"])
    parts = records.confirm(name, new["found"].keys() - differ, old["code"], new["code"], folder)
    click.echo(f"equal; confirmed: {', '.join(parts) or 'nothing, as no part was measured with that code'}")
    if differ:
        tables = "; ".join(f"{part}, {table}" for part, table in differ.items())
        raise DataError(
            f"the code after {commit} finds other values: {tables}", remedy=f"measure {', '.join(differ)} again"
        )


if __name__ == "__main__":
    try:
        main()
    except DTLError as error:
        sys.exit(str(error))
