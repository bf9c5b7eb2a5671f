"""A run or a bulk catalogue as jobs for a workflow engine: the jobs, the keys of their results, and their functions.

    plan = Plan(profile="demo")
    plan.keys["synthetic"], plan.round(0), plan.members()   # the jobs
    load_plan(plan.save()).perform("regression", key)       # do one of them, on any machine

The engine (``workflow/Snakefile``) only schedules jobs. The functions and the store are those of
:mod:`dtl_core.pipeline.conduct`, so ``dtl run`` continues where the engine stopped, and vice versa. Keys follow from
settings and data; those of later stages are known once the search is done.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from pathlib import Path

from book.maker import builder, clone, execution
from dtl_core import machine
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.files import write_atomic
from dtl_core.pipeline import conduct, search, searches, stages
from dtl_core.pipeline.jobs import work
from dtl_core.pipeline.results import Run
from dtl_core.pipeline.store import NotStored, Store, default_root
from workflow.graph import CHUNK

__all__ = ["BulkPlan", "Plan", "Waiting", "failures", "load_plan"]


class Waiting(Exception):
    """The answer depends on a trial of the search that is not finished."""


class _Planned:
    """Base of the plans: a file in the store's folder from which jobs read what was planned."""

    kind, what = None, None

    def __init__(self, root):
        self.root = Path(root or default_root()).resolve()

    def save(self):
        """Write the file of the plan and return its path."""
        return write_atomic(self.file, self._text())

    def _text(self):
        return json.dumps({"kind": self.kind, "root": str(self.root), **self.what}, indent=1, sort_keys=True) + "\n"

    @functools.cached_property
    def name(self):
        """Twenty hexadecimal digits, the hash of what was planned."""
        return hashlib.sha256(self._text().encode()).hexdigest()[:20]

    @property
    def file(self):
        """Path of the file of the plan."""
        return self.root / "workflow" / self.name / "plan.json"


