"""The book from end to end: public data, the run, its notebooks, the generated pages, the HTML."""

from __future__ import annotations

from dtl_core import machine
from dtl_core.pipeline import conduct

from . import pages
from .execution import execute
from .html import build
from .inputs import fetch_inputs

__all__ = ["build", "execute", "make"]


def make(profile, html=True, offline=False):
    """Fetch public files, run the method, execute the notebooks, write the generated pages and build the book.

    Parameters
    ----------
    profile : str
    html : bool, optional
        False stops before the book is built.
    offline : bool, optional
        Do not use the network.

    Returns
    -------
    pathlib.Path or None
        The first page, where the book was built.
    """
    fetch_inputs(offline)
    result = conduct.run(profile)
    execute(profile, run=result, workers=machine.affordable_workers())
    pages.write(result)
    return build() if html else None
