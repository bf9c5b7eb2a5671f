"""The book from end to end: the run, its notebooks, the generated pages, the HTML."""

from __future__ import annotations

from dtl_core import machine
from dtl_core.pipeline import conduct

from . import pages
from .execution import execute
from .html import build

__all__ = ["build", "execute", "make"]


def make(profile, html=True):
    """Run the method, execute the notebooks and write the generated pages; with ``html`` build the book.

    Returns: Path of the first page, or None.
    """
    result = conduct.run(profile)
    execute(profile, run=result, workers=machine.affordable_workers())
    pages.write(result)
    return build() if html else None
