"""Measure and test the consensus of published catalogues, and write the record ``consensus``.

For each of Teff, log g and [M/H]: the fit; anchors left out; the evidence of several ways to group the catalogues into
families, without the anchors; and mocks, tables simulated from draws of the fit, which are fitted like the real one.
The record has values that we derived, and none that others published. It needs the published tables.

    python benchmarks/consensus.py [--folder FOLDER] [--mocks 10] [teff logg mh]          some minutes each
"""

import time
from pathlib import Path

import click

from dtl_core.literature import consensus, consensus_checks, consensus_model
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records

LABELS = PARAMETERS[:3]
CODE = records.code_of_script(__file__)
FIT = {"warmup": 300, "draws": 900, "chains": 4}
MOCK_FIT = {"warmup": 120, "draws": 300, "chains": 1}


def evidences(parameter):
    """Evidence of each grouping, and without outliers, relative to the one that is used; without the anchors."""
    tables = {name: {"grouping": name} for name in consensus.GROUPINGS} | {"no outliers": {"robust": False}}
    found = {}
    for name, settings in tables.items():
        found[name] = consensus_model.evidence(consensus.published_values(parameter, anchored=False, **settings))
        click.echo(f"{parameter}: evidence {name} {found[name]:.1f}")
    return {name: value - found[consensus.CHOSEN[parameter]] for name, value in found.items()}


def anchors(draws):
    """Results for the anchors that were left out; the record has only differences, and for log g only the summary."""
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


def measure(parameter, folder):
    """Fit one parameter and write all but the mocks; returns the draws and what was written."""
    begun, draws = time.monotonic(), consensus_model.sample(consensus.published_values(parameter), **FIT)
    click.echo(f"{parameter}: fitted in {time.monotonic() - begun:.0f} s, {draws.diagnostics}")
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
    return draws, values


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=None, help="of the records, for a trial")
@click.option("--mocks", "number", default=10, show_default=True, help="simulated tables of each parameter")
@click.argument("parameters", nargs=-1, type=click.Choice(LABELS))
def main(folder, number, parameters):
    """Measure and write the record."""
    fits = {parameter: measure(parameter, folder) for parameter in parameters or LABELS}
    mocks, begun = {parameter: [] for parameter in fits}, time.monotonic()
    for k in range(number):  # of evenly spaced draws of the fits
        for done, (parameter, (draws, values)) in enumerate(fits.items(), start=k * len(fits) + 1):
            chosen = (2 * k + 1) * len(draws.parameters["mu"]) // (2 * number)
            mocks[parameter].append(consensus_checks.mock(draws, chosen, seed=k, **MOCK_FIT))
            values["mocks"] = consensus_checks.mock_summary(mocks[parameter])
            records.add("consensus", parameter, values, folder=folder, code=CODE)
            left = (time.monotonic() - begun) / done * (number * len(fits) - done)
            click.echo(f"mock {k + 1} of {parameter}: {mocks[parameter][-1]['coverage']:.3f}; {left:.0f} s to the end")


if __name__ == "__main__":
    main()
