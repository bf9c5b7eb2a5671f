"""The command line: ``dtl run``, ``dtl search``, ``dtl figures``, ``dtl book``, ``dtl prepare``, ``dtl data``."""

from __future__ import annotations

import dataclasses
import json
import sys

import click

from . import __version__
from .errors import ConfigError, DataError, DTLError

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
      dtl prepare night1.fits night2.fits       what the chain makes of spectra
      dtl search --profile smoke                hyper-parameters, by cross-validation
      dtl figures --json                        headline figures of the last run
      dtl book --profile demo                   run, execute the notebooks, build the HTML book
      dtl data fetch                            published tables, real spectra, line lists: about 11 MB
    """


@main.command()
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
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
    """The catalogue rows of the real stars as text: a line by the paper's method, and one as recommended."""
    n, lines = len(found.reports), []
    for rows in zip(found.catalogue[-n:], found.catalogue_of("recommended")[-n:], strict=True):
        for row, method in zip(rows, ("paper", f"recommended ({rows[1]['method']})"), strict=True):
            values = ", ".join(
                f"{name} {row[name]:.{digits}f} -{row['e_' + name]:.{digits}f} +{row['E_' + name]:.{digits}f}"
                for name, digits in (("Teff", 0), ("logg", 2), ("[M/H]", 2), ("vsini", 1))
            )
            lines.append(f"{row['karmn']}, {method}: {values}")
        if rows[1]["p_domain"] <= 0.05:
            lines.append(f"{rows[1]['karmn']}: strange (p = {rows[1]['p_domain']:.3f}, {rows[1]['strange']}): beware")
    return "\n".join(lines)


@main.command()
@click.option("--profile", default="paper-fast", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for the record, searches.json.")
@click.option("--results", type=click.Path(), help="Folder of the results (or DTL_RESULTS).")
@click.option("--quiet", is_flag=True, help="No progress.")
def search(profile, settings, out, results, quiet):
    """Search for autoencoders and for the regressors of every parameter, by cross-validation.

    Width, L1 factor and learning rate of the autoencoders first; then the regressors, on the latents of the best
    autoencoder. search.halving=3 tries all candidates for a few epochs and goes on with the best third, and so on.

    \b
    Examples:
      dtl search --profile smoke
      dtl search --set search.halving=0 --out .
    """
    from . import pipeline, records
    from .search import select_regressors

    overrides = _overrides(settings)
    grid = pipeline.run(profile, "search", overrides=overrides, root=results, quiet=quiet)
    run = pipeline.first_member(grid, quiet=quiet)
    table = pipeline.search_regressors(run, quiet=quiet)
    columns = ["parameter", "filters", "units", "learning_rate", "epochs", "mse", "mse_spread", "rank"]
    click.echo(grid.search.sort_values("rank").to_string(index=False, float_format="{:.3g}".format))
    click.echo(table.sort_values(["parameter", "rank"])[columns].to_string(index=False, float_format="{:.4g}".format))
    chosen = select_regressors(table)
    for name, net in chosen.items():
        click.echo(f"{name}: filters {net.filters}, units {net.units}, learning rate {net.learning_rate:g}")
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
        click.echo(records.write("searches", values, out))


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
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--only", multiple=True, help="Execute only this notebook, e.g. 03_fine_tuning; may be repeated.")
@click.option("--no-html", is_flag=True, help="Execute the notebooks and stop.")
def book(profile, only, no_html):
    """Run the method, execute the notebooks with papermill and build the HTML book.

    \b
    Examples:
      dtl book
      dtl book --profile smoke --only 01_domain_gap --no-html
    """
    from . import machine, pages, pipeline
    from .book import build, execute

    if only:
        execute(profile, only=list(only))
    else:
        result = pipeline.run(profile)
        execute(profile, run=result, workers=machine.affordable_workers())
        pages.write(result)
    if not no_html:
        click.echo(f"open {build()}")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="FITS file for the prepared spectra and their reports.")
