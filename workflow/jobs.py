"""A run or a survey as jobs for a workflow engine: which there are, under which key their results lie, how one is done.

    plan = Plan(profile="demo")
    plan.keys["synthetic"], plan.rung(0), plan.members()   # what there is to do
    load_plan(plan.save()).perform("regression", key)      # do one of them, anywhere

The engine (``workflow/Snakefile``) only moves them about. The results are those of :mod:`dtl_core.pipeline.conduct`,
made by the same functions and in the same store, so that ``dtl run`` goes on where the engine stopped, and the other
way round. Keys follow from settings and data; those of what comes after the search are known once its trials are done.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from pathlib import Path

from book.maker import builder
from dtl_core import machine
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError, DataError, DTLError
from dtl_core.files import write_whole
from dtl_core.pipeline import conduct, search, searches, stages
from dtl_core.pipeline.jobs import work
from dtl_core.pipeline.results import Run
from dtl_core.pipeline.store import NotStored, Store, default_root

__all__ = ["CHUNK", "GRAPH", "Plan", "SurveyPlan", "Waiting", "failures", "load_plan"]


GRAPH = {  # rule of workflow/Snakefile: those whose results its jobs wait for
    "synthetic": (),
    "observed": (),
    "gap": ("synthetic", "observed"),
    "recommended": ("synthetic", "observed"),
    "candidate": ("synthetic",),
    "rung": ("candidate",),
    "regression": ("synthetic", "observed", "rung"),
    "catalogue": ("gap", "recommended", "regression"),
    "notebook": ("catalogue",),
    "book": ("notebook",),
    "chunk": (),
    "survey": ("chunk",),
}
CHUNK = 8  # parts of a survey that one job sees to: minutes, where a process pays seconds for its start


class Waiting(Exception):
    """What is asked for depends on a trial of the search that is not done."""


class _Planned:
    """What plans have in common: a file in the store's folder that says what they are of, for the jobs to read."""

    kind, what = None, None

    def __init__(self, root):
        self.root = Path(root or default_root()).resolve()

    def save(self):
        """Write the plan's file. Returns: Path."""
        return write_whole(self.file, self._text())

    def _text(self):
        return json.dumps({"kind": self.kind, "root": str(self.root), **self.what}, indent=1, sort_keys=True) + "\n"

    @functools.cached_property
    def name(self):
        """Twenty digits that stand for what was asked for."""
        return hashlib.sha256(self._text().encode()).hexdigest()[:20]

    @property
    def file(self):
        """Path of the plan's file."""
        return self.root / "workflow" / self.name / "plan.json"


