"""The benchmark of domain-adaptation methods, into a record of the package that notebook 07 shows.

    python benchmarks/transfer.py                       parts that are missing, or whose code has changed since
    python benchmarks/transfer.py arms strengths        only these; the others keep what was measured before
    python benchmarks/transfer.py --workers 2           on so many processes

Parts: arms (every method on ten surveys: errors, gap metrics, latent axes), ensemble (the paper's whole ensemble on
five surveys), kinds (methods against every kind of gap, on two surveys of each), strengths (the survey's effects from
zero to twice their strength), anchors (numbers of anchor stars like real ones, on three surveys), recommended (the
recommended method on twenty surveys, star by star, and out-of-distribution spectra on the first five), real (the HPF
stars). The surveys differ in the draw of line errors, rotation, activity and noise. No star is scored whose truth a
method knows; the column ``truths`` is the number of stars whose truth it knows.
Survey 0, which every run has, is the one on which choices were made; the others were never looked at before.

A part takes hours. What one survey gave is kept in the folder of the runs until its code changes, so that the same
command goes on after an interruption.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd

from dtl_core.bridging import benchmark
from dtl_core.bridging.injected import injected_set
from dtl_core.bridging.methods import METHODS
from dtl_core.config import SURVEY_EFFECTS, load_profile, override
from dtl_core.errors import DataError
from dtl_core.estimates import outliers
from dtl_core.files import write_atomic
from dtl_core.parameters import PARAMETER_COLUMNS, PARAMETERS
from dtl_core.pipeline import conduct, records
from dtl_core.pipeline.stages.shared import ENCODERS
from dtl_core.pipeline.store import default_root
from dtl_core.processes import worker_pool
from dtl_core.spectra import operators
from dtl_core.synthetic.kinds import KINDS

PROFILE = "demo"
SEEDS, SURVEYS, REAL = range(1, 11), range(1, 21), range(3)
STRENGTHS = (0.0, 0.5, 2.0)
SWEPT = ("no transfer", "fine-tuned", "randomised", "chi-square", "combined")
EVERY = "all effects"
LATENT = [name for name in METHODS if not name.startswith(("zero", "chi", "least"))]  # with features of their own
AXES = ("autoencoder", "fine-tuned", "frozen decoder")  # each with an encoder of its own
ANCHORED, N_ANCHORS = ("zero points", "combined"), (0, 3, 6, 14)
FACED = (  # methods that meet every kind of gap
    "no transfer", "fine-tuned", "augmented", "randomised", "informed", "zero points", "combined, no anchors",
    "combined", "chi-square",
)  # fmt: skip
STRANGERS = SURVEYS[:5]  # surveys that out-of-distribution spectra are added to


def simulated(root):
    """A run with the spectra of the small profile, without real stars."""
    settings = {"survey.real_stars": "no"}
    return conduct.run(PROFILE, until="observed", overrides=settings, root=root, quiet=True)


def note(*what):
    print(time.strftime("%H:%M:%S"), *what, file=sys.stderr, flush=True)


def other_problem(run, seed, trained=None, *, kind=None, **settings):
    """The problem of another survey, and its truth."""
    config = override(run.config, KINDS[kind]) if kind else run.config
    flux, truth = benchmark.other_survey(config, seed=seed, **settings)
    own = benchmark.make_problem(run, seed, stars=flux, truth=truth)
    own.trained = {} if trained is None else trained
    return own, truth


def scored(name, own, truth):
    """A method that has adapted to the problem, and its errors on the half of the stars that is reported."""
    method, (_, reported) = own.learned(METHODS[name]).adapt(own), benchmark.halves(truth)
    return method, benchmark.scores(method.predict(own.stars), truth, reported, known=method.known_stars(own))


def measure_methods(root, seed):
    """Errors, gap metrics and latent axes of every method on one survey."""
    run, found, axes, times = simulated(root), [], [], []
    own, truth = other_problem(run, seed)
    gaps = [benchmark.gaps(None, own).assign(arm="fluxes", seed=seed)]
    for name in METHODS:
        begun = time.perf_counter()
        method, table = scored(name, own, truth)
        times.append({"arm": name, "seed": seed, "seconds": time.perf_counter() - begun})
        found.append(table.assign(arm=name, seed=seed))
        if name in LATENT:
            gaps.append(benchmark.gaps(method, own).assign(arm=name, seed=seed))
        if name in AXES:
            axes.append(benchmark.axes(method, own.stars).assign(arm=name, seed=seed))
        note(seed, name, table[table.region == "all"].rmse.round(3).tolist())
    return {"errors": found, "gaps": gaps, "axes": axes, "seconds": [pd.DataFrame(times)]}


def measure_kinds(root, seed):
    """Errors of some methods against every kind of gap, on one survey of each."""
    run, trained, out = simulated(root), {}, []
    for kind in KINDS:
        own, truth = other_problem(run, seed, trained, kind=kind)
        for name in FACED:
            _, table = scored(name, own, truth)
            table = table[table.region == "all"].drop(columns="region")
            out.append(table.assign(kind=kind, arm=name, seed=seed))
            note(seed, kind, name, table.rmse.round(3).tolist())
    return {"errors": out}


def measure_ensemble(root, seed):
    """Errors of the paper's whole ensemble with its density estimate, before and after fine-tuning on one survey."""
    overrides = {"survey.seed": load_profile(PROFILE).survey.seed + seed, "survey.real_stars": "no"}
    overrides |= {"recommended.method": "paper", "workers": 1}
    run, out = conduct.run(PROFILE, overrides=overrides, root=root, quiet=True), []
    _, reported = benchmark.halves(run.truth)
    for encoder in ENCODERS:
        table = run.catalogue_of(encoder)[: len(run.truth)]
        found = np.stack([np.asarray(table[column], float) for column in PARAMETER_COLUMNS.values()], axis=1)
        table = benchmark.scores(found, run.truth, reported, known=np.arange(0))
        out.append(table.assign(encoder=encoder, profile=PROFILE, members=len(run.architectures), seed=seed))
        note(seed, encoder, table[table.region == "all"].rmse.round(3).tolist())
    return {"errors": out}


