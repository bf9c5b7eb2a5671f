"""Every benchmark in one command: figures into one record of the package, which the book shows on one page.

    python benchmarks/run.py                              all parts
    python benchmarks/run.py training synthesis           only these; the others keep what was measured before
    python benchmarks/run.py --folder .                   the record elsewhere than in the package

Parts: training (autoencoders and regressors against Keras and the machine's peak), synthesis, chain, prediction,
profiles, sampling, accuracy (an hour and more: the faithful recipe to its end). What was measured on a machine with a
GPU is kept beside what was measured without.
"""

import datetime
import sys

import accuracy
import chain
import click
import prediction
import profiles
import sampling
import synthesis
import training

from dtl_core import machine, records
from dtl_core.errors import DataError

PARTS = {
    "training": training.measure,
    "synthesis": synthesis.measure,
    "chain": chain.measure,
    "prediction": prediction.measure,
    "profiles": profiles.measure,
    "sampling": sampling.measure,
    "accuracy": accuracy.measure,
}


def add(part, values, folder=None):
    """Put the figures of a part into the record beside those of the others, with the day and the machine."""
    try:
        found = records.read("benchmarks", folder)["values"]
    except DataError:
        found = {}
    described = machine.describe()
    name = f"{part} (GPU)" if described["gpu"] else part
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    found[name] = {"made": made, "machine": described, "values": values}
    return records.write("benchmarks", found, folder)


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
def main(parts, folder):
    """Measure PARTS, all by default."""
    for part in parts or PARTS:
        print(f"== {part}", file=sys.stderr, flush=True)
        path = add(part, PARTS[part](), folder)
    print(path)


if __name__ == "__main__":
    main()
