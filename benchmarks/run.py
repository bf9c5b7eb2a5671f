"""Run all benchmarks and write the figures to one record of the package, which the book shows on one page.

    python benchmarks/run.py                              all parts
    python benchmarks/run.py training profiles:demo       only these; the others keep what was measured before
    python benchmarks/run.py --folder .                   write the record to another folder

Parts: training (autoencoders and regressors against Keras and the machine's peak), synthesis, chain, sampling,
own_stars, survey; and one for each profile or recipe: profiles, prediction, accuracy (an hour and more for
accuracy:paper, the faithful recipe to its end, and for profiles:paper-fast). What was measured on a machine with a GPU
is kept beside what was measured without.
"""

import sys
import tempfile
from pathlib import Path

import accuracy
import chain
import click
import own_stars
import prediction
import profiles
import sampling
import survey
import synthesis
import training

from dtl_core import machine
from dtl_core.pipeline import records

PARTS = {
    "training": training.measure,
    "synthesis": synthesis.measure,
    "chain": chain.measure,
    "sampling": sampling.measure,
    "own_stars": own_stars.measure,
    "survey": survey.measure,
}
BY_PROFILE = {  # the ensembles that `profiles` trains are those that `prediction` finds
    "profiles": (profiles.measure, ("smoke", "demo", "paper-fast")),
    "prediction": (prediction.measure, ("demo", "paper-fast")),
    "accuracy": (accuracy.measure, tuple(accuracy.RECIPES)),
}
CLI = {"own_stars": ["dtl_core.cli.predicting"], "survey": ["dtl_core.cli.predicting"]}  # run in other processes
SCRIPTS = (accuracy, chain, own_stars, prediction, profiles, sampling, survey, synthesis, training)
CODE = {each.__name__: records.code_of_script(each.__file__, *CLI.get(each.__name__, [])) for each in SCRIPTS}


def expand(parts):
    """(part, profile) pairs that the command line names; the profile is None for a part without profiles.

    Raises
    ------
    click.UsageError
        Unknown part.
    """
    out = []
    for name in parts or (*PARTS, *BY_PROFILE):
        part, _, profile = name.partition(":")
        if part in PARTS and not profile:
            out.append((part, None))
        elif part in BY_PROFILE:
            out += [(part, each) for each in ((profile,) if profile else BY_PROFILE[part][1])]
        else:
            known = ", ".join([*PARTS, *(f"{name}[:PROFILE]" for name in BY_PROFILE)])
            raise click.UsageError(f"no such part: {name}; known: {known}")
    return out


def add(part, values, profile=None, folder=None):
    """Put the figures of a part into the record; those of a machine with a GPU beside those without."""
    name = f"{part} (GPU)" if machine.describe()["gpu"] else part
    return records.add("benchmarks", name, values, profile, folder, code=CODE[part])


@click.command()
@click.argument("parts", nargs=-1)
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
@click.option("--results", type=click.Path(), help="Folder for the trained ensembles; a temporary one by default.")
def main(parts, folder, results):
    """Measure PARTS, all by default."""
    with tempfile.TemporaryDirectory() as temporary:
        for part, profile in expand(parts):
            print(f"== {part} {profile or ''}", file=sys.stderr, flush=True)
            if profile is None:
                values = PARTS[part]()
            else:
                # accuracy trains in a store of its own, so that no seconds come from an earlier run
                root = None if part == "accuracy" else Path(results or temporary) / profile
                values = BY_PROFILE[part][0](profile, root)
            path = add(part, values, profile, folder)
    print(path)


if __name__ == "__main__":
    main()