def measure_strengths(root, seed):
    """Errors with each injected effect, and with all of them, at several strengths, on one survey."""
    run, trained, out = simulated(root), {}, []
    settings = [(EVERY, 1.0, {})]
    for effect in (EVERY, *SURVEY_EFFECTS):
        names = SURVEY_EFFECTS if effect == EVERY else (effect,)
        settings += [(effect, strength, dict.fromkeys(names, strength)) for strength in STRENGTHS]
    for effect, strength, factors in settings:
        own, truth = other_problem(run, seed, trained, **factors)
        for name in SWEPT:
            _, table = scored(name, own, truth)
            table = table[table.region == "all"].drop(columns=["region", "n"])
            out.append(table.assign(effect=effect, strength=strength, arm=name))
        note(effect, strength, table.rmse.round(3).tolist())
    return {"errors": out}


def measure_anchors(root, seed):
    """Errors against the number of anchor stars, which are as bright, early and slowly rotating as real ones."""
    run, out = simulated(root), []
    own, truth = other_problem(run, seed)
    for n in N_ANCHORS:
        n_mh = round(n * benchmark.N_COMPANIONS / benchmark.N_INTERFEROMETRIC)
        anchors = benchmark.anchors_of(truth, benchmark.halves(truth)[0], seed, n, n_mh, realistic=True)
        for name in ANCHORED:
            _, table = scored(name, dataclasses.replace(own, anchors=anchors), truth)
            out.append(table.assign(n_teff=n, n_mh=n_mh, arm=name, seed=seed))
            note(seed, n, name, table[table.region == "all"].rmse.round(3).tolist())
    return {"errors": out}