class Plan(_Planned):
    """The jobs of a run.

    Arguments
    ---------
    profile : str
    settings : dict of dotted settings in place of the profile's, optional
    root : folder of the results; see :func:`dtl_core.pipeline.store.default_root`

    Attributes: ``config``, ``store`` (which only names keys), ``keys`` (of the stages that wait for no search) and
    ``n_rungs``, how many rounds of trials the search has.

    Errors
    ------
    ConfigError, DataError : see :func:`dtl_core.config.load_profile` and :func:`dtl_core.pipeline.conduct.resolve`.
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
        self.n_rungs = len(search.rung_sizes(n, epochs=grid.epochs, **options))

    # ------------------------------------------------------------ what is known

    def _named(self, jobs):
        """What each job makes: stage -> keys."""
        return [work(job, only_name=True) for job in jobs]

    def _watched(self, stage, named):
        """The key by which the engine sees whether a job is done: of a stack the first one that is not there."""
        keys = named[stage]
        missing = [key for key in keys if not self.store.ready(stage, key)] if len(keys) > 1 else []
        return [*missing, *keys][0]

    def _searched(self):
        """The run as far as the trials are done; jobs of every rung that is known; whether the search is over."""
        run, rungs, tried = Run(self.config, self.store, dict(self.keys)), [], []

        def perform(jobs, _label):
            named = self._named(jobs)
            tried.extend(key for one in named for key in one["candidate"])
            rungs.append({self._watched("candidate", one): job for one, job in zip(named, jobs, strict=True)})
            return [work(job, only_look=True) for job in jobs]

        try:
            searches.search_architectures(run, perform)
        except NotStored:
            run.keys["candidate"] = tried
            return run, rungs, False
        return run, rungs, True

    def rung(self, number):
        """The trials of one round of the search: dict of key -> :class:`dtl_core.pipeline.jobs.Job`.

        Errors: Waiting, an earlier round is not done.
        """
        _, rungs, _ = self._searched()
        if number >= len(rungs):
            raise Waiting(f"round {number} of the search")
        return rungs[number]

    def rung_done(self, number):
        """Whether all trials of a round are in the store, whole."""
        _, rungs, over = self._searched()
        return len(rungs) > number + 1 or (over and len(rungs) > number)

    def _all(self):
        """The run with all its keys; jobs of the autoencoders by key of their regressors."""
        run, _, over = self._searched()
        if not over:
            raise Waiting("the search")
        members = {}

        def perform(jobs, _label):
            named = self._named(jobs)
            members.update((self._watched("regression", one), job) for one, job in zip(named, jobs, strict=True))
            return named

        conduct.make_members(run, perform)
        run.keys["latent_gap"] = conduct.latent_gap(run)
        run.keys["catalogue"] = stages.make_catalogue(self.store, self.config, run.keys, run.keys["regression"], [])[1]
        return run, members

    def members(self):
        """Autoencoders with their fine-tuning and regressors: dict of key of the regressors -> Job.

        Errors: Waiting, the search is not over.
        """
        return self._all()[1]

    def all_keys(self):
        """Keys of all stages, as in :class:`dtl_core.pipeline.results.Run`. Errors: as for members."""
        return self._all()[0].keys

    def notebooks(self):
        """The notebooks, each by the key of its executed form: dict of key -> path of the source.

        Errors: as for members; ConfigError, the run has settings of its own, of which notebooks know nothing.
        """
        self.only_profile()
        run = self._all()[0]
        values = {"profile": self.config.profile}
        return {builder.executed(source, values, run).name: source for source in builder.notebooks(builder.find_root())}

    def only_profile(self):
        """Refuse settings of the run's own, of which notebooks know nothing. Errors: ConfigError."""
        if self.what["settings"]:
            remedy = "leave the settings out, or the notebooks"
            raise ConfigError("notebooks know the profile alone", field="set", remedy=remedy)

    def tidy(self):
        """Before anything is planned: spoilt results are moved aside, rounds of the search begun again that lack one.

        Returns: list of (stage, key) of what was spoilt.
        """
        try:
            keys = self.all_keys()
        except Waiting:
            keys = self._searched()[0].keys
        named = [(stage, [key] if isinstance(key, str) else key) for stage, key in keys.items()]
        spoilt = [(stage, key) for stage, keys in named for key in keys if self.store.set_aside(stage, key)]
        for number in range(self.n_rungs):
            if not self.rung_done(number):
                self.rung_file(number).unlink(missing_ok=True)
        return spoilt

    def rung_file(self, number):
        """Path of the engine's own note that a round of the search is done."""
        return self.file.parent / f"rung-{number}.done"

    # ------------------------------------------------------------ what is done

    def perform(self, stage, key):
        """Do a job, or find its result. Errors: DataError, the plan has no such job."""
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
            source = _one(self.notebooks(), stage, key)
            builder.execute(
                self.config.profile, [source.stem], run=conduct.run(self.config, root=self.root, quiet=True)
            )
        elif stage == "book":
            self.only_profile()
            builder.make(self.config.profile)
        else:
            machine.one_thread()
            self._check("synthetic", *(["observed"] if stage != "candidate" else []))
            work(self._job(stage, key))

    def done(self, stage, key):
        """Whether the result of a job is there."""
        return (self.store.path(stage, key) / "manifest.json").is_file()

    def _job(self, stage, key):
        if stage in ("candidate", "regression"):
            found = [job for rung in self._searched()[1] for job in rung.values()]
            found = found if stage == "candidate" else self.members().values()
            jobs = {other: job for job in found for other in self._named([job])[0][stage]}
        elif stage == "recommended":
            jobs = {self.keys.get(stage): conduct.recommended_job(Run(self.config, self.store, self.keys))}
        else:
            raise DataError(f"no stage {stage!r} has jobs", file=self.file, remedy="plan the run again")
        return _one(jobs, stage, key)

    def _check(self, *needed):
        """Refuse to go on from a result that was spoilt since the plan was made; it is moved aside."""
        for stage in needed:
            path = self.store.path(stage, self.keys[stage])
            if not self.store.ready(stage, self.keys[stage]):
                self.store.set_aside(stage, self.keys[stage])
                raise DataError("is missing or spoilt", file=path, remedy="start the workflow again")


