"""``dtl predict``, ``explain``, ``export``, ``examples`` and ``prepare``: the user's own spectra."""

from __future__ import annotations

import dataclasses
import math
import sys

import click

from ..errors import ConfigError
from ..extras import import_extra
from .options import PATH, check_output, overrides_of, reading_options, spectra_options
from .root import main
from .terminal import progress_bar, say, say_json, say_warnings

__all__ = ["examples", "explain", "export", "predict", "prepare"]


@main.command()
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", type=PATH, help="Catalogue: .ecsv, .fits, .vot, .csv, or in parts: .parquet.")
@spectra_options
@click.option("--adapt", is_flag=True, help="First learn what all these spectra have in common (30 or more spectra).")
@click.option("--anchors", type=PATH, help="With --adapt: table of known parameters of some of the stars.")
@click.option("--save-models", type=PATH, help="With --adapt: folder for the adapted models.")
@click.option(
    "--photometry",
    type=PATH,
    help="Table of star, ks [mag] and parallax [mas], or of gaia_dr3 or tmass: adds mass, radius, better log g.",
)
@click.option("--plots", type=PATH, help="Folder for a one-page report (PNG) of every star.")
@click.option("--json", "as_json", is_flag=True, help="The catalogue as JSON on standard output.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Processes for many files; 0 uses one per core.")
@click.option("--part-size", default=0, help="With -o NAME.parquet: spectra per part.  [default: 1024]")
@click.option("--parts", help="With -o NAME.parquet: only these parts, such as 0:10, the first ten.")
@click.option("--quiet", is_flag=True, help="No progress.")
def predict(
    files, output, reading, rv, coadd, name, adapt, anchors, save_models, photometry, plots, as_json, workers,
    part_size, parts, quiet,
):  # fmt: skip
    """Estimate Teff, log g, [M/H] and v sin i of stars from their spectra, with calibrated errors.

    FILES are files, folders, patterns in quotes, @LIST (a text file with one path per line), or one Zarr or Parquet
    store.

    The output has one row per star. p is the p-value against ordinary spectra. Spectra that cannot be used are listed
    on standard error, and the exit status is then 1; it is 2 if the command is wrong.

    With -o NAME.parquet the catalogue is a folder of parts, for any number of stars. To continue after an interruption,
    run the same command again. dtl export converts the parts to one file.

    \b
    Examples:
      dtl predict my_star.fits
      dtl predict nights/ --coadd -o catalogue.ecsv
      dtl predict spectrum.csv --resolution 80000 --medium air
      dtl predict my_star.fits --rv -110.5
      dtl predict nights/ --coadd --photometry magnitudes.csv
      dtl predict survey/ --adapt --save-models my_instrument -o catalogue.fits
      dtl predict new/ --models my_instrument --json
      dtl predict 'survey/**/*.fits' -o catalogue.parquet
      dtl predict survey.zarr -o catalogue.parquet --workers 8
    """
    from .. import machine
    from ..models import exports, photometric, prediction
    from ..reading import sources

    in_parts = str(output).lower().endswith(".parquet")
    check_output(output, (*exports.FORMATS, ".parquet"))
    if (part_size or parts) and not in_parts:
        field = "--part-size" if part_size else "--parts"
        raise ConfigError("is for a catalogue in parts", field=field, remedy="add -o NAME.parquet")
    if (anchors or save_models) and not adapt:
        raise ConfigError("is for --adapt", field="--anchors" if anchors else "--save-models", remedy="add --adapt")
    if plots:
        import_extra("matplotlib", "plots")
    machine.one_thread()
    source, workers = sources.open_source(files, **reading), workers or machine.affordable_workers()
    if in_parts:
        others = {"--coadd": coadd, "--adapt": adapt, "--photometry": photometry, "--plots": plots, "--json": as_json}
        _predict_in_parts(source, output, name, rv, part_size, parts, workers, others, quiet)
    if output:
        check_output(output, None, *files, *source.batch().paths, *(table for table in (anchors, photometry) if table))
    known = photometric.read_photometry(photometry) if photometry else None
    adapting = {"anchors": anchors, "folder": save_models} if adapt else None
    model, examined, refused = _examined(source, name, rv, coadd, adapting, workers, quiet)
    examined = photometric.add_photometry(examined, model, known) if photometry else examined
    table = prediction.as_table(examined, refused, model)
    if output and len(table):
        exports.save(table, output)
    if as_json:
        say_json({"stars": prediction.as_records(table), "refused": table.meta["refused"]})
    elif len(table):
        say("\n".join(prediction.as_lines(table)))
    if plots:
        _write_reports(plots, model, examined)
    for examination in [] if as_json else examined:
        say_warnings(examination.report, examination.warnings, len(source) > 1, err=True)
    for _, error in refused:
        say(f"dtl: {error}", err=True)
    sys.exit(1 if refused else 0)


