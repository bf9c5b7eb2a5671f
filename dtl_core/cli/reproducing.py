"""``dtl reproduce``: the paper's method on the paper's own inputs."""

from __future__ import annotations

import click

from ..parameters import TABLE
from .data import confirm_download
from .options import PATH, overrides_of
from .root import main
from .terminal import say

__all__ = ["reproduce"]


@main.command()
@click.option("--stars", multiple=True, help="Karmn identifier, or a file with one per line; may be repeated.")
@click.option("--profile", default="paper-fast", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option(
    "--until", default="catalogue", show_default=True, type=click.Choice(["needs", "fetch", "catalogue"]),
    help="needs says what there is to fetch, fetch stops after the downloads.",
)  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--yes", is_flag=True, help="Do not ask before more than 500 MB.")
@click.option("--offline", is_flag=True, help="Do not touch the network (or DTL_OFFLINE=1).")
@click.option("--workers", default=4, show_default=True, type=click.IntRange(1, 16), help="Files at once.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds before a silent line counts as cut.")
@click.option("--tries", default=4, show_default=True, type=click.IntRange(1), help="Tries of one file.")
@click.option("--results", type=PATH, help="Folder of the results (or DTL_RESULTS).")
@click.option("--quiet", is_flag=True, help="No progress.")
def reproduce(stars, profile, until, settings, yes, offline, workers, timeout, tries, results, quiet):
    """Run the paper's method on its own inputs: CARMENES spectra of its stars, and PHOENIX-ACES.

    This fetches what is missing, runs the method at R = 94,600 and compares the catalogue with the published one. To
    continue after an interruption, run the same command again. Stars and model spectra that cannot be obtained are
    listed.

    \b
    Examples:
      dtl reproduce --until needs
      dtl reproduce --until fetch --yes
      dtl reproduce --profile smoke --stars J17578+046 --stars J07274+052
      dtl reproduce --profile paper --set device=cuda
    """
    from ..pipeline import reproduction
    from ..public_data.download import Downloader

    if until == "needs":
        say(reproduction.needs(reproduction.stars_of(stars), profile, overrides_of(settings)))
        return
    found = reproduction.reproduce(
        stars,
        profile=profile,
        until=until,
        overrides=overrides_of(settings),
        root=results,
        offline=offline,
        quiet=quiet,
        confirm=lambda size: confirm_download(size, yes),
        downloader=Downloader(workers=workers, timeout=timeout, tries=tries),
    )
    for name, total in (("stars", "stars"), ("nodes", "PHOENIX-ACES spectra")):
        say(f"{found[name] - len(found['missing_' + name])} of {found[name]} {total}")
    if until == "catalogue":
        say(_comparison(found))


def _comparison(found):
    """Lines that compare the catalogue with the published one, and its path."""
    lines = [] if found["parameters"] else ["the published catalogue is not at hand: nothing to compare with"]
    for name, row in found["parameters"].items():
        p, r = TABLE[name], row["pearson_r"]
        values = (f"{word} {row[key]:.{p.digits}f}" for word, key in (("mean", "mean_diff"), ("rmse", "rmse")))
        lines.append(
            f"{p.column}: published minus ours, {row['N']} stars: {', '.join(values)} {p.unit}, "
            f"r {float('nan') if r is None else r:.2f}"
        )
    numbers = found["numbers"]
    lines.append(f"the paper's comparison numbers: {numbers['comes_out']} of {numbers['known']} come out")
    return "\n".join([*lines, found["folder"]])
