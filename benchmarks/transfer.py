"""The benchmark of domain-adaptation methods, into a record of the package that notebook 07 shows.

    python benchmarks/transfer.py                       parts that are missing, or whose code has changed since
    python benchmarks/transfer.py arms strengths        only these; the others keep what was measured before

Parts: arms (every method on five surveys: errors, gap metrics, latent axes), strengths (the survey's effects from zero
to twice their strength), anchors (numbers of anchor stars like real ones, on two surveys), recommended (the recommended
method on twenty surveys, star by star, and out-of-distribution spectra on the first five), real (the HPF stars). The
surveys differ in the draw of line errors, rotation, activity and noise. No star is scored whose truth a method knows;
the column ``truths`` is the number of stars whose truth it knows.
Survey 0, which every run has, is the one on which choices were made; the others were never looked at before.
"""

import dataclasses
import sys
import time

import click
import numpy as np
import pandas as pd

from dtl_core.bridging import benchmark
from dtl_core.bridging.injected import injected_set
from dtl_core.bridging.methods import METHODS
from dtl_core.config import SURVEY_EFFECTS
from dtl_core.errors import DataError
from dtl_core.estimates import outliers
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import conduct, records
from dtl_core.spectra import operators

SEEDS, SURVEYS, REAL = range(1, 6), range(1, 21), range(3)
STRENGTHS = (0.0, 0.5, 2.0)
SWEPT = ("no transfer", "fine-tuned", "randomised", "chi-square", "combined")
EVERY = "all effects"
LATENT = [name for name in METHODS if not name.startswith(("zero", "chi", "least"))]  # with features of their own
AXES = ("autoencoder", "fine-tuned", "frozen decoder")  # each with an encoder of its own
ANCHORED, N_ANCHORS = ("zero points", "combined"), (0, 3, 6, 14)


def simulated(root):
    """A run with the spectra of the small profile, without real stars."""
    settings = {"survey.real_stars": "no"}
    return conduct.run("demo", until="observed", overrides=settings, root=root, quiet=True)


def note(*what):
    print(time.strftime("%H:%M:%S"), *what, file=sys.stderr, flush=True)


def other_problem(run, seed, trained=None, **settings):
    """The problem of another survey, and its truth."""
    flux, truth = benchmark.other_survey(run.config, seed=seed, **settings)
    own = benchmark.make_problem(run, seed, stars=flux, truth=truth)
    own.trained = {} if trained is None else trained
    return own, truth


def scored(name, own, truth):
    """A method that has adapted to the problem, and its errors on the half of the stars that is reported."""
    method, (_, reported) = own.learned(METHODS[name]).adapt(own), benchmark.halves(truth)
    return method, benchmark.scores(method.predict(own.stars), truth, reported, known=method.known_stars(own))


def measure_methods(root):
    """Errors, gap metrics and latent axes of every method on ``SEEDS`` surveys, each with a seed of its own."""
    run, found, gaps, axes, times = simulated(root), [], [], [], []
    for seed in SEEDS:
        own, truth = other_problem(run, seed)
        gaps.append(benchmark.gaps(None, own).assign(arm="fluxes", seed=seed))
        for name in METHODS:
            begun = time.perf_counter()
            method, table = scored(name, own, truth)
            table = table.assign(arm=name, seed=seed)
            times.append({"arm": name, "seed": seed, "seconds": time.perf_counter() - begun})
            found.append(table)
            if name in LATENT:
                gaps.append(benchmark.gaps(method, own).assign(arm=name, seed=seed))
            if name in AXES:
                axes.append(benchmark.axes(method, own.stars).assign(arm=name, seed=seed))
            note(seed, name, table[table.region == "all"].rmse.round(3).tolist())
    return {name: records.lines(pd.concat(part) if name != "seconds" else pd.DataFrame(part))
            for name, part in (("errors", found), ("gaps", gaps), ("axes", axes), ("seconds", times))}  # fmt: skip


def measure_strengths(root):
    """Errors with each injected effect, and with all of them, at several strengths, on the first survey."""
    run, trained, out = simulated(root), {}, []
    settings = [(EVERY, 1.0, {})]
    for effect in (EVERY, *SURVEY_EFFECTS):
        names = SURVEY_EFFECTS if effect == EVERY else (effect,)
        settings += [(effect, strength, dict.fromkeys(names, strength)) for strength in STRENGTHS]
    for effect, strength, factors in settings:
        own, truth = other_problem(run, SEEDS[0], trained, **factors)
        for name in SWEPT:
            _, table = scored(name, own, truth)
            table = table[table.region == "all"].drop(columns=["region", "n"])
            out.append(table.assign(effect=effect, strength=strength, arm=name))
        note(effect, strength, table.rmse.round(3).tolist())
    return {"errors": records.lines(pd.concat(out))}