def _examined(source, name, velocity, coadd, adapting, workers, quiet):
    """The model (adapted on request), its examinations and the refused spectra; in processes if there are many."""
    from ..models import loading, parallel, prediction
    from ..preparing import chain

    model = loading.load(name)
    if workers > 1 and len(source) > prediction.BATCH and not (coadd or adapting):
        with progress_bar(len(source), quiet) as bar:
            options = {"workers": workers, "velocity": velocity, "progress": bar.update}
            return model, *parallel.examine_files(name, source, **options)
    spectra, unread = source.batch().read()
    spectra = chain.group_exposures(spectra) if coadd else spectra
    if adapting:
        model = _adapted(model, spectra, **adapting, velocity=velocity, quiet=quiet)
    with progress_bar(len(spectra), quiet) as bar:
        options = {"strict": False, "velocity": velocity, "progress": bar.update}
        examined, refused = prediction.examine(model, spectra, **options) if spectra else ([], [])
    return model, examined, unread + refused


def _adapted(model, spectra, anchors, folder, velocity, quiet):
    """The model adapted to the spectra, and written to a folder if there is one."""
    from ..models import adapting

    values = adapting.read_anchors(anchors) if anchors else None
    total = adapting.steps(model.specialists[0].config)
    with progress_bar(total, quiet, "epochs") as bar:
        adapted = model.adapt(spectra, anchors=values, strict=False, velocity=velocity, progress=bar.update)
    if folder:
        for path in adapted.save(folder):
            say(path, err=True)
    return adapted


def _write_reports(folder, model, examined):
    """Write a report on every star, numbered where several have the same name."""
    from ..characters import file_name
    from ..files import write_atomic
    from ..models import report

    used = set()
    for examination in examined:
        stem = file_name(examination.report.star)
        names = (stem, *(f"{stem}_{number}" for number in range(2, len(examined) + 1)))
        free = next(name for name in names if name not in used)
        used.add(free)
        write_atomic(f"{folder}/{free}.png", report.png_report(model, examination))


def _predict_in_parts(source, output, name, velocity, part_size, parts, workers, others, quiet):
    """Compute a catalogue in parts and exit, with status 1 if some spectra could not be used."""
    from ..models import bulk

    for option, given in others.items():
        if given:
            raise ConfigError("is not for a catalogue in parts", field=option, remedy="choose another ending for -o")
    catalogue = bulk.BulkCatalogue(output, source, name, part=part_size or bulk.PART, velocity=velocity)
    chosen = _range_of(parts) if parts else None
    total = len(source) if chosen is None else min(len(source), len(chosen) * catalogue.part)
    with progress_bar(total, quiet) as bar:
        done = catalogue.run(workers=workers, parts=chosen, progress=bar.update)
    say(f"{done.stars} stars, {done.refused} refused, {done.parts} parts, {done.computed} of them computed now")
    say(output)
    if done.refused and (catalogue.folder / bulk.REFUSED).is_file():  # written with the last part
        say(f"dtl: spectra that could not be used are listed in {output}/{bulk.REFUSED}", err=True)
    sys.exit(1 if done.refused else 0)


def _range_of(parts):
    """Convert ``"0:10"`` to a range."""
    try:
        first, last = map(int, parts.split(":"))
        if not 0 <= first < last:
            raise ValueError
        return range(first, last)
    except ValueError:
        remedy = "give FIRST:END, such as 0:10"
        raise ConfigError(f"cannot read {parts!r}", field="--parts", remedy=remedy) from None


@main.command()
@click.argument("catalogue", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="File: .ecsv, .fits, .vot, .csv or .parquet.")
def export(catalogue, output):
    """Convert a catalogue in parts to one file.

    \b
    Examples:
      dtl export catalogue.parquet -o catalogue.fits
      dtl export catalogue.parquet -o catalogue.csv
    """
    from ..models import bulk

    say(bulk.export(catalogue, output))