@click.option("--profile", default="demo", show_default=True, help="smoke, demo or paper: settings of the chain.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--coadd", is_flag=True, help="Make one spectrum of several exposures of a star.")
@click.option("--strict", is_flag=True, help="Stop at the first spectrum that cannot be used.")
@click.option("--medium", type=click.Choice(["air", "vacuum"]), help="Of wavelengths, where files do not say.")
@click.option("--resolving-power", type=float, help="Of the spectra, in place of what the files say.")
@click.option("--json", "as_json", is_flag=True, help="The reports as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def prepare(paths, output, profile, settings, coadd, strict, medium, resolving_power, as_json, quiet):
    """Bring spectra (files or folders) to the network's input, and report what was done to each.

    Every spectrum is broadened to the profile's resolving power, or to that of the least resolved one. What cannot be
    used is listed on standard error, and the exit status is then 1.

    \b
    Examples:
      dtl prepare my_star.fits
      dtl prepare nights/ --coadd -o my_star_prepared.fits
      dtl prepare survey/ --json > reports.json
    """
    import dataclasses

    import numpy as np
    from tqdm import tqdm

    from . import chain, readers
    from .config import load_profile

    config = load_profile(profile, _overrides(settings))
    options = dict(medium=medium, resolving_power=resolving_power)
    files = readers.list_files(paths)
    with tqdm(
        total=2 * len(files), desc="spectra", disable=quiet or None, file=sys.stderr, delay=2, leave=False
    ) as bar:
        found, refused = readers.read_many(files, strict=strict, progress=bar.update, **options)
        power = min([config.window.resolving_power, *(s.resolving_power for s in found if s.resolving_power > 0)])
        window = dataclasses.replace(config.window, resolving_power=float(power))
        config = dataclasses.replace(config, window=window)
        items = chain.group_exposures(found) if coadd else found
        flux, reports, failures = chain.prepare_many(items, config, strict=strict, progress=bar.update)
    failures = [*zip(refused["file"], refused["error"], strict=True), *failures]
    if output:
        chain.save(output, flux, reports, failures, config)
    if as_json:
        rows = [dataclasses.asdict(report) for report in reports]
        rows = [{k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()} for row in rows]
        click.echo(json.dumps({"resolving_power": power, "stars": rows, "refused": dict(failures)}, indent=1))
    elif reports:
        click.echo(f"R = {power:.0f}; velocities in km/s")
        table = chain.report_table(reports)
        table.remove_columns(["file", "template", "warnings"])
        formats = {"snr": ".0f", "velocity": ".2f", "e_velocity": ".2f", "correlation": ".2f", "radial_velocity": ".2f"}
        for name, text in (formats | {"masked_fraction": ".3f", "telluric_fraction": ".3f"}).items():
            table[name].format = text
        click.echo("\n".join(table.pformat(max_lines=-1, max_width=-1, show_unit=False)))
        for report in reports:
            for warning in report.warnings:
                click.echo(f"{report.star}: {warning}")
    for _, error in failures:
        click.echo(f"dtl: {error}", err=True)
    sys.exit(1 if failures else 0)


@main.group()
def data():
    """Fetch, check and find public data. The folder DTL_DATA comes first, then the cache, then the network.

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
    """List all data: where each lies (mirror, cache, embedded or -), size, name, what it is.

    \b
    Examples:
      dtl data list --group hpf
      dtl data list --json
    """
    from . import registry

    entries = registry.resources(group)
    places = {entry.name: registry.where(entry.name) for entry in entries}
    if as_json:
        rows = [vars(e) | {"where": places[e.name][0], "path": str(places[e.name][1] or "")} for e in entries]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for entry in entries:
        size = f"{entry.size / 1e3:.1f} kB" if entry.size else entry.kind
        click.echo(f"{places[entry.name][0]:9s} {size:>10s}  {entry.name:54s} {entry.what}")


class _Range(click.ParamType):
    name = "LOW:HIGH"

    def convert(self, value, param, context):
        try:
            low, high = map(float, value.split(":"))
        except ValueError:
            raise ConfigError(f"cannot read {value!r}", field=f"--{param.name}", remedy="write LOW:HIGH") from None
        return low, high


def _confirm(size, yes):
    """Ask before a long download; where nobody can answer, ask for --yes."""
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
    """Fetch data by names or groups, all fixed files by default, and print where they lie.

    An interrupted download continues when the command is given again.

    \b
    Examples:
      dtl data fetch
      dtl data fetch published/pass18.csv hpf
      dtl data fetch vizier gaia
      dtl data fetch phoenix --teff 2800:4000 --mh -0.5:0.5
    """
    from . import registry
    from .download import Downloader

    labels = {name: value for name, value in (("teff", teff), ("logg", logg), ("mh", mh)) if value}
    others = [name for name in names if name not in ("phoenix", "phoenix/cut")]
    if labels and len(others) == len(names):
        raise ConfigError("is for phoenix only", field=f"--{next(iter(labels))}", remedy="dtl data fetch phoenix ...")
    options = dict(offline=offline, quiet=quiet, workers=workers)
    downloader = Downloader(workers=workers, timeout=timeout, tries=tries)
    paths = registry.fetch(others or None, **options, downloader=downloader) if others or not names else []
    if len(others) < len(names):
        from . import phoenix

        options |= dict(keep_full=keep_full, confirm=lambda size: _confirm(size, yes), downloader=downloader)
        paths += phoenix.fetch_range(**labels, **options)
    for path in paths:
        click.echo(path)


@data.command("verify")
@click.argument("names", nargs=-1)
def data_verify(names):
    """Compare data with their hashes; exit with status 1 if something is wrong, or absent though named.

    \b
    Examples:
      dtl data verify
      dtl data verify published observed/hpf/HPF_SkyEmissionLineWavlMask.txt
    """
    from . import registry

    bad = False
    for row in registry.verify(names or None):
        click.echo(f"{row.status:12s} {row.where:9s} {row.name}")
        if row.status.startswith("wrong") or (names and row.status == "absent"):
            bad = True
            remedy = f"replace {row.path}" if row.where == "mirror" else registry.remedy(row.name)
            click.echo(f"dtl: {row.name}: {row.status}; {remedy}", err=True)
    sys.exit(1 if bad else 0)


@data.command("where")
@click.argument("name", required=False)
def data_where(name):
    """Print the path of one set of data, or the folders that are searched.

    \b
    Examples:
      dtl data where
      head "$(dtl data where published/pass18.csv)"
    """
    from . import registry

    if name is None:
        click.echo(f"mirror    {registry.data_mirror() or '-'}  (DTL_DATA)")
        click.echo(f"cache     {registry.cache_root()}  (DTL_CACHE)")
        return
    registry.get(name)
    path = registry.find(name)
    if path is None:
        raise DataError(f"{name} is neither in DTL_DATA nor in the cache", remedy=registry.remedy(name))
    click.echo(path)


if __name__ == "__main__":
    main()