def measure_anchors(root):
    """Errors against the number of anchor stars, which are as bright, early and slowly rotating as real ones."""
    run, out = simulated(root), []
    for seed in SEEDS[:2]:
        own, truth = other_problem(run, seed)
        for n in N_ANCHORS:
            n_mh = round(n * benchmark.N_COMPANIONS / benchmark.N_INTERFEROMETRIC)
            anchors = benchmark.anchors_of(truth, benchmark.halves(truth)[0], seed, n, n_mh, realistic=True)
            for name in ANCHORED:
                _, table = scored(name, dataclasses.replace(own, anchors=anchors), truth)
                out.append(table.assign(n_teff=n, n_mh=n_mh, arm=name, seed=seed))
                note(seed, n, name, table[table.region == "all"].rmse.round(3).tolist())
    return {"errors": records.lines(pd.concat(out))}


def measure_recommended(root):
    """The recommended method on ``SURVEYS`` surveys: estimates and expected errors; flagged spectra."""
    run, trained, out, rates = simulated(root), {}, [], []
    for seed in SURVEYS:
        own, truth = other_problem(run, seed, trained)
        method = own.learned(METHODS["combined"]).adapt(own)
        found, spread = method.predict(own.stars), method.spread(own.stars)
        columns = {"survey": seed, "star": truth["karmn"]}
        for k, name in enumerate(PARAMETERS):
            columns |= {name: truth[name], f"found_{name}": found[:, k], f"spread_{name}": spread[:, k]}
        out.append(pd.DataFrame(columns))
        if seed in SEEDS:
            rates.append(flagged(run.config, seed, own, method, truth))
        note(seed, np.sqrt(np.mean((found - truth[list(PARAMETERS)].to_numpy()) ** 2, 0)).round(3))
    return {"stars": records.lines(pd.concat(out)), "strangers": records.lines(pd.concat(rates))}


def flagged(config, seed, own, method, truth):
    """Share of injected spectra, and of ordinary ones of the half that is reported, with a p-value of at most 5 %."""
    chosen, reported = benchmark.halves(truth)
    survey = dataclasses.replace(config.survey, seed=config.survey.seed + seed)
    injected = injected_set(dataclasses.replace(config, survey=survey), seed=seed)
    groups = {kind: operators.binned(flux, config.window.step) for kind, flux in injected.items()}
    groups = {"ordinary": own.stars[reported].numpy(), **groups, "all planted": np.concatenate(list(groups.values()))}
    measured = {kind: method.measure(flux) for kind, flux in groups.items()}
    rates = outliers.flag_rates(method.measure(own.stars[chosen].numpy()), measured)
    sizes = [len(flux) for flux in groups.values()]
    return pd.DataFrame({"survey": seed, "kind": list(rates), "n": sizes, "flagged": list(rates.values())})


def measure_real(root):
    """The HPF stars by every method, adapted to these three alone, without anchors: their literature is the test."""
    overrides, out = {"survey.real_stars": "yes"}, []
    run = conduct.run("demo", until="observed", overrides=overrides, root=root, quiet=True)
    real = run.observed[len(run.truth) :]
    for seed in REAL:
        own = benchmark.make_problem(run, seed, stars=real)
        for name in METHODS:
            found = own.learned(METHODS[name]).adapt(own).predict(own.stars)
            table = pd.DataFrame(found, columns=list(PARAMETERS)).assign(star=run.reports["star"], arm=name, seed=seed)
            out.append(table)
            note(seed, name, found.round(2).tolist())
    return {"stars": records.lines(pd.concat(out))}


PARTS = {
    "arms": measure_methods,
    "strengths": measure_strengths,
    "anchors": measure_anchors,
    "recommended": measure_recommended,
    "real": measure_real,
}


# what the parts depend on: of the run, only the stages that make its spectra
CODE = records.code_of_script(
    __file__,
    "dtl_core.pipeline.stages.observed_spectra",
    "dtl_core.pipeline.stages.synthetic_spectra",
    without=["dtl_core.pipeline.conduct"],
)


def outdated(folder):
    """Parts that are missing in the record, or whose code has changed since."""
    try:
        known = records.read("transfer", folder)["values"]
    except DataError:
        known = {}
    for part in PARTS:
        if part in known and not records.is_stale(known[part]):
            note("==", part, "is up to date,", records.dated(known[part]))
        else:
            yield part


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
@click.option("--results", type=click.Path(), help="Folder of the runs; the usual one by default.")
def main(parts, folder, results):
    """Measure PARTS; by default those that are missing, or whose code has changed since."""
    for part in parts or outdated(folder):
        note("==", part)
        records.add("transfer", part, PARTS[part](results), folder=folder, code=CODE)


if __name__ == "__main__":
    main()