@main.command()
@click.argument("file", type=PATH)
@click.option("-o", "--output", type=PATH, help="Report: .html or .png  [default: STAR.html]")
@spectra_options
def explain(file, output, reading, rv, coadd, name):
    """Write a one-page report on one spectrum (a file, or with --coadd a folder of exposures of one star).

    It shows the spectrum with model and residual, the lines that carry the information, the joint posterior, a map with
    simulated stars, and all warnings.

    \b
    Examples:
      dtl explain my_star.fits
      dtl explain my_star.fits -o my_star.png
    """
    from .. import machine
    from ..characters import file_name
    from ..files import write_atomic
    from ..models import loading, prediction, report

    check_output(output, (".html", ".png"), file)
    machine.one_thread()
    model = loading.load(name)
    options = dict(coadd=coadd, velocity=rv, **reading)
    examined, _ = prediction.examine(model, [file], **options)
    if len(examined) > 1:
        remedy = "give one file, or --coadd exposures of a star"
        raise ConfigError(f"{len(examined)} spectra", field="FILE", remedy=remedy)
    path = output or file_name(examined[0].report.star, ".html")
    page = report.png_report if str(path).lower().endswith(".png") else report.html_report
    say(write_atomic(path, page(model, examined[0])))


@main.command()
@click.argument("folder", default="examples", type=PATH)
def examples(folder):
    """Write three example spectra, simulated stars of known labels, into a folder.

    \b
    Examples:
      dtl examples
      dtl predict examples/
    """
    from ..synthetic.examples import write_examples

    paths, truth = write_examples(folder)
    for path in paths:
        say(path)
    say("simulated with:")
    say(truth.to_string(index=False))


@main.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", type=PATH, help="FITS file for the prepared spectra and their reports.")
@click.option("--profile", default="demo", show_default=True, help="smoke, demo or paper: settings of the chain.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--coadd", is_flag=True, help="Make one spectrum of several exposures of a star.")
@click.option("--strict", is_flag=True, help="Stop at the first spectrum that cannot be used.")
@reading_options
@click.option("--json", "as_json", is_flag=True, help="The reports as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def prepare(paths, output, profile, settings, coadd, strict, reading, as_json, quiet):
    """Prepare spectra as network input, and report what was done to each.

    PATHS are files, folders, patterns in quotes, @LIST, or one store, as for dtl predict.

    Every spectrum is broadened to the profile's resolving power, or to the lowest one among the spectra. Spectra that
    cannot be used are listed on standard error, and the exit status is then 1.

    \b
    Examples:
      dtl prepare my_star.fits
      dtl prepare nights/ --coadd -o my_star_prepared.fits
      dtl prepare survey/ --json > reports.json
    """
    from ..characters import legible
    from ..config import load_profile
    from ..preparing import chain
    from ..reading.sources import open_source

    config = load_profile(profile, overrides_of(settings))
    source = open_source(paths, **reading)
    check_output(output, None, *source.batch().paths)
    with progress_bar(2 * len(source), quiet) as bar:
        spectra, refused = source.batch().read(strict=strict, progress=bar.update)
        power = min([config.window.resolving_power, *(s.resolving_power for s in spectra if s.resolving_power > 0)])
        window = dataclasses.replace(config.window, resolving_power=float(power))
        config = dataclasses.replace(config, window=window)
        items = chain.group_exposures(spectra) if coadd else spectra
        flux, reports, failures = chain.prepare_many(items, config, strict=strict, progress=bar.update)
    failures = [*((legible(file), error) for file, error in refused), *failures]
    if output:
        chain.save(output, flux, reports, failures, config)
    if as_json:
        rows = [dataclasses.asdict(report) for report in reports]
        rows = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]
        say_json({"resolving_power": power, "stars": rows, "refused": dict(failures)})
    elif reports:
        _say_reports(reports, power, len(source) > 1)
    for _, error in failures:
        say(f"dtl: {error}", err=True)
    sys.exit(1 if failures else 0)


def _say_reports(reports, power, several):
    """Print a table of prepared spectra and their warnings."""
    from ..preparing import chain

    say(f"R = {power:.0f}; velocities in km/s")
    table = chain.report_table(reports)
    table.remove_columns(["file", "template", "warnings"])
    formats = {"snr": ".0f", "velocity": ".2f", "e_velocity": ".2f", "correlation": ".2f", "radial_velocity": ".2f"}
    for name, text in (formats | {"masked_fraction": ".3f", "telluric_fraction": ".3f"}).items():
        table[name].format = text
    say("\n".join(table.pformat(max_lines=-1, max_width=-1, show_unit=False)))
    for report in reports:
        say_warnings(report, report.warnings, several)