class Plan(_Planned):
    """The jobs of a run.

    Parameters
    ----------
    profile : str
    settings : dict, optional
        Dotted settings that replace those of the profile.
    root : path, optional
        Folder of the results; see :func:`dtl_core.pipeline.store.default_root`.

    Attributes
    ----------
    config : Config
    store : Store
        It only names keys.
    keys : dict
        Keys of the stages that do not depend on the search.
    n_rounds : int
        Rounds of trials that the search has.

    Raises
    ------
    ConfigError, DataError
        See :func:`dtl_core.config.load_profile` and :func:`dtl_core.pipeline.conduct.resolve`.
    """

    kind = "run"

    def __init__(self, profile="demo", settings=None, root=None):
        super().__init__(root)
        if not isinstance(settings or {}, dict):
            raise ConfigError(f"cannot read {settings!r}", field="set", remedy="give names and values, '{\"seed\": 1}'")
        self.what = {"profile": profile, "settings": dict(settings or {})}
        self.config, self.files = conduct.resolve(load_profile(profile, settings))
        self.store = Store(self.root, only_name=True)
        self.keys = {"synthetic": stages.make_synthetic(self.store, self.config)[1]}
        self.keys["observed"] = stages.make_observed(self.store, self.config, self.files)[1]
        run = Run(self.config, self.store, self.keys)
        self.keys["gap"] = conduct.flux_gap(run)
        job = conduct.recommended_job(run)
        self.keys |= work(job, only_name=True) if job else {}
        grid = self.config.search
        n = len(self.config.architectures()) * len(grid.learning_rates)
        options = {"halving": grid.halving, "at_least": self.config.autoencoder.n_models}
        self.n_rounds = len(search.round_sizes(n, epochs=grid.epochs, **options))

    # ------------------------------------------------------------ jobs and keys

    def _named(self, jobs):
        """Results of each job: stage -> keys."""
        return [work(job, only_name=True) for job in jobs]

    def _watched(self, stage, named):
        """The key by which the engine sees whether a job is done: of a stack the first one that is missing."""
        keys = named[stage]
        missing = [key for key in keys if not self.store.ready(stage, key)] if len(keys) > 1 else []
        return [*missing, *keys][0]

    def _searched(self):
        """The run as far as the search is done; jobs of every known round by key; whether the search is finished."""
        run, rounds, tried = Run(self.config, self.store, dict(self.keys)), [], []

        def perform(jobs, _label):
            named = self._named(jobs)
            tried.extend(key for names in named for key in names["candidate"])
            rounds.append({self._watched("candidate", names): job for names, job in zip(named, jobs, strict=True)})
            return [work(job, only_look=True) for job in jobs]

        try:
            searches.search_architectures(run, perform)
        except NotStored:
            run.keys["candidate"] = tried
            return run, rounds, False
        return run, rounds, True

    def round(self, number):
        """The trials of one round of the search.

        Parameters
        ----------
        number : int

        Returns
        -------
        dict of str to Job
            By key; see :class:`dtl_core.pipeline.jobs.Job`.

        Raises
        ------
        Waiting
            An earlier round is not finished.
        """
        _, rounds, _ = self._searched()
        if number >= len(rounds):
            raise Waiting(f"round {number} of the search")
        return rounds[number]

    def round_done(self, number):
        """Whether all trials of a round are in the store."""
        _, rounds, finished = self._searched()
        return len(rounds) > number + 1 or (finished and len(rounds) > number)

    def _all(self):
        """The run with all its keys; jobs of the autoencoders by key of their regressors."""
        run, _, finished = self._searched()
        if not finished:
            raise Waiting("the search")
        members = {}

        def perform(jobs, _label):
            named = self._named(jobs)
            members.update((self._watched("regression", names), job) for names, job in zip(named, jobs, strict=True))
            return named

        conduct.make_members(run, perform)
        run.keys["latent_gap"] = conduct.latent_gap(run)
        run.keys["catalogue"] = stages.make_catalogue(self.store, self.config, run.keys, run.keys["regression"], [])[1]
        return run, members

    def members(self):
        """Jobs of the autoencoders with their fine-tuning and regressors.

        Returns
        -------
        dict of str to Job
            By key of the regressors.

        Raises
        ------
        Waiting
            The search is not finished.
        """
        return self._all()[1]

    def all_keys(self):
        """Keys of all stages, as in :class:`dtl_core.pipeline.results.Run`.

        Raises
        ------
        Waiting
            The search is not finished.
        """
        return self._all()[0].keys

    def notebooks(self):
        """The notebooks of the book.

        Returns
        -------
        dict of str to Path
            Key of the executed notebook -> source.

        Raises
        ------
        Waiting
            The search is not finished.
        ConfigError
            The run has settings, which notebooks do not support.
        """
        self.only_profile()
        run = self._all()[0]
        values = {"profile": self.config.profile}
        return {execution.executed(source, values, run).name: source for source in clone.notebooks(clone.find_root())}

    def only_profile(self):
        """Raise ConfigError if the run has settings, because notebooks know only the profile."""
        if self.what["settings"]:
            remedy = "leave the settings out, or the notebooks"
            raise ConfigError("notebooks know the profile alone", field="set", remedy=remedy)

    def discard_invalid(self):
        """Move corrupted results aside and repeat rounds of the search with missing trials; called before planning.

        Returns
        -------
        list of (stage, key)
            Corrupted results.
        """
        try:
            keys = self.all_keys()
        except Waiting:
            keys = self._searched()[0].keys
        named = [(stage, [key] if isinstance(key, str) else key) for stage, key in keys.items()]
        corrupted = [(stage, key) for stage, keys in named for key in keys if self.store.move_corrupted(stage, key)]
        for number in range(self.n_rounds):
            if not self.round_done(number):
                self.round_file(number).unlink(missing_ok=True)
        return corrupted

    def round_file(self, number):
        """Path of the engine's mark that a round of the search is done."""
        return self.file.parent / f"round-{number}.done"

    # ------------------------------------------------------------ doing jobs

    def perform(self, stage, key):
        """Do a job, or find its result.

        Parameters
        ----------
        stage, key : str

        Raises
        ------
        DataError
            The plan has no such job.
        """
        store = Store(self.root)
        if stage == "synthetic":
            _same(stages.make_synthetic(store, self.config)[1], key)
        elif stage == "observed":
            _same(stages.make_observed(store, self.config, self.files)[1], key)
        elif stage == "gap":
            self._check("synthetic", "observed")
            _same(conduct.flux_gap(Run(self.config, store, self.keys)), key)
        elif stage == "catalogue":
            _same(conduct.run(self.config, root=self.root, quiet=True).keys["catalogue"], key)
        elif stage == "notebook":
            source = _job_of(self.notebooks(), stage, key)
            execution.execute(
                self.config.profile, [source.stem], run=conduct.run(self.config, root=self.root, quiet=True)
            )
        elif stage == "book":
            self.only_profile()
            builder.make(self.config.profile, offline=True)  # with other public data this would be another run
        else:
            machine.one_thread()
            self._check("synthetic", *(["observed"] if stage != "candidate" else []))
            work(self._job(stage, key))

    def done(self, stage, key):
        """Whether the result of a job is there."""
        return (self.store.path(stage, key) / "manifest.json").is_file()

    def _job(self, stage, key):
        if stage in ("candidate", "regression"):
            trials = [job for jobs in self._searched()[1] for job in jobs.values()]
            planned = trials if stage == "candidate" else self.members().values()
            jobs = {other: job for job in planned for other in self._named([job])[0][stage]}
        elif stage == "recommended":
            jobs = {self.keys.get(stage): conduct.recommended_job(Run(self.config, self.store, self.keys))}
        else:
            raise DataError(f"no stage {stage!r} has jobs", file=self.file, remedy="plan the run again")
        return _job_of(jobs, stage, key)

    def _check(self, *needed):
        """Refuse to use a result that was corrupted since the plan was made, and move it aside."""
        for stage in needed:
            path = self.store.path(stage, self.keys[stage])
            if not self.store.ready(stage, self.keys[stage]):
                self.store.move_corrupted(stage, self.keys[stage])
                raise DataError("is missing or corrupted", file=path, remedy="start the workflow again")


