"""The stages in order, from spectra to catalogue; each is stored under its key and found again.

    synthetic, observed -> gap -> search -> autoencoder -> transfer -> regression -> catalogue
                       \\-> recommended

Autoencoders are independent of each other: each goes with its fine-tuning and its regressors through one process. So
does the recommended method, which needs none of them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import queue
import sys
import time
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..config import Config, load_profile
from ..errors import ConfigError, DataError, DTLError
from ..files import atomic_path, load_arrays
from ..machine import affordable_workers, one_thread
from ..parameters import PARAMETERS
from ..public_data import registry
from ..reading.hpf import RESOLVING_POWER as HPF_RESOLVING_POWER
from ..reading.sources import list_files
from ..source_code import versions
from ..synthetic import libraries
from . import search, stages
from .results import Run
from .stages import ENCODERS
from .stages.recommended import steps
from .store import NotStored, Store

__all__ = [
    "ENCODERS",
    "Job",
    "STAGES",
    "first_member",
    "flux_gap",
    "latent_gap",
    "make_members",
    "recommended_job",
    "resolve",
    "run",
    "search_architectures",
    "search_regressors",
    "work",
]


STAGES = ("synthetic", "observed", "gap", "search", "autoencoder", "transfer", "regression", "recommended", "catalogue")


def resolve(config):
    """Settle what depends on the machine: the real stars that take part, and with them the resolving power.

    Real HPF spectra have R = 53,000, so with them every spectrum of the run, synthetic or simulated, is broadened to
    that, or to the lower one that was asked for.

    Returns
    -------
    (config, files) with ``files`` the paths of the real spectra.

    Errors
    ------
    DataError : real stars are asked for and there are none.
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


# ---------------------------------------------------------------- workers

_queue = None  # of a worker: the way of its progress to the parent


def _start_worker(progress_queue):
    global _queue
    _queue = progress_queue
    one_thread()


class Job(NamedTuple):
    """What one process does at a time: candidates of a search, or autoencoders of one width as far as they are to go.

    Attributes: ``kind`` (candidate, member, recommended or regressor_candidate), ``root`` of the store, ``config``,
    ``keys`` of the stages before, ``items`` (what the stage's function wants), ``depth`` (for a member: how many stages
    after ``autoencoder``) and ``cost`` (of an epoch of each stage, for the progress bar).
    """

    kind: str
    root: Path
    config: Config
    keys: dict
    items: object = None
    depth: int = 0
    cost: dict = {}

    def total(self):
        """Cost of the whole job."""
        config = self.config
        if self.kind == "candidate":
            return self.cost[self.kind] * self.items[1] * config.search.folds
        if self.kind == "regressor_candidate":
            return self.cost[self.kind] * self.items[3]
        if self.kind == "recommended":
            return self.cost[self.kind] * steps(config)
        return sum(cost * getattr(config, stage).epochs for stage, cost in self.cost.items())


def work(job, **looking):
    """Do a job: its results are found or computed.

    Arguments: looking, for :class:`dtl_core.pipeline.store.Store`. Returns: dict of stage -> key, or list of keys.
    """
    kind, root, config, keys, items, depth, cost = job
    store = Store(root, **looking)

    def tick(name):
        return (lambda share=1.0: _queue.put(share * cost[name])) if _queue is not None else None

    if kind == "candidate":
        return {kind: stages.score_candidates(store, config, keys, *items, tick(kind))}
    if kind == "recommended":
        return {kind: stages.make_recommended(store, config, keys, tick(kind))[1]}
    if kind == "regressor_candidate":
        return {kind: stages.score_regressors(store, config, keys, *items, tick(kind))}
    done = {"autoencoder": stages.train_autoencoders(store, config, keys, items, tick("autoencoder"))}
    if depth >= 1:
        done["transfer"] = stages.transfer_autoencoders(
            store, config, keys, done["autoencoder"], items, tick("transfer")
        )
    if depth >= 2:
        done["regression"] = stages.train_regressors(store, config, keys, done["transfer"], items, tick("regression"))
    return done


