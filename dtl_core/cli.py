"""The command line: ``dtl run``, ``dtl figures``, ``dtl book``."""

from __future__ import annotations

import json
import sys

import click

from . import __version__
from .errors import ConfigError, DTLError

__all__ = ["main"]


class _OneLineErrors(click.Group):
    """Prints a typed error as one line and exits with status 2."""

    def main(self, *args, **kwargs):
        try:
            return super().main(*args, **kwargs)
        except DTLError as error:
            click.echo(f"dtl: {error}", err=True)
            sys.exit(2)


def _overrides(pairs):
    """``("survey.noise=0",)`` as a dict."""
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"cannot read {pair!r}", field="--set", remedy="write NAME=VALUE, e.g. survey.noise=0")
        out[name.strip()] = value.strip()
    return out


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dtl")
def main():
    """Stellar parameters of M dwarfs with autoencoders and deep transfer learning.

    \b
    Examples:
      dtl run --profile smoke                   the whole method, small, in minutes
      dtl run --profile demo --set survey.noise=0
      dtl run --spectrum my_star.ecsv           your own star joins the observed spectra
      dtl figures --json                        headline figures of the last run
      dtl book --profile demo                   run, execute the notebooks, build the HTML book
    """


@main.command()
@click.option("--profile", default="demo", show_default=True, help="smoke, demo or paper.")
@click.option("--until", default="catalogue", show_default=True, help="Last stage to run.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option(
    "--spectrum", "files", multiple=True, type=click.Path(), help="Spectrum of your own star; may be repeated."
)
@click.option("--results", type=click.Path(), help="Folder of the results (or DTL_RESULTS).")
@click.option("--quiet", is_flag=True, help="No progress.")
def run(profile, until, settings, files, results, quiet):
    """Run the method, or find its results, and print where the catalogue lies.

    \b
    Examples:
      dtl run --profile smoke
      dtl run --profile demo --until transfer --set seed=1
      dtl run --profile paper --set device=cuda
    """
    from . import pipeline

    overrides = _overrides(settings)
    if files:
        overrides["survey.spectra"] = files
    found = pipeline.run(profile, until, overrides=overrides, root=results, quiet=quiet)
    for stage, keys in found.keys.items():
        for key in [keys] if isinstance(keys, str) else keys[:1]:
            click.echo(
                f"{stage:12s} {found.store.path(stage, key)}"
                + ("" if isinstance(keys, str) else f" (1 of {len(keys)})")
            )
    if "catalogue" in found.keys and len(found.reports):
        click.echo(_star_lines(found))


def _star_lines(found):
    """The catalogue rows of the real stars, as text."""
    table = found.catalogue[-len(found.reports) :]
    lines = []
    for row in table:
        values = ", ".join(
            f"{name} {row[name]:.{digits}f} -{row['e_' + name]:.{digits}f} +{row['E_' + name]:.{digits}f}"
            for name, digits in (("Teff", 0), ("logg", 2), ("[M/H]", 2), ("vsini", 1))
        )
        lines.append(f"{row['karmn']}: {values}")
    return "\n".join(lines)


@main.command()
@click.option("--profile", default=None, help="Of the last run of this profile; of the last run of all by default.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--results", type=click.Path(), help="Folder of the results (or DTL_RESULTS).")
def figures(profile, as_json, results):
    """Print the headline figures of the last run by name.

    \b
    Examples:
      dtl figures
      dtl figures --json | python -c "import json, sys; print(json.load(sys.stdin)['rmse_teff_transfer'])"
    """
    from .figures import last_run

    values = last_run(profile, results)["figures"]
    if as_json:
        click.echo(json.dumps(values, indent=1))
        return
    for name, value in values.items():
        click.echo(f"{name:28s} {value:.6g}" if isinstance(value, float) else f"{name:28s} {value}")


@main.command()
@click.option("--profile", default="demo", show_default=True, help="smoke, demo or paper.")
@click.option("--only", multiple=True, help="Execute only this notebook, e.g. 03_fine_tuning; may be repeated.")
@click.option("--no-html", is_flag=True, help="Execute the notebooks and stop.")
def book(profile, only, no_html):
    """Run the method, execute the notebooks with papermill and build the HTML book.

    \b
    Examples:
      dtl book
      dtl book --profile smoke --only 01_domain_gap --no-html
    """
    from . import pipeline
    from .book import build, execute

    if not only:
        pipeline.run(profile)
    execute(profile, only=list(only) or None)
    if not no_html:
        click.echo(f"open {build()}")


if __name__ == "__main__":
    main()