def measure_recommended(root, seed):
    """The recommended method on one survey: estimates and expected errors; flagged spectra."""
    run = simulated(root)
    own, truth = other_problem(run, seed)
    method = own.learned(METHODS["combined"]).adapt(own)
    found, spread = method.predict(own.stars), method.spread(own.stars)
    columns = {"survey": seed, "star": truth["karmn"]}
    for k, name in enumerate(PARAMETERS):
        columns |= {name: truth[name], f"found_{name}": found[:, k], f"spread_{name}": spread[:, k]}
    rates = [flagged(run.config, seed, own, method, truth)] if seed in STRANGERS else []
    note(seed, np.sqrt(np.mean((found - truth[list(PARAMETERS)].to_numpy()) ** 2, 0)).round(3))
    return {"stars": [pd.DataFrame(columns)], "strangers": rates}


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


def measure_real(root, seed):
    """The HPF stars by every method, adapted to these three alone, without anchors: their literature is the test."""
    overrides, out = {"survey.real_stars": "yes"}, []
    run = conduct.run(PROFILE, until="observed", overrides=overrides, root=root, quiet=True)
    own = benchmark.make_problem(run, seed, stars=run.observed[len(run.truth) :])
    for name in METHODS:
        found = own.learned(METHODS[name]).adapt(own).predict(own.stars)
        table = pd.DataFrame(found, columns=list(PARAMETERS)).assign(star=run.reports["star"], arm=name, seed=seed)
        out.append(table)
        note(seed, name, found.round(2).tolist())
    return {"stars": out}


PARTS = {  # what measures one survey, and the seeds of the surveys
    "arms": (measure_methods, SEEDS),
    "ensemble": (measure_ensemble, SEEDS[:5]),
    "kinds": (measure_kinds, SEEDS[:2]),
    "strengths": (measure_strengths, SEEDS[:1]),
    "anchors": (measure_anchors, SEEDS[:3]),
    "recommended": (measure_recommended, SURVEYS),
    "real": (measure_real, REAL),
}


# what the parts depend on: of the run, only the stages that make its spectra and its catalogue
STAGES = ("observed_spectra", "synthetic_spectra", "pretraining", "transfer", "regression", "catalogue")
CODE = records.code_of_script(
    __file__, *(f"dtl_core.pipeline.stages.{name}" for name in STAGES), without=["dtl_core.pipeline.conduct"]
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


def one(part, seed, root):
    """What one survey gave to a part, measured or found again: dict of str to lists of rows."""
    path = Path(root or default_root()) / "benchmarks" / "transfer" / f"{part}-{seed}-{records.digest(CODE)}.json"
    if not path.exists():
        tables = PARTS[part][0](root, seed)
        found = {name: records.lines(pd.concat(some)) for name, some in tables.items() if some}
        write_atomic(path, json.dumps(found))
    return json.loads(path.read_text())


def joined(tables):
    """One list of rows from several, each with the same header."""
    (header,) = {table[0] for table in tables}
    return [header, *(row for table in tables for row in table[1:])]


def measure(parts, root, workers=1):
    """Measure parts: yields the name of each and dict of str to lists of rows."""
    jobs = [(part, seed, root) for part in parts for seed in PARTS[part][1]]
    if workers > 1:
        simulated(root)  # once, not by each
        with worker_pool(workers, remedy="use fewer workers") as pool:
            list(pool.map(one, *zip(*jobs, strict=True)))
    for part in parts:
        found = [one(part, seed, root) for seed in PARTS[part][1]]
        names = dict.fromkeys(name for each in found for name in each)
        yield part, {name: joined([each[name] for each in found if name in each]) for name in names}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
@click.option("--results", type=click.Path(path_type=Path), help="Folder of the runs; the usual one by default.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes.")
def main(parts, folder, results, workers):
    """Measure PARTS; by default those that are missing, or whose code has changed since."""
    for part, values in measure(list(parts or outdated(folder)), results, workers):
        note("==", part)
        records.add("transfer", part, values, folder=folder, code=CODE)


if __name__ == "__main__":
    main()