def _same(made, key):
    if made != key:
        problem = f"the result has the key {made}, not {key}: code, data or settings changed since the plan was made"
        raise DataError(problem, remedy="start the workflow again")


def _job_of(jobs, stage, key):
    if key not in jobs:
        problem = f"no job {key!r} of stage {stage!r}: code, data or settings changed since the plan was made"
        raise DataError(problem, remedy="start the workflow again")
    return jobs[key]


class BulkPlan(_Planned):
    """The jobs of a bulk catalogue, whose results are in its own folder.

    Parameters
    ----------
    spectra : path or list of path
        As for :func:`dtl_core.reading.sources.open_source`.
    catalogue : path
        Folder; its name should end in .parquet.
    models : str
        As the ``name`` of :class:`dtl_core.models.bulk.BulkCatalogue`.
    part : int, optional
    velocity : float, km/s, optional
        As there.
    chunk : int, optional
        Parts that one job computes.
    root : path, optional
        Folder of the results, for the plan and the logs.
    options : dict, optional
        ``instrument``, ``medium``, ``resolving_power``.
    """

    kind = "bulk"

    def __init__(
        self, spectra, catalogue, *, models="shipped", part=None, velocity=None, chunk=None, root=None, options=None
    ):
        from dtl_core.models import bulk

        super().__init__(root)
        given = [spectra] if isinstance(spectra, str | Path) else list(spectra)
        part, chunk = bulk.PART if part is None else part, CHUNK if chunk is None else chunk
        self.what = {"spectra": [_absolute(one) for one in given], "catalogue": str(Path(catalogue).resolve())}
        self.what |= {"models": str(models), "velocity": None if velocity is None else _number("rv", velocity)}
        self.what |= {name: _number(name, value, int, 1) for name, value in (("part", part), ("chunk", chunk))}
        options = {name: value for name, value in (options or {}).items() if value is not None}
        if unknown := sorted(set(options) - {"instrument", "medium", "resolving_power"}):
            raise ConfigError("is not an option of a catalogue", field=unknown[0], remedy="see dtl predict --help")
        if "resolving_power" in options:
            options["resolving_power"] = _number("resolution", options["resolving_power"])
        if options.get("medium", "air") not in ("air", "vacuum"):
            raise ConfigError(f"cannot be {options['medium']!r}", field="medium", remedy="give air or vacuum")
        self.what["options"] = options

    @functools.cached_property
    def catalogue(self):
        """The :class:`dtl_core.models.bulk.BulkCatalogue`."""
        from dtl_core.models import bulk
        from dtl_core.reading import sources

        what = self.what
        source = sources.open_source(what["spectra"], **what["options"])
        made = {"part": what["part"], "velocity": what["velocity"]}
        return bulk.BulkCatalogue(what["catalogue"], source, what["models"], **made)

    def chunks(self):
        """Parts of every job: list of range."""
        n, size = len(self.catalogue), self.what["chunk"]
        return [range(first, min(first + size, n)) for first in range(0, n, size)]

    def job_of(self, number):
        """Parts of the job that computes a part: range."""
        return next(chunk for chunk in self.chunks() if number in chunk)

    def discard_invalid(self):
        """Discard parts that are corrupted or whose spectra have changed; called before planning.

        Returns
        -------
        list of ("part", number)
            The discarded parts.
        """
        missing, discarded = self.catalogue.discard_invalid()
        for chunk in {self.job_of(number) for number in missing}:  # the last part marks the job as done
            if not all(map(self.catalogue.ready, chunk)):
                self.catalogue.note_path(chunk[-1]).unlink(missing_ok=True)
        return [("part", number) for number in discarded]

    def done(self, stage, key):
        """Whether the last part of a job is there."""
        return stage == "chunk" and self.catalogue.note_path(int(key)).is_file()

    def perform(self, stage, key):
        """Do a job: ``chunk`` and the number of its last part, or ``bulk``, which writes the manifest.

        Parameters
        ----------
        stage, key : str
        """
        machine.one_thread()
        self.catalogue.run(parts=self.job_of(int(key)) if stage == "chunk" else None)


