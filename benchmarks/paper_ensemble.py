"""Record the paper's ensemble, made once by `dtl models export`: its file, its card and its time.

    python benchmarks/paper_ensemble.py paper/paper_R094600.safetensors --results results

The book's page of the models shows it, because the file is too large for the package.
"""

import json
from pathlib import Path

import click

from dtl_core.files import file_hash
from dtl_core.models import loading
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records

CODE = records.code_of_script(__file__, "dtl_core.models.making")


def describe(file, results=None):
    """Contents of the record on a file, and on the run that made it if its results are there: dict."""
    card = loading.load(file).specialists[0].card
    found = {"bytes": Path(file).stat().st_size, "sha256": file_hash(file), "profile": card["profile"]}
    found |= {"autoencoders": len(card["autoencoders"]), "figures": card["figures"], "made": card["made"]}
    found["regressors"] = sum(len(one["places"].get(name, [])) for one in card["autoencoders"] for name in PARAMETERS)
    if results:
        run = json.loads((Path(results) / "runs" / "last.json").read_text())
        found["seconds"] = run["seconds"]
    return found


@click.command()
@click.argument("file", type=click.Path(exists=True))
@click.option("--results", type=click.Path(), help="Folder of the results of the run that made it.")
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
def main(file, results, folder):
    """Describe FILE in the record."""
    click.echo(records.write("paper_ensemble", describe(file, results), folder, code=CODE))


if __name__ == "__main__":
    main()
