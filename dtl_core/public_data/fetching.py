"""Fetching public data from the network into the cache, by names or groups of the registry."""

from __future__ import annotations

from ..errors import DataError
from ..files import file_hash
from . import registry
from .registry import cache_root, keeper

__all__ = ["fetch"]


# ---------------------------------------------------------------- from the network


def fetch(names=None, *, offline=False, quiet=False, workers=4, downloader=None):
    """Find data in the mirror or the cache, and download what is missing.

    Parameters
    ----------
    names : iterable of str, optional
        Names and groups; by default all files with a fixed hash.
    offline : bool
        Do not use the network; ``DTL_OFFLINE=1`` has the same effect.
    quiet : bool
        Show no progress.
    workers : int
        Files at once.
    downloader : Downloader, optional
        Used instead of one with ``workers``.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        Something is not available. Everything else has been fetched and stays.
    """
    chosen = registry.select(names) if names is not None else [r for r in registry.load().values() if r.kind == "file"]
    missing = [r for r in chosen if not registry.in_place(r.name)]
    if missing:
        registry.refuse_offline(offline, [r.name for r in missing])
        from .download import Downloader, progress_bar

        downloader = downloader or Downloader(workers=workers)
        with progress_bar(sum(r.size for r in missing) or None, quiet=quiet) as bar:
            downloader.progress = bar.update
            errors = downloader.each(lambda resource: _FETCH[resource.kind](resource, downloader), missing)[1]
        registry.raise_first(errors, len(chosen))
    return [registry.find(r.name) for r in chosen]


def _fetch_file(resource, downloader):
    path = cache_root() / resource.name
    if path.exists() and file_hash(path) != resource.sha256:
        path.unlink()
    files = keeper(cache_root(), {resource.name: resource.url}, {resource.name: resource.sha256})
    downloader.fetch(files, resource.name, limit=resource.size)


def _fetch_open(resource, downloader):
    path = cache_root() / resource.name
    path.unlink(missing_ok=True)
    downloader.fetch(keeper(cache_root(), {resource.name: resource.url}), resource.name)
    registry.record([path], resource.url)


def _fetch_derived(resource, downloader):
    raise DataError(f"{resource.name} has no public file", remedy=registry.remedy(resource.name))


def _fetch_phoenix(resource, downloader):
    from .phoenix import fetch_wavelengths

    if resource.url.endswith("/"):
        raise DataError(
            f"{resource.name} needs a range of labels", remedy="dtl data fetch phoenix --teff 2800:4000, or fetch_range"
        )
    fetch_wavelengths(downloader)


def _fetch_table(resource, downloader):
    from . import archives

    getattr(archives, f"fetch_{resource.kind}")(resource, downloader)


_FETCH = {
    "file": _fetch_file,
    "open": _fetch_open,
    "derived": _fetch_derived,
    "phoenix": _fetch_phoenix,
    "vizier": _fetch_table,
    "gaia": _fetch_table,
}
