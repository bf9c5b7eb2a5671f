"""The workflow for the book's page on clusters: its graph, and how many jobs a profile has. Markdown, SVG."""

from __future__ import annotations

from dtl_core.config import load_profile
from dtl_core.pipeline.search import round_sizes
from dtl_core.plots.method_figures import as_svg, job_graph
from workflow.graph import GRAPH

from .markdown import table

__all__ = ["workflow_files"]


_WHAT = {
    "synthetic": "synthetic spectra",
    "observed": "observed spectra",
    "gap": "distances between the two",
    "recommended": "the recommended method",
    "candidate": "one trial of the search",
    "round": "a round of trials compared",
    "regression": "one autoencoder, fine-tuned, with its regressors",
    "catalogue": "everything put together",
    "notebook": "one notebook executed",
    "book": "the pages",
    "chunk": "some parts of a bulk catalogue",
    "bulk": "the list of all parts",
}
_ROWS = {rule: 1.0 for rule in GRAPH} | {"gap": 2, "candidate": 0, "round": 0, "regression": 0, "observed": -1}
_ROWS |= {"chunk": -2.2, "bulk": -2.2}
_PROFILES = ("demo", "paper-fast")


def _counts(profile, n_notebooks):
    """Jobs of every rule that a run of a profile has, where that is known before its search."""
    config = load_profile(profile)
    n = len(config.architectures()) * len(config.search.learning_rates)
    grid = {"halving": config.search.halving, "at_least": config.autoencoder.n_models}
    sizes = round_sizes(n, epochs=config.search.epochs, **grid)
    counts = {rule: 1 for rule in GRAPH if rule not in ("chunk", "bulk")}
    counts |= {"candidate": sum(sizes), "round": len(sizes), "notebook": n_notebooks}
    return counts | {"regression": config.autoencoder.n_models}


def workflow_files(n_notebooks):
    """Draw the graph of the workflow and write the table of its jobs.

    Parameters
    ----------
    n_notebooks : int
        Number of notebooks in the book.

    Returns
    -------
    dict of str to str
        The text of each file, by its name below ``book/generated``.
    """
    counts = {profile: _counts(profile, n_notebooks) for profile in _PROFILES}
    rows = [
        [f"**{rule}**", _WHAT[rule], *(str(counts[profile].get(rule, "")) for profile in _PROFILES)] for rule in GRAPH
    ]
    text = (
        "```{figure} /generated/workflow.svg\n:name: workflow-graph\n:width: 700px\n"
        ":alt: Boxes with the rules of the workflow, an arrow from each to those that wait for it\n\n"
        "The rules of `workflow/Snakefile`, and what waits for what.\n```\n\n"
    )
    text += table(["rule", "a job makes", *(f"jobs at most, {profile}" for profile in _PROFILES)], rows)
    return {"workflow.md": text, "workflow.svg": as_svg(job_graph(GRAPH, _WHAT, _ROWS))}
