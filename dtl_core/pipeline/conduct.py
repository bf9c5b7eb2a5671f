"""The stages in order, from spectra to catalogue; each is stored under its key and found again.

    synthetic, observed -> gap -> search -> autoencoder -> transfer -> regression -> catalogue
                       \\-> recommended

Autoencoders are independent of each other: one process trains an autoencoder, fine-tunes it and trains its regressors.
The recommended method needs no autoencoder and runs at the same time.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time

from ..config import Config, load_profile
from ..errors import ConfigError, DataError
from ..files import atomic_path
from ..public_data import registry
from ..reading.hpf import RESOLVING_POWER as HPF_RESOLVING_POWER
from ..reading.sources import list_files
from ..source_code import versions
from ..synthetic import libraries
from . import stages
from .jobs import Job, Workers, costs, run_stacked
from .results import Run
from .searches import search_architectures
from .stages import ENCODERS
from .store import Store

__all__ = [
    "ENCODERS",
    "STAGES",
    "first_member",
    "flux_gap",
    "latent_gap",
    "make_members",
    "recommended_job",
    "resolve",
    "run",
]


STAGES = ("synthetic", "observed", "gap", "search", "autoencoder", "transfer", "regression", "recommended", "catalogue")


def resolve(config):
    """Settle what depends on the machine: the real stars that take part, and the resolving power that follows.

    Real HPF spectra have R = 53,000. With them all spectra of the run, synthetic or simulated, are broadened to that,
    or to the lower one that the configuration asks for.

    Parameters
    ----------
    config : Config

    Returns
    -------
    config : Config
    files : list of Path
        Files of the real spectra.

    Raises
    ------
    DataError
        Real stars are asked for and there are none.
    """
    hpf = registry.find_all("observed/hpf/Slope-*.fits") if config.survey.real_stars != "no" else []
    if config.survey.real_stars == "yes" and not hpf:
        raise DataError(
            "no HPF spectra found",
            field="survey.real_stars",
            remedy="run `dtl data fetch hpf`, or point DTL_DATA at a folder with observed/hpf/Slope-*.fits",
        )
    if hpf:
        power = min(config.window.resolving_power, HPF_RESOLVING_POWER)
        window = dataclasses.replace(config.window, resolving_power=power)
        config = dataclasses.replace(config, window=window)
    own = list_files(config.survey.spectra)
    for path in own:
        if not path.is_file():
            raise DataError("not found", file=path, remedy="check the path")
    return config, [*hpf, *own]


def run(profile="demo", until="catalogue", *, overrides=None, root=None, quiet=False):
    """Run the method up to a stage; results that are already stored are found, not computed again.

    Parameters
    ----------
    profile : str or Config
        ``smoke``, ``demo``, ``paper-fast`` or ``paper``, or a configuration.
    until : str
        One of ``STAGES``.
    overrides : dict, optional
        Dotted settings, see :func:`dtl_core.config.load_profile`.
    root : path, optional
        Folder of the results; see :func:`dtl_core.pipeline.store.default_root`.
    quiet : bool
        No progress on standard error.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        Unknown profile, stage or setting.
    DataError
        A spectrum or data file is missing or cannot be used.
    StoreError
        A result cannot be written.
    """
    if until not in STAGES:
        raise ConfigError(f"unknown stage {until!r}", field="until", remedy=f"choose one of {', '.join(STAGES)}")
    config = profile if isinstance(profile, Config) else load_profile(profile, overrides)
    config, files = resolve(config)
    store = Store(root)
    store.sweep()
    result, note = Run(config, store, {}), _Notes(quiet)
    wanted = STAGES[: STAGES.index(until) + 1]
    _make_synthetic(result, note)
    if "observed" in wanted:
        _make_observed(result, files, note)
    if "gap" in wanted:
        result.keys["gap"] = flux_gap(result)
        note("domain gap measured")
    with Workers(config, quiet=quiet) as workers:
        if "search" in wanted:
            _search(result, workers.run, note)
        if "autoencoder" in wanted:
            _train(result, workers.run, wanted, note)
    if "transfer" in wanted:
        result.keys["latent_gap"] = latent_gap(result)
        note("latent gap measured")
    if "catalogue" in wanted:
        _make_catalogue(result, note)
    return result


class _Notes:
    """Lines on standard error with the seconds since the run began."""

    def __init__(self, quiet):
        self.quiet, self.started = quiet, time.time()

    def seconds(self):
        return time.time() - self.started

    def __call__(self, text):
        if not self.quiet:
            print(f"[{self.seconds():6.1f} s] {text}", file=sys.stderr, flush=True)


def _make_synthetic(result, note):
    from tqdm import tqdm

    total, what = result.config.synthetic.n_spectra, "synthetic spectra"
    with tqdm(total=total, desc=what, disable=note.quiet, file=sys.stderr, delay=2, leave=False) as bar:
        result.keys["synthetic"] = stages.make_synthetic(result.store, result.config, bar.update)[1]
    note("synthetic spectra ready")


def _make_observed(result, files, note):
    result.keys["observed"] = stages.make_observed(result.store, result.config, files)[1]
    note("observed spectra ready")
    for row in result.reports.itertuples():
        for warning in row.warnings:
            note(f"{row.star}: {warning}")
    for row in result.refused.itertuples():
        note(f"refused: {row.error}")


def _search(result, perform, note):
    search_architectures(result, perform)
    note("grid search ready")
    kept, asked = len(result.architectures), result.config.autoencoder.n_models
    if kept < asked:
        note(f"the search keeps {kept} of {asked} autoencoders asked for")


def _train(result, perform, wanted, note):
    last = [stage for stage in ("autoencoder", "transfer", "regression") if stage in wanted][-1]
    make_members(result, perform, until=last, beside="recommended" in wanted)
    note(f"{len(result.architectures)} autoencoders ready")
    for name, count in result.restarts().items():
        note(f"{name}: {count} networks diverged and were trained again at a lower learning rate")


def _make_catalogue(result, note):
    keys = result.keys
    keys["catalogue"] = stages.make_catalogue(result.store, result.config, keys, keys["regression"], result.stars)[1]
    note("catalogue ready")
    try:
        _record(result, note.seconds())
    except OSError as error:  # a finished store can be read where it cannot be written
        note(f"the run could not be noted in {result.store.root / 'runs'} ({error.strerror})")


def _record(result, seconds):
    """Write the record that ``dtl figures`` reads: keys, versions, hashes, timings and figures in one file."""
    folder = result.store.root / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "profile": result.config.profile,
        "config": dataclasses.asdict(result.config),
        "keys": result.keys,
        "versions": versions(),
        "libraries": {name: libraries.library_hash(name) for name in libraries.EMBEDDED},
        "seconds": {**result.seconds(), "this_call": seconds},
        "figures": result.figures,
    }
    for name in (result.config.profile, "last"):
        with atomic_path(folder / f"{name}.json") as part:
            part.write_text(json.dumps(manifest, indent=1) + "\n")


# ---------------------------------------------------------------- single stages


def flux_gap(run):
    """Measure the gap between synthetic and observed fluxes.

    Parameters
    ----------
    run : Run
        Its stages ``synthetic`` and ``observed`` are done.

    Returns
    -------
    str
        Key of the stage ``gap``.
    """
    keys = {name: run.keys[name] for name in ("synthetic", "observed")}
    vectors = (lambda: run.synthetic["flux"], lambda: {"flux": run.observed})
    options = {"name": "gap", "metric": "correlation"}
    return stages.measure_gap(run.store, run.config, keys, *vectors, **options)[1]


def latent_gap(run):
    """Measure the gap between synthetic and observed latents of the first autoencoder.

    Parameters
    ----------
    run : Run
        Its first autoencoder is fine-tuned.

    Returns
    -------
    str
        Key of the stage ``latent_gap``.
    """
    first = functools.cache(lambda: run.arrays("transfer", "latents", 0))
    vectors = (lambda: first()["synthetic"], lambda: {encoder: first()[encoder] for encoder in ENCODERS})
    keys, options = {"transfer": run.keys["transfer"][0]}, {"name": "latent_gap", "metric": "euclidean"}
    return stages.measure_gap(run.store, run.config, keys, *vectors, **options)[1]


def first_member(run, quiet=False):
    """Train and fine-tune the best autoencoder of a search alone.

    Parameters
    ----------
    run : Run
        Its search is done.
    quiet : bool
        No progress on standard error.

    Returns
    -------
    Run
        With one architecture.
    """
    out = Run(run.config, run.store, dict(run.keys), run.search, run.architectures.head(1))
    with Workers(run.config, quiet=quiet) as workers:
        make_members(out, workers.run, until="transfer")
    return out


def recommended_job(run):
    """The job of the recommended method, or None where the profile chooses the paper's method.

    Parameters
    ----------
    run : Run
        With the keys of its spectra.

    Returns
    -------
    Job or None
    """
    config = run.config
    if config.recommended.method == "paper":
        return None
    keys = {name: run.keys[name] for name in ("synthetic", "observed")}
    epoch = config.synthetic.n_spectra * 1e-3  # about the cost of an autoencoder of 256 neurons
    return Job("recommended", run.store.root, config, keys, cost={"recommended": epoch})


def make_members(run, perform, *, until="regression", beside=False):
    """Train autoencoders, fine-tune them and train their regressors, up to a stage; sets the keys of the run.

    Parameters
    ----------
    run : Run
        Its search is done.
    perform : callable
        As for :func:`dtl_core.pipeline.searches.search_architectures`.
    until : str
        ``autoencoder``, ``transfer`` or ``regression``.
    beside : bool
        Run the recommended method at the same time, unless the profile chooses the paper's.
    """
    config, store = run.config, run.store
    keys = {name: run.keys[name] for name in ("synthetic", "observed")}
    names = ("autoencoder", "transfer", "regression")
    depth = names.index(until)
    rows = enumerate(run.architectures.itertuples())
    members = [stages.Member(int(row.width), float(row.l1), seed) for seed, row in rows]

    def job_of(items):
        cost = costs(config, items[0].width, config.survey.n_stars)
        cost = {name: cost[name] * len(items) for name in names[: depth + 1]}
        return Job("member", store.root, config, keys, items, depth, cost)

    def group_of(member):
        return (member.width,)

    def perform_labelled(jobs):
        return perform(jobs, "autoencoders")

    singles = [job for job in [recommended_job(run)] if beside and job]
    run.keys |= run_stacked(config, members, group_of, job_of, names[: depth + 1], perform_labelled, singles)