def _number(name, value, kind=float, least=None):
    try:
        number = kind(value)
        if not abs(number) < float("inf") or (least is not None and number < least):
            raise ValueError
        return number
    except (TypeError, ValueError):
        raise ConfigError(f"cannot be {value!r}", field=name, remedy="give a number, or leave it out") from None


def _absolute(given):
    """A path, pattern or @list that means the same in another folder."""
    given = str(given)
    at = "@" if given.startswith("@") else ""
    return at + str(Path.cwd() / Path(given.removeprefix("@")).expanduser())


def load_plan(path):
    """Read a plan.

    Parameters
    ----------
    path : path

    Returns
    -------
    Plan or BulkPlan

    Raises
    ------
    DataError
        The file is not a plan.
    """
    try:
        about = json.loads(Path(path).read_text())
        kind, root = about.pop("kind"), about.pop("root")
        return Plan(**about, root=root) if kind == "run" else BulkPlan(**about, root=root)
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError("is not a plan", file=path, remedy="start the workflow again") from None


def failures(plan, since):
    """Causes of the failed jobs, from the last line of each log.

    Parameters
    ----------
    plan : Plan or BulkPlan
    since : float, s
        Time as of ``time.time``; older logs are ignored.

    Returns
    -------
    list of str
        One line per job.
    """
    lines = []
    for log in sorted(plan.file.parent.glob("*.log")):
        stage, _, key = log.stem.rpartition("-")
        if log.stat().st_mtime < since or plan.done(stage, key):
            continue
        output = log.read_text(errors="replace").strip().splitlines()
        cause = output[-1].removeprefix("dtl: ") if output else "died without a message, most likely out of memory"
        lines.append(f"{log.stem}: {cause}")
    return lines


def _main(path, stage, key):
    plan = load_plan(path)
    os.environ["DTL_RESULTS"] = str(plan.root)  # for the kernels of notebooks
    plan.perform(stage, key)


if __name__ == "__main__":  # a job: python -m workflow.jobs PLAN STAGE KEY
    try:
        _main(*sys.argv[1:])
    except DTLError as error:
        print(f"dtl: {error}", file=sys.stderr)
        sys.exit(2)
