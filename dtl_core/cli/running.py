"""``dtl run``, ``search``, ``figures`` and ``book``: the method from end to end."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import click

from ..errors import ConfigError
from ..extras import import_extra
from ..files import DATA
from ..parameters import TABLE
from .options import FOLDER, PATH, overrides_of
from .root import main
from .terminal import say

__all__ = ["book", "figures", "run", "search"]


@main.command()
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--until", default="catalogue", show_default=True, help="Last stage to run.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--spectrum", "files", multiple=True, type=PATH, help="Spectrum of your own star; may be repeated.")
@click.option("--results", type=PATH, help="Folder of the results (or DTL_RESULTS).")
@click.option("--quiet", is_flag=True, help="No progress.")
def run(profile, until, settings, files, results, quiet):
    """Run the method, or find its results, and print where the catalogue is.

    \b
    Examples:
      dtl run --profile smoke
      dtl run --profile demo --until transfer --set seed=1
      dtl run --profile paper --set device=cuda
    """
    from ..pipeline import conduct

    overrides = overrides_of(settings)
    if files:
        overrides["survey.spectra"] = files
    found = conduct.run(profile, until, overrides=overrides, root=results, quiet=quiet)
    for stage, keys in found.keys.items():
        for key in [keys] if isinstance(keys, str) else keys[:1]:
            say(
                f"{stage:12s} {found.store.path(stage, key)}"
                + ("" if isinstance(keys, str) else f" (1 of {len(keys)})")
            )
    if "catalogue" in found.keys and len(found.reports):
        say(_star_lines(found))


def _star_lines(found):
    """Catalogue rows of the real stars as text: one line for the paper's method and one for the recommended method."""
    n, lines = len(found.reports), []
    for rows in zip(found.catalogue[-n:], found.catalogue_of("recommended")[-n:], strict=True):
        for row, method in zip(rows, ("paper", f"recommended ({rows[1]['method']})"), strict=True):
            values = ", ".join(
                f"{name} {row[name]:.{digits}f} -{row['e_' + name]:.{digits}f} +{row['E_' + name]:.{digits}f}"
                for name, digits in ((parameter.column, parameter.digits) for parameter in TABLE.values())
            )
            lines.append(f"{row['karmn']}, {method}: {values}")
        if rows[1]["p_domain"] <= 0.05:
            unusual = f"strange (p = {rows[1]['p_domain']:.3f}, {rows[1]['strange']})"
            lines.append(f"{rows[1]['karmn']}: {unusual}: do not trust the values blindly")
    return "\n".join(lines)


@main.command()
@click.option("--profile", default="paper-fast", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--out", type=FOLDER, help="Folder for the record, searches.json.")
@click.option("--results", type=PATH, help="Folder of the results (or DTL_RESULTS).")
@click.option("--quiet", is_flag=True, help="No progress.")
def search(profile, settings, out, results, quiet):
    """Search the hyper-parameters of the autoencoders and of the regressors of every parameter, by cross-validation.

    The search covers the width, L1 factor and learning rate of the autoencoders, and then the regressors on the latents
    of the best autoencoder. With search.halving=3 all candidates are trained for a few epochs, then the best third of
    them for longer, and so on.

    \b
    Examples:
      dtl search --profile smoke
      dtl search --set search.halving=0 --out .
    """
    from ..pipeline import conduct, records, searches
    from ..pipeline.search import select_regressors
    from ..pipeline.stages import searching

    overrides = overrides_of(settings)
    grid = conduct.run(profile, "search", overrides=overrides, root=results, quiet=quiet)
    run = conduct.first_member(grid, quiet=quiet)
    table = searches.search_regressors(run, quiet=quiet)
    columns = ["parameter", "filters", "units", "learning_rate", "epochs", "mse", "mse_spread", "rank"]
    say(grid.search.sort_values("rank").to_string(index=False, float_format="{:.3g}".format))
    say(table.sort_values(["parameter", "rank"])[columns].to_string(index=False, float_format="{:.4g}".format))
    chosen = select_regressors(table)
    for name, net in chosen.items():
        say(f"{name}: filters {net.filters}, units {net.units}, learning rate {net.learning_rate:g}")
    if out:
        values = {
            "profile": profile,
            "settings": overrides,
            "search": dataclasses.asdict(grid.config.search),
            "autoencoders": grid.search.to_dict("list"),
            "regressors": table[columns].to_dict("list"),
            "regressor_autoencoder": {k: run.architectures[k].iloc[0].item() for k in ("width", "l1")},
            "chosen": {name: dataclasses.asdict(net) for name, net in chosen.items()},
        }
        say(records.write("searches", values, out, code=[searches.__name__, searching.__name__]))


@main.command()
@click.option("--profile", default=None, help="Profile of the last run; by default the last run of any profile.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--results", type=PATH, help="Folder of the results (or DTL_RESULTS).")
def figures(profile, as_json, results):
    """Print the headline figures of the last run.

    \b
    Examples:
      dtl figures
      dtl figures --json | python -c "import json, sys; print(json.load(sys.stdin)['rmse_teff_transfer'])"
    """
    from ..pipeline.headline import last_run

    values = last_run(profile, results)["figures"]
    if as_json:
        say(json.dumps(values, indent=1))
        return
    for name, value in values.items():
        say(f"{name:28s} {value:.6g}" if isinstance(value, float) else f"{name:28s} {value}")


@main.command()
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--only", multiple=True, help="Execute only this notebook, e.g. 03_fine_tuning; may be repeated.")
@click.option("--no-html", is_flag=True, help="Execute the notebooks and stop.")
@click.option("--offline", is_flag=True, help="Do not fetch public data (or DTL_OFFLINE=1).")
def book(profile, only, no_html, offline):
    """Run the method, execute the notebooks with papermill and build the HTML book.

    Small public files that are missing are fetched first: published tables, real spectra, line lists. Without a network
    the book is built from the files that are available.

    \b
    Examples:
      dtl book
      dtl book --profile smoke --only 01_domain_gap --no-html
    """
    import_extra("papermill", "book")
    builder = _builder()
    if only:
        builder.execute(profile, only=list(only))
        page = None if no_html else builder.build()
    else:
        page = builder.make(profile, html=not no_html, offline=offline)
    if page:
        say(f"open {page}")


def _builder():
    """The module that builds the book, which is part of the repository, not of the installed package."""
    for folder in (DATA.parents[1], Path.cwd()):
        if (folder / "book" / "maker").is_dir():
            sys.path.insert(0, str(folder))
            return importlib.import_module("book.maker.builder")
    raise ConfigError("has no book/maker", file=Path.cwd(), remedy="run in a clone of the repository")
