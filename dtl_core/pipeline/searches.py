"""The two hyper-parameter searches of a run, cross-validated: autoencoders first, then the regressors."""

from __future__ import annotations

import dataclasses

import pandas as pd

from ..files import load_arrays
from ..parameters import PARAMETERS
from . import search
from .jobs import Job, Workers, costs, run_stacked

__all__ = ["search_architectures", "search_regressors"]


def search_architectures(run, perform):
    """Search a grid of autoencoders; sets ``search``, ``architectures`` and the keys of a run.

    Parameters
    ----------
    run : Run
        Its stage ``synthetic`` is done.
    perform : callable
        (jobs, label) -> list of what :func:`dtl_core.pipeline.jobs.work` returns; their results are then stored.
    """
    config, store = run.config, run.store
    grid = [(w, l1, rate) for w, l1 in config.architectures() for rate in config.search.learning_rates]
    keys = {"synthetic": run.keys["synthetic"]}
    run.keys["candidate"] = []

    def score(numbers, epochs):
        def job_of(items):
            cost = costs(config, items[0][0], 0)["candidate"] * len(items)
            return Job("candidate", store.root, config, keys, (items, epochs), cost={"candidate": cost})

        def group_of(item):
            width, _, learning_rate = item
            return width, learning_rate

        def perform_labelled(jobs):
            return perform(jobs, f"grid search, {epochs} epochs")

        items = [grid[number] for number in numbers]
        scored = run_stacked(config, items, group_of, job_of, ["candidate"], perform_labelled)["candidate"]
        run.keys["candidate"] += scored
        return [load_arrays(store.path("candidate", key) / "scores.safetensors")["mse"] for key in scored]

    table = pd.DataFrame(grid, columns=["width", "l1", "learning_rate"])
    settings = config.search
    halving = {"halving": settings.halving, "at_least": config.autoencoder.n_models}
    table = table.join(search.cross_validate(len(grid), score, epochs=settings.epochs, **halving))
    kept = search.select_architectures(table, config)
    run.architectures = kept.reset_index(drop=True)
    table["kept"] = table.index.isin(kept.index)
    run.search = table


def search_regressors(run, quiet=False):
    """Search for the regressors of every parameter, on the latents of the best autoencoder.

    Parameters
    ----------
    run : Run
        Its stage ``transfer`` is done.
    quiet : bool
        No progress on standard error.

    Returns
    -------
    DataFrame
        One row per candidate and parameter, with the columns of :func:`dtl_core.pipeline.search.cross_validate`; mse in
        the square of the parameter's unit.
    """
    config, store = run.config, run.store
    nets, names = search.regressor_candidates(config), list(PARAMETERS)
    keys = {"synthetic": run.keys["synthetic"]}
    cost = costs(config, 0, 0)["regression"] / (len(names) * config.regression.n_models)

    def score_all(pairs, epochs):
        """Scores of (candidate, parameter) pairs; one job trains all remaining parameters of a candidate."""
        together = {}
        for net, parameter in pairs:
            together.setdefault(net, []).append(parameter)
        jobs, kind = [], "regressor_candidate"
        for net, parameters in together.items():
            each = cost * len(parameters) * (config.search.folds - 1)
            items = (run.keys["transfer"][0], nets[net], parameters, epochs)
            jobs.append(Job(kind, store.root, config, keys, items, cost={kind: each}))
        done = workers.run(jobs, f"regressors, {epochs} epochs")
        scores = {}
        for (net, parameters), result in zip(together.items(), done, strict=True):
            for parameter, key in zip(parameters, result[kind], strict=True):
                scores[net, parameter] = load_arrays(store.path(kind, key) / "scores.safetensors")["mse"]
        return scores

    settings = config.search
    with Workers(config, quiet=quiet) as workers:
        tables = search.cross_validate_many(
            len(nets), len(names), score_all, epochs=settings.regressor_epochs, halving=settings.halving
        )
    rows = pd.DataFrame([dataclasses.asdict(net) for net in nets])
    return pd.concat(
        [rows.assign(parameter=name).join(table) for name, table in zip(names, tables, strict=True)], ignore_index=True
    )