def stack_size(config, width):
    """How many autoencoders of one width train together, with their regressors.

    One by one on a CPU: the matrices are large, and caches small. On a GPU as many as a third of its memory holds: each
    takes its weights four times (with gradient and Adam's two moments) and its layers for a batch, backward as well.
    """
    import torch

    from ..networks.training import choose_device

    if config.stack:
        return config.stack
    if choose_device(config.device).type != "cuda":
        return 1
    window = config.window
    pixels = (window.stop - window.start) / window.step
    weights = 2 * (pixels * width + width * width * (3 / 4 + 3 / 8 + 1 / 8 + 1 / 32))
    layers = config.autoencoder.batch_size * (3 * pixels + 10 * width)
    return max(1, int(torch.cuda.get_device_properties(0).total_memory / 3 / (4 * (4 * weights + layers))))


def _grouped(items, config, key):
    """Items in groups that train as one stack: lists of their numbers, equal in ``key``, its first part the width."""
    groups = {}
    for number, item in enumerate(items):
        groups.setdefault(key(item), []).append(number)
    out = []
    for alike, numbers in groups.items():
        size = stack_size(config, alike[0])
        out += [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return out


def _costs(config, width, n_stars):
    """Rough cost of an epoch, in units of 1e9 multiply-adds, for the progress bar."""
    pixels = (config.window.stop - config.window.start) / config.window.step
    dense = 2 * (pixels * width + width * width * (3 / 4 + 3 / 8 + 1 / 8 + 1 / 32))
    n = config.synthetic.n_spectra * (1 - config.autoencoder.test_fraction)
    cnn = 32 * (2 * 64 + 128 * 32) + 32 * 32 * 256 + 256 * 128 + 128 * 64
    models = len(PARAMETERS) * config.regression.n_models
    share = (config.search.folds - 1) / config.search.folds
    return {
        "candidate": n * config.search.fraction * share * dense / 1e9,
        "autoencoder": n * dense / 1e9,
        "transfer": n_stars * dense / 1e9,
        "regression": 2.0 * n * cnn * models / 1e9,
    }


def _run_jobs(config, jobs, label, *, quiet):
    """Results of jobs in order, over worker processes, with a progress bar in units of work."""
    from tqdm import tqdm

    from ..networks.training import choose_device

    done = {}
    for number, job in enumerate(jobs):
        try:
            done[number] = work(job, only_look=True)
        except NotStored:
            pass
    missing = [number for number in range(len(jobs)) if number not in done]
    if not missing:
        return [done[number] for number in range(len(jobs))]
    total = sum(jobs[number].total() for number in missing)
    workers = config.workers or affordable_workers()
    if choose_device(config.device).type == "cuda":
        workers = 1  # one process feeds the device
    workers = min(workers, len(missing))
    bar = tqdm(
        total=round(total, 2),
        desc=label,
        unit="",
        disable=quiet,
        file=sys.stderr,
        mininterval=1.0,
        bar_format="{desc}: {percentage:3.0f}%|{bar:24}| {elapsed}<{remaining}",
    )
    context = multiprocessing.get_context("spawn")
    channel = context.Queue()
    with bar, ProcessPoolExecutor(workers, context, _start_worker, (channel,)) as pool:
        futures = {number: pool.submit(work, jobs[number]) for number in missing}
        pending = set(futures.values())
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.3)
                for future in finished:
                    future.result()  # raises here what went wrong there
                try:
                    while True:
                        bar.update(min(channel.get_nowait(), bar.total - bar.n))
                except queue.Empty:
                    pass
        except BrokenProcessPool:
            raise DTLError(
                "a worker process died, most likely for want of memory",
                field="workers",
                remedy="set workers=1 or choose a smaller profile; what is finished is kept",
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        bar.update(bar.total - bar.n)
    done |= {number: future.result() for number, future in futures.items()}
    return [done[number] for number in range(len(jobs))]


def run(profile="demo", until="catalogue", *, overrides=None, root=None, quiet=False):
    """Run the method, or find its results, up to a stage.

    Arguments
    ---------
    profile : ``smoke``, ``demo``, ``paper-fast`` or ``paper``, or a Config
    until : one of ``STAGES``
    overrides : dict of dotted settings, see :func:`dtl_core.config.load_profile`
    root : folder of the results; see :func:`dtl_core.pipeline.store.default_root`
    quiet : no progress on standard error

    Returns
    -------
    Run

    Errors
    ------
    ConfigError, DataError, StoreError : see the modules of the same names.
    """
    if until not in STAGES:
        raise ConfigError(f"unknown stage {until!r}", field="until", remedy=f"choose one of {', '.join(STAGES)}")
    config = profile if isinstance(profile, Config) else load_profile(profile, overrides)
    config, files = resolve(config)
    store, depth = Store(root), STAGES.index(until)
    store.sweep()
    started = time.time()
    result = Run(config, store, {})
    keys = result.keys
    perform = functools.partial(_run_jobs, config, quiet=quiet)

    def note(text):
        if not quiet:
            print(f"[{time.time() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    _, keys["synthetic"] = _synthetic_with_bar(store, config, quiet)
    note("synthetic spectra ready")
    if depth >= STAGES.index("observed"):
        _, keys["observed"] = stages.make_observed(store, config, files)
        note("observed spectra ready")
        for row in result.reports.itertuples():
            for warning in row.warnings:
                note(f"{row.star}: {warning}")
        for row in result.refused.itertuples():
            note(f"refused: {row.error}")
    if depth >= STAGES.index("gap"):
        keys["gap"] = flux_gap(result)
        note("domain gap measured")
    if depth >= STAGES.index("search"):
        search_architectures(result, perform)
        note("grid search ready")
        if len(result.architectures) < config.autoencoder.n_models:
            note(
                f"the search keeps {len(result.architectures)} of {config.autoencoder.n_models} autoencoders asked for"
            )
    if depth >= STAGES.index("autoencoder"):
        last = STAGES[min(depth, STAGES.index("regression"))]
        make_members(result, perform, until=last, beside=depth >= STAGES.index("recommended"))
        note(f"{len(result.architectures)} autoencoders ready")
        for name, count in result.restarts().items():
            note(f"{name}: {count} networks diverged and were trained again at a lower learning rate")
    if depth >= STAGES.index("transfer"):
        keys["latent_gap"] = latent_gap(result)
        note("latent gap measured")
    if depth >= STAGES.index("catalogue"):
        _, keys["catalogue"] = stages.make_catalogue(store, config, keys, keys["regression"], result.stars)
        note("catalogue ready")
        try:
            _record(result, time.time() - started)
        except OSError as error:  # a finished store may be there to be read alone
            note(f"the run could not be noted in {store.root / 'runs'} ({error.strerror})")
    return result


def flux_gap(result):
    """Stage ``gap`` of a run whose spectra are there. Returns: its key."""
    keys = {name: result.keys[name] for name in ("synthetic", "observed")}
    vectors = (lambda: result.synthetic["flux"], lambda: {"flux": result.observed})
    options = {"name": "gap", "metric": "correlation"}
    return stages.measure_gap(result.store, result.config, keys, *vectors, **options)[1]


def latent_gap(result):
    """Stage ``latent_gap`` of a run whose first autoencoder is fine-tuned. Returns: its key."""
    first = functools.cache(lambda: result.arrays("transfer", "latents", 0))
    vectors = (lambda: first()["synthetic"], lambda: {encoder: first()[encoder] for encoder in ENCODERS})
    keys, options = {"transfer": result.keys["transfer"][0]}, {"name": "latent_gap", "metric": "euclidean"}
    return stages.measure_gap(result.store, result.config, keys, *vectors, **options)[1]


def _synthetic_with_bar(store, config, quiet):
    from tqdm import tqdm

    bar = tqdm(
        total=config.synthetic.n_spectra, desc="synthetic spectra", disable=quiet, file=sys.stderr, delay=2, leave=False
    )
    with bar:
        return stages.make_synthetic(store, config, bar.update)


def _stacked(config, items, width_of, job_of, names, perform, beside=()):
    """Results of items, those of one width in stacks, and of single jobs beside them.

    Arguments
    ---------
    items : list of anything
    width_of : callable(item) -> tuple, the width first; items with equal ones may train together
    job_of : callable(items of a stack) -> :class:`Job`
    names : of the stages whose keys are wanted
    perform : callable(jobs) -> list of what :func:`work` returns of each
    beside : jobs that run at the same time, each of which makes one result

    Returns
    -------
    dict of stage -> keys in the order of the items, or of one key for a job beside.
    """
    groups = _grouped(items, config, width_of)
    jobs = [*beside, *(job_of([items[number] for number in group]) for group in groups)]
    done = perform(jobs)  # those beside first, because they cannot be divided
    extra, done = done[: len(beside)], done[len(beside) :]
    keys = {name: [None] * len(items) for name in names}
    for group, one in zip(groups, done, strict=True):
        for name in names:
            for number, key in zip(group, one[name], strict=True):
                keys[name][number] = key
    for one in extra:
        keys |= one
    return keys


def search_architectures(result, perform):
    """The grid search over the autoencoders: sets ``search``, ``architectures`` and the keys of a run.

    Arguments
    ---------
    result : Run, whose stage ``synthetic`` is done
    perform : callable(jobs, label) -> list of what :func:`work` returns of each, with its results in the store
    """
    config, store = result.config, result.store
    grid = [(w, l1, rate) for w, l1 in config.architectures() for rate in config.search.learning_rates]
    keys = {"synthetic": result.keys["synthetic"]}
    result.keys["candidate"] = []

    def score(numbers, epochs):
        def job(items):
            cost = _costs(config, items[0][0], 0)["candidate"] * len(items)
            return Job("candidate", store.root, config, keys, (items, epochs), cost={"candidate": cost})

        def together(jobs):
            return perform(jobs, f"grid search, {epochs} epochs")

        items = [grid[number] for number in numbers]
        found = _stacked(config, items, lambda item: (item[0], item[2]), job, ["candidate"], together)["candidate"]
        result.keys["candidate"] += found
        return [load_arrays(store.path("candidate", key) / "scores.safetensors")["mse"] for key in found]

    table = pd.DataFrame(grid, columns=["width", "l1", "learning_rate"])
    settings = config.search
    halving = {"halving": settings.halving, "at_least": config.autoencoder.n_models}
    table = table.join(search.cross_validate(len(grid), score, epochs=settings.epochs, **halving))
    kept = search.select_architectures(table, config)
    result.architectures = kept.reset_index(drop=True)
    table["kept"] = table.index.isin(kept.index)
    result.search = table


def first_member(result, quiet=False):
    """A run whose search is done, with its best autoencoder alone trained and fine-tuned: Run."""
    out = Run(result.config, result.store, dict(result.keys), result.search, result.architectures.head(1))
    make_members(out, functools.partial(_run_jobs, result.config, quiet=quiet), until="transfer")
    return out


def search_regressors(result, quiet=False):
    """Cross-validated search for the regressors of every parameter, on the latents of the best autoencoder.

    Arguments
    ---------
    result : Run, of which the stage ``transfer`` is done
    quiet : no progress on standard error

    Returns
    -------
    DataFrame, a row a candidate and parameter, with the columns of :func:`dtl_core.pipeline.search.cross_validate`; mse
    in the square of the parameter's unit.
    """
    config, store = result.config, result.store
    nets, names = search.regressor_candidates(config), list(PARAMETERS)
    keys = {"synthetic": result.keys["synthetic"]}
    cost = _costs(config, 0, 0)["regression"] / (len(names) * config.regression.n_models)

    def score_all(pairs, epochs):
        """Scores of (candidate, parameter) pairs: the parameters that one candidate is still tried for go together."""
        together = {}
        for net, kind in pairs:
            together.setdefault(net, []).append(kind)
        jobs, kind = [], "regressor_candidate"
        for net, kinds in together.items():
            each = cost * len(kinds) * (config.search.folds - 1)
            what = (result.keys["transfer"][0], nets[net], kinds, epochs)
            jobs.append(Job(kind, store.root, config, keys, what, cost={kind: each}))
        done = _run_jobs(config, jobs, f"regressors, {epochs} epochs", quiet=quiet)
        scores = {}
        for (net, kinds), one in zip(together.items(), done, strict=True):
            for kind, key in zip(kinds, one["regressor_candidate"], strict=True):
                path = store.path("regressor_candidate", key) / "scores.safetensors"
                scores[net, kind] = load_arrays(path)["mse"]
        return scores

    tables = search.cross_validate_many(
        len(nets), len(names), score_all, epochs=config.search.regressor_epochs, halving=config.search.halving
    )
    rows = pd.DataFrame([dataclasses.asdict(net) for net in nets])
    return pd.concat(
        [rows.assign(parameter=name).join(table) for name, table in zip(names, tables, strict=True)], ignore_index=True
    )


def recommended_job(result):
    """The job of the recommended method for a run whose spectra have keys; None where the profile takes the paper's."""
    config = result.config
    if config.recommended.method == "paper":
        return None
    keys = {name: result.keys[name] for name in ("synthetic", "observed")}
    epoch = config.synthetic.n_spectra * 1e-3  # about what an autoencoder of 256 neurons takes for it
    return Job("recommended", result.store.root, config, keys, cost={"recommended": epoch})


def make_members(result, perform, *, until="regression", beside=False):
    """Autoencoders, their fine-tuning and regressors up to a stage, and beside them the recommended method.

    Arguments
    ---------
    result : Run, whose search is done; its keys are set
    perform : as for :func:`search_architectures`
    until : autoencoder, transfer or regression
    beside : whether the recommended method is wanted, where the profile has one other than the paper's
    """
    config, store = result.config, result.store
    keys = {name: result.keys[name] for name in ("synthetic", "observed")}
    names = ("autoencoder", "transfer", "regression")
    depth = names.index(until)
    rows = enumerate(result.architectures.itertuples())
    members = [stages.Member(int(row.width), float(row.l1), seed) for seed, row in rows]

    def job(items):
        cost = _costs(config, items[0].width, config.survey.n_stars)
        cost = {name: cost[name] * len(items) for name in names[: depth + 1]}
        return Job("member", store.root, config, keys, items, depth, cost)

    more = [job for job in [recommended_job(result)] if beside and job]

    def together(jobs):
        return perform(jobs, "autoencoders")

    width_of = lambda member: (member.width,)  # noqa: E731
    result.keys |= _stacked(config, members, width_of, job, names[: depth + 1], together, more)


def _record(result, seconds):
    """Note the run for ``dtl figures``: its keys, versions, hashes and timings, in one file that is replaced whole."""
    folder = result.store.root / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    figures = result.figures
    manifest = {
        "profile": result.config.profile,
        "config": dataclasses.asdict(result.config),
        "keys": result.keys,
        "versions": versions(),
        "libraries": {name: libraries.library_hash(name) for name in ("grid_a", "survey_b")},
        "seconds": {**result.seconds(), "this_call": seconds},
        "figures": figures,
    }
    for name in (result.config.profile, "last"):
        with atomic_path(folder / f"{name}.json") as part:
            part.write_text(json.dumps(manifest, indent=1) + "\n")
