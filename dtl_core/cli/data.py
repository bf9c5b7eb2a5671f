"""``dtl data``: fetches, checks and finds public data."""

from __future__ import annotations

import sys

import click

from ..errors import ConfigError, DataError
from .root import main
from .terminal import say, say_json

__all__ = ["confirm_download", "data", "data_fetch", "data_list", "data_verify", "data_where"]


@main.group()
def data():
    """Fetch, check and find public data: first in the folder DTL_DATA, then in the cache, then on the network.

    \b
    Examples:
      dtl data list
      dtl data fetch published hpf
      dtl data verify
      dtl data where published/pass18.csv
    """


@data.command("list")
@click.option("--group", help="published, hpf, linelists, labels, phoenix, isochrones, vizier, gaia or embedded.")
@click.option("--json", "as_json", is_flag=True, help="All fields of every entry, as JSON.")
def data_list(group, as_json):
    """List all data: location (mirror, cache, embedded or -), size, name, description.

    \b
    Examples:
      dtl data list --group hpf
      dtl data list --json
    """
    from ..public_data import registry

    entries = registry.resources(group)
    places = {entry.name: registry.where(entry.name) for entry in entries}
    if as_json:
        rows = [vars(e) | {"where": places[e.name][0], "path": str(places[e.name][1] or "")} for e in entries]
        say_json(rows)
        return
    for entry in entries:
        size = f"{entry.size / 1e3:.1f} kB" if entry.size else entry.kind
        say(f"{places[entry.name][0]:9s} {size:>10s}  {entry.name:54s} {entry.what}")


class _Range(click.ParamType):
    name = "LOW:HIGH"

    def convert(self, value, param, context):
        try:
            low, high = map(float, value.split(":"))
        except ValueError:
            raise ConfigError(f"cannot read {value!r}", field=f"--{param.name}", remedy="write LOW:HIGH") from None
        return low, high


def confirm_download(size, yes):
    """Ask before a large download; without a terminal, --yes is required."""
    if yes or size <= 5e8:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{size / 1e6:.0f} MB without a terminal to ask", field="--yes", remedy="add --yes")
    return click.confirm("Fetch them?", err=True)


@data.command("fetch")
@click.argument("names", nargs=-1)
@click.option("--offline", is_flag=True, help="Do not touch the network (or DTL_OFFLINE=1).")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--workers", default=4, show_default=True, type=click.IntRange(1, 16), help="Files at once.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds before a silent line counts as cut.")
@click.option("--tries", default=4, show_default=True, type=click.IntRange(1), help="Tries of one file.")
@click.option("--teff", type=_Range(), help="Of phoenix, K  [default: 2300:4500]")
@click.option("--logg", type=_Range(), help="Of phoenix, dex  [default: 4.5:5.5]")
@click.option("--mh", type=_Range(), help="Of phoenix, dex  [default: -1:1]")
@click.option("--keep-full", is_flag=True, help="Of phoenix: keep the whole files, not the window only.")
@click.option("--yes", is_flag=True, help="Of phoenix: do not ask before more than 500 MB.")
def data_fetch(names, offline, quiet, workers, timeout, tries, teff, logg, mh, keep_full, yes):
    """Fetch data by names or groups, all fixed files by default, and print their paths.

    To continue an interrupted download, run the same command again.

    \b
    Examples:
      dtl data fetch
      dtl data fetch published/pass18.csv hpf
      dtl data fetch vizier gaia
      dtl data fetch phoenix --teff 2800:4000 --mh -0.5:0.5
    """
    from ..public_data import fetching
    from ..public_data.download import Downloader

    labels = {name: value for name, value in (("teff", teff), ("logg", logg), ("mh", mh)) if value}
    others = [name for name in names if name not in ("phoenix", "phoenix/cut")]
    if labels and len(others) == len(names):
        raise ConfigError("is for phoenix only", field=f"--{next(iter(labels))}", remedy="dtl data fetch phoenix ...")
    options = dict(offline=offline, quiet=quiet, workers=workers)
    downloader = Downloader(workers=workers, timeout=timeout, tries=tries)
    paths = fetching.fetch(others or None, **options, downloader=downloader) if others or not names else []
    if len(others) < len(names):
        from ..public_data import phoenix

        options |= dict(keep_full=keep_full, confirm=lambda size: confirm_download(size, yes), downloader=downloader)
        paths += phoenix.fetch_range(**labels, **options)
    for path in paths:
        say(path)


@data.command("verify")
@click.argument("names", nargs=-1)
def data_verify(names):
    """Compare files with their hashes; the exit status is 1 if a file is wrong, or if a named file is absent.

    \b
    Examples:
      dtl data verify
      dtl data verify published observed/hpf/HPF_SkyEmissionLineWavlMask.txt
    """
    from ..public_data import registry

    bad = False
    for row in registry.verify(names or None):
        say(f"{row.status:12s} {row.where:9s} {row.name}")
        if row.status.startswith("wrong") or (names and row.status == "absent"):
            bad = True
            remedy = f"replace {row.path}" if row.where == "mirror" else registry.remedy(row.name)
            say(f"dtl: {row.name}: {row.status}; {remedy}", err=True)
    sys.exit(1 if bad else 0)


@data.command("where")
@click.argument("name", required=False)
def data_where(name):
    """Print the path of one data set, or the folders that are searched.

    \b
    Examples:
      dtl data where
      head "$(dtl data where published/pass18.csv)"
    """
    from ..public_data import registry

    if name is None:
        say(f"mirror    {registry.data_mirror() or '-'}  (DTL_DATA)")
        say(f"cache     {registry.cache_root()}  (DTL_CACHE)")
        return
    registry.get(name)
    path = registry.find(name)
    if path is None:
        raise DataError(f"{name} is neither in DTL_DATA nor in the cache", remedy=registry.remedy(name))
    say(path)