def _same(made, key):
    if made != key:
        problem = f"the result has the key {made}, not {key}: code, data or settings changed since the plan was made"
        raise DataError(problem, remedy="start the workflow again")


def _one(jobs, stage, key):
    if key not in jobs:
        problem = f"no job {key!r} of stage {stage!r}: code, data or settings changed since the plan was made"
        raise DataError(problem, remedy="start the workflow again")
    return jobs[key]


class SurveyPlan(_Planned):
    """The jobs of a survey, whose results lie in the folder of its catalogue.

    Arguments
    ---------
    spectra : path, or list of them, as for :func:`dtl_core.reading.sources.open_source`
    catalogue : folder, whose name should end in .parquet
    models, part, velocity : as for :class:`dtl_core.models.bulk.Survey`
    chunk : parts that one job sees to
    root : folder of the results, for the plan and the logs
    options : instrument, medium, resolving_power
    """

    kind = "survey"

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
            raise ConfigError("is not an option of a survey", field=unknown[0], remedy="see dtl predict --help")
        if "resolving_power" in options:
            options["resolving_power"] = _number("resolution", options["resolving_power"])
        if options.get("medium", "air") not in ("air", "vacuum"):
            raise ConfigError(f"cannot be {options['medium']!r}", field="medium", remedy="give air or vacuum")
        self.what["options"] = options

    @functools.cached_property
    def survey(self):
        """The :class:`dtl_core.models.bulk.Survey`."""
        from dtl_core.models import bulk
        from dtl_core.reading import sources

        what = self.what
        source = sources.open_source(what["spectra"], **what["options"])
        made = {"part": what["part"], "velocity": what["velocity"]}
        return bulk.Survey(what["catalogue"], source, what["models"], **made)

    def chunks(self):
        """Parts of every job: list of range."""
        n, size = len(self.survey), self.what["chunk"]
        return [range(first, min(first + size, n)) for first in range(0, n, size)]

    def job_of(self, number):
        """Parts of the job that ends with a part: range."""
        return next(chunk for chunk in self.chunks() if number in chunk)

    def tidy(self):
        """Before anything is planned: parts that are spoilt or whose spectra changed count for nothing.

        Returns: list of (``part``, number) of those.
        """
        missing, stale = self.survey.tidy()
        for chunk in {self.job_of(number) for number in missing}:  # a job's last part says that all of it is there
            if not all(map(self.survey.ready, chunk)):
                self.survey.note_path(chunk[-1]).unlink(missing_ok=True)
        return [("part", number) for number in stale]

    def done(self, stage, key):
        """Whether the last part of a job is there."""
        return stage == "chunk" and self.survey.note_path(int(key)).is_file()

    def perform(self, stage, key):
        """Do a job: ``chunk`` and its last part, or ``survey``, which writes the list of all parts."""
        machine.one_thread()
        self.survey.run(parts=self.job_of(int(key)) if stage == "chunk" else None)


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
    """The plan of a file.

    Errors
    ------
    DataError : it is not a plan.
    """
    try:
        about = json.loads(Path(path).read_text())
        kind, root = about.pop("kind"), about.pop("root")
        return Plan(**about, root=root) if kind == "run" else SurveyPlan(**about, root=root)
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError("is not a plan", file=path, remedy="start the workflow again") from None


def failures(plan, since):
    """What the jobs said that began after a time and left no result, one line each, by the last line of their log.

    Arguments: since, s, as of ``time.time``. Returns: list of str.
    """
    lines = []
    for log in sorted(plan.file.parent.glob("*.log")):
        stage, _, key = log.stem.rpartition("-")
        if log.stat().st_mtime < since or plan.done(stage, key):
            continue
        said = log.read_text(errors="replace").strip().splitlines()
        cause = said[-1].removeprefix("dtl: ") if said else "died without a message, most likely out of memory"
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
