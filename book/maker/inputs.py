"""Small public files that the book shows (published tables, real spectra, line lists), fetched if they are absent."""

from __future__ import annotations

from dtl_core.errors import DataError
from dtl_core.public_data import fetching, registry
from dtl_core.public_data.download import Downloader

__all__ = ["fetch_inputs"]


WITHOUT = "recorded results are shown instead"


def fetch_inputs(offline=False, downloader=None):
    """Fetch the missing public files of the registry, verified by their hashes, and print one line about them.

    The two smallest files are asked for first, so that the book goes on within seconds where there is no network.

    Parameters
    ----------
    offline : bool, optional
        Do not use the network; ``DTL_OFFLINE=1`` has the same effect.
    downloader : dtl_core.public_data.download.Downloader, optional

    Returns
    -------
    bool
        Whether all files are available.
    """
    files = [entry for entry in registry.resources() if entry.kind == "file"]
    missing = sorted((entry for entry in files if not registry.in_place(entry.name)), key=lambda entry: entry.size)
    if not missing:
        print(f"public data: all {len(files)} files are available", flush=True)
        return True
    what = f"public data: {len(missing)} of {len(files)} files ({sum(e.size for e in missing) / 1e6:.1f} MB)"
    try:
        registry.refuse_offline(offline, [missing[0].name])
    except DataError:
        print(f"{what} are missing and the network is switched off: {WITHOUT}", flush=True)
        return False
    options = {"quiet": True, "downloader": downloader or Downloader(timeout=5, tries=1)}
    for entry in missing[:2]:  # the second one in case only the first no longer exists
        try:
            fetching.fetch([entry.name], **options)
            break
        except DataError as error:
            problem = error
    else:
        print(f"{what} are missing and cannot be fetched: {WITHOUT} ({problem})", flush=True)
        return False
    print(f"{what} are fetched into {registry.cache_root()}", flush=True)
    try:
        fetching.fetch([entry.name for entry in missing], downloader=downloader)
    except DataError as error:
        print(f"public data: {error}; {WITHOUT}", flush=True)
        return False
    return True
