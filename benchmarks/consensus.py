"""The consensus of published catalogues, and whether it keeps its word, into the record ``consensus``.

For each of Teff, log g and [M/H]: the fit; anchors left out; the evidence of several ways to group the catalogues into
families, without the anchors; and mocks, tables simulated from draws of the fit, which are fitted like the real one.
The record has values that we derived, and none that others published. It needs the published tables.

    python benchmarks/consensus.py [--folder FOLDER] [--mocks 10] [teff logg mh]          some minutes each
"""

import time
from pathlib import Path

import click
import numpy as np

from dtl_core.literature import consensus, consensus_checks, consensus_model
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records

LABELS = PARAMETERS[:3]
CODE = records.code_of_script(__file__)
FIT = {"warmup": 250, "draws": 400, "chains": 4}
MOCK_FIT = {"warmup": 120, "draws": 300, "chains": 1}


def evidences(parameter):
    """Evidence of each grouping, and without outliers, relative to the one that is used; anchors take no part."""
    tables = {name: {"families": families} for name, families in consensus.GROUPINGS.items()}
    tables |= {"no outliers": {"robust": False}}
    found = {}
    for name, settings in tables.items():
        found[name] = consensus_model.evidence(consensus.published_values(parameter, anchored=False, **settings))
        click.echo(f"{parameter}: evidence {name} {found[name]:.1f}")
    return {name: value - found["by method"] for name, value in found.items()}


def anchors(draws):
    """What is known of the anchors that were left out; the record has differences only, and of log g the summary."""
    parameter, predicted = draws.values.parameter, consensus_checks.left_out(draws)
    frames = consensus_checks.anchored_frames(parameter, draws.values)
    out = {
        "coverage": consensus_checks.anchor_coverage(predicted),
        "against": records.lines(consensus_checks.against_anchors(predicted, parameter, frames)),
        "least_effective": float(predicted["effective"].min()),
        "n_draws": 400,
    }
    if parameter != "logg":
        predicted = predicted.assign(difference=predicted["anchor"] - predicted["consensus"])
        out["left_out"] = records.lines(predicted[["karmn", "consensus", "low", "high", "difference", "effective"]])
    return out


def mocks(draws, number, progress):
    """Mocks from evenly spaced draws of the fit."""
    chosen, found = np.linspace(0, len(draws.parameters["mu"]) - 1, number).astype(int), []
    for seed, each in enumerate(chosen):
        found.append(consensus_checks.mock(draws, each, seed=seed, **MOCK_FIT))
        progress(f"mock {seed + 1} of {number}: {found[-1]['coverage']:.3f} inside 68 %")
    return consensus_checks.mock_summary(found) | {"max_rhat": max(one["max_rhat"] for one in found)}


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="of the records, for a trial")
@click.option("--mocks", "number", default=10, show_default=True, help="simulated tables of each parameter")
@click.argument("parameters", nargs=-1, type=click.Choice(LABELS))
def main(folder, number, parameters):
    """Measure and write the record."""
    for parameter in parameters or LABELS:
        begun = time.monotonic()

        def progress(text, parameter=parameter, begun=begun):
            click.echo(f"{parameter}, {time.monotonic() - begun:.0f} s: {text}")

        draws = consensus_model.sample(consensus.published_values(parameter), **FIT)
        progress(f"fitted, {draws.diagnostics}")
        values = {
            "diagnostics": draws.diagnostics | {"converged": consensus.check_convergence(draws)},
            "seconds": time.monotonic() - begun,
            "catalogues": records.lines(consensus.catalogue_table(draws).reset_index()),
            "stars": records.lines(consensus.consensus_table(draws)),
            "outliers": records.lines(consensus.outlier_table(draws)),
            "anchors": anchors(draws),
            "evidence": evidences(parameter),
        }
        records.add("consensus", parameter, values, folder=folder, code=CODE)
        values["mocks"] = mocks(draws, number, progress)
        records.add("consensus", parameter, values, folder=folder, code=CODE)


if __name__ == "__main__":
    main()
