"""The command line: ``dtl predict``, ``dtl explain``, ``dtl run``, ``dtl book``, ``dtl data`` and others.

Commands import what they need when they are called, so that help and errors of usage come at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import sys

import click

from . import __version__
from .arguments import a_path
from .errors import ConfigError, DataError, DTLError

__all__ = ["main"]


def _say(message, *, err=False):
    """Print a line. Where nobody reads any more, as after ``| head``, end quietly; a full disk is a typed error."""
    try:
        click.echo(message, file=sys.stderr if err else sys.stdout)
    except OSError as error:
        if err:
            return
        with contextlib.suppress(OSError, ValueError):  # what is left in the buffer has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(141)  # as for a program that the closed pipe ended
        problem = f"cannot be written ({error.strerror or error})"
        raise DTLError(problem, file="standard output", remedy="free disk space, or write to another place") from None


def _say_json(value):
    """Print a value as JSON; in a terminal that is not of UTF-8 all other characters are escaped as JSON does it."""
    plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf").lower()
    _say(json.dumps(value, indent=1, ensure_ascii=plain))


class _OneLineErrors(click.Group):
    """Prints a typed error as one line and exits with status 2."""

    def main(self, *args, **kwargs):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # of characters that the terminal's encoding lacks
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of homes that it cannot write to
        try:
            return super().main(*args, **kwargs)
        except DTLError as error:
            _say(f"dtl: {error}", err=True)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _say(f"dtl: {where}cannot be read or written ({error.strerror or error})", err=True)
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)


class _Path(click.Path):
    """A path; ~ is the home folder also where the shell has left it as it is, as in --output=~/x.fits."""

    def convert(self, value, param, context):
        name = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name
        at = "@" if value.startswith("@") and len(value) > 1 and not os.path.exists(value) else ""
        return super().convert(at + a_path(value.removeprefix(at), name), param, context)


_PATH, _FOLDER = _Path(), _Path(file_okay=False)


def _pairs(pairs, option, example):
    """``("flux=flux_star",)`` as a dict."""
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"cannot read {pair!r}", field=option, remedy=f"write NAME=VALUE, such as {example}")
        out[name.strip()] = value.strip()
    return out


def _overrides(pairs):
    """``("survey.noise=0",)`` as a dict."""
    return _pairs(pairs, "--set", "survey.noise=0")


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dtl")
def main():
    """Stellar parameters of M dwarfs with autoencoders and deep transfer learning.

    \b
    Examples:
      dtl predict my_star.fits             parameters of your own star
      dtl explain my_star.fits             a page that says why
      dtl run --profile smoke              the whole method, small
      dtl run --set survey.noise=0         another setting
      dtl run --spectrum my_star.ecsv      your star joins the observed
      dtl prepare night1.fits night2.fits  what the chain makes of them
      dtl search --profile smoke           hyper-parameters
      dtl figures --json                   figures of the last run
      dtl book --profile demo              run, notebooks, HTML book
      dtl data fetch                       public data, about 11 MB
    """


# ---------------------------------------------------------------- your own stars


_MODELS = click.option(
    "--models",
    "name",
    default="shipped",
    show_default=True,
    help="Or paper, the paper's ensemble (dtl data fetch models), or a folder or file of your own.",
)


def _reading_options(command):
    """Options of all commands that read spectra; the command gets them as ``reading``, a dict for ``readers.read``."""
    options = {
        "instrument": click.option("--instrument", help="Layout, if it is not recognised: HPF, CARMENES, table ..."),
        "medium": click.option(
            "--medium", type=click.Choice(["air", "vacuum"]), help="Of wavelengths, where files do not say."
        ),
        "resolution": click.option(
            "--resolution", type=float, help="Resolving power, lambda / FWHM, in place of what files say."
        ),
        "object": click.option("--object", help="Which spectrum of a file that holds several: its name or number."),
        "column": click.option(
            "--column", multiple=True, metavar="KIND=NAME",
            help="Column of a table that holds the flux, uncertainty, mask, good ...: name or number; may be repeated.",
        ),
        "berv": click.option(
            "--berv", type=float, help="The Earth's velocity to the star, km/s, in place of what files say."
        ),
        "calibration": click.option(
            "--calibration", type=_PATH, help="Folder of flats and masks (HPF), if not beside files."
        ),
        # the name of --resolution in dtl prepare until 0.1
        "resolving_power": click.option("--resolving-power", type=float, hidden=True),
    }  # fmt: skip

    @functools.wraps(command)
    def wrapped(**given):
        reading = {name: given.pop(name) for name in options}
        reading["columns"] = _pairs(reading.pop("column"), "--column", "flux=flux_star") or None
        resolution = reading.pop("resolution")
        reading["resolving_power"] = reading["resolving_power"] if resolution is None else resolution
        return command(reading={name: value for name, value in reading.items() if value is not None}, **given)

    for option in reversed(options.values()):
        wrapped = option(wrapped)
    return wrapped


def _spectra_options(command):
    """Options of the commands that estimate parameters."""
    options = (
        click.option("--rv", type=float, help="Barycentric radial velocity of all stars given, km/s, if it is known."),
        click.option("--coadd", is_flag=True, help="Make one spectrum of several exposures of a star."),
        _MODELS,
    )
    for option in reversed(options):
        command = option(command)
    return _reading_options(command)


def _bar(total, quiet, what="spectra"):
    """A bar with the time to the end, on a terminal, for what takes more than two seconds."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, disable=quiet or None, file=sys.stderr, delay=2, leave=False)


@main.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", type=_PATH, help="Catalogue: .ecsv, .fits, .vot, .csv, or in parts: .parquet.")
@_spectra_options
@click.option("--adapt", is_flag=True, help="Learn from all these spectra what they have in common first (30 or more).")
@click.option("--anchors", type=_PATH, help="With --adapt: table of parameters known of some of the stars.")
@click.option("--save-models", type=_PATH, help="With --adapt: folder for the adapted models.")
@click.option("--plots", type=_PATH, help="Folder for a one-page report (PNG) of every star.")
@click.option("--json", "as_json", is_flag=True, help="The catalogue as JSON on standard output.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Processes for many files; 0 takes one a core.")
@click.option("--part-size", default=0, help="With -o NAME.parquet: spectra in a part.  [default: 1024]")
@click.option("--parts", help="With -o NAME.parquet: only these parts, such as 0:10, the first ten.")
@click.option("--quiet", is_flag=True, help="No progress.")
def predict(
    files, output, reading, rv, coadd, name, adapt, anchors, save_models, plots, as_json, workers, part_size, parts,
    quiet,
):  # fmt: skip
    """Teff, log g, [M/H] and v sin i of stars, with calibrated errors, from their spectra.

    FILES are files, folders, patterns in quotes, @LIST (a text with a path in each line), or one Zarr or Parquet store.

    One row a star. p says how likely an ordinary spectrum is to look at least as strange. What cannot be used is listed
    on standard error, and the exit status is then 1; it is 2 where the command cannot be understood.

    With -o NAME.parquet the catalogue is a folder of parts, for any number of stars: after an interruption the same
    command goes on where it was. dtl export makes one file of it.

    \b
    Examples:
      dtl predict my_star.fits
      dtl predict nights/ --coadd -o catalogue.ecsv
      dtl predict spectrum.csv --resolution 80000 --medium air
      dtl predict my_star.fits --rv -110.5
      dtl predict survey/ --adapt --save-models my_instrument -o catalogue.fits
      dtl predict new/ --models my_instrument --json
      dtl predict 'survey/**/*.fits' -o catalogue.parquet
      dtl predict survey.zarr -o catalogue.parquet --workers 8
    """
    from . import chain, exports, machine, models, sources
    from . import predict as prediction
    from .store import write_whole

    _check_output(output, (*exports.FORMATS, ".parquet"))
    if (part_size or parts) and not str(output).lower().endswith(".parquet"):
        field = "--part-size" if part_size else "--parts"
        raise ConfigError("is for a catalogue in parts", field=field, remedy="add -o NAME.parquet")
    if (anchors or save_models) and not adapt:
        raise ConfigError("is for --adapt", field="--anchors" if anchors else "--save-models", remedy="add --adapt")
    machine.one_thread()
    source, in_parts = sources.open_source(files, **reading), str(output).lower().endswith(".parquet")
    if output and not in_parts:
        _check_output(output, None, *files, *source.stretch(0, len(source)).paths, *([anchors] if anchors else ()))
    workers = workers or machine.affordable_workers()
    if in_parts:
        alone = {"--coadd": coadd, "--adapt": adapt, "--plots": plots, "--json": as_json}
        _survey(source, output, name, rv, part_size, parts, workers, alone, quiet)
        return
    model, unread, at_once = models.load(name), [], not (workers > 1 and len(source) > prediction.BATCH)
    if at_once or adapt or coadd:
        spectra, unread = source.stretch(0, len(source)).read()
        spectra = chain.group_exposures(spectra) if coadd else spectra
        if adapt:
            model = _adapted(model, spectra, anchors, save_models, rv, quiet)
        with _bar(len(spectra), quiet) as bar:
            options = {"strict": False, "velocity": rv, "progress": bar.update}
            examined, refused = prediction.examine(model, spectra, **options) if spectra else ([], [])
    else:
        with _bar(len(source), quiet) as bar:
            options = {"workers": workers, "velocity": rv, "progress": bar.update}
            examined, refused = prediction.examine_files(name, source, **options)
    refused = unread + refused
    table = prediction.as_table(examined, refused, model)
    if output and len(table):
        exports.save(table, output)
    if as_json:
        _say_json({"stars": prediction.as_records(table), "refused": table.meta["refused"]})
    elif len(table):
        _say("\n".join(prediction.as_lines(table)))
    if plots:
        from . import report
        from .markdown import file_name

        used = set()
        for one in examined:
            stem = file_name(one.report.star)
            names = (stem, *(f"{stem}_{number}" for number in range(2, len(examined) + 1)))
            free = next(name for name in names if name not in used)
            used.add(free)
            write_whole(f"{plots}/{free}.png", report.png_report(model, one))
    for one in [] if as_json else examined:
        _say_warnings(one.report, one.warnings, len(source) > 1, err=True)
    for _, error in refused:
        _say(f"dtl: {error}", err=True)
    sys.exit(1 if refused else 0)


def _survey(source, output, name, velocity, part_size, parts, workers, alone, quiet):
    """A catalogue in parts; ends with status 1 if some spectra could not be used."""
    from . import survey

    for option, given in alone.items():
        if given:
            raise ConfigError("is not for a catalogue in parts", field=option, remedy="choose another ending for -o")
    chosen, catalogue = None, survey.Survey(output, source, name, part=part_size or survey.PART, velocity=velocity)
    if parts:
        try:
            first, last = map(int, parts.split(":"))
            chosen = range(first, last)
            if not 0 <= first < last:
                raise ValueError
        except ValueError:
            remedy = "give FIRST:END, such as 0:10"
            raise ConfigError(f"cannot read {parts!r}", field="--parts", remedy=remedy) from None
    total = len(source) if chosen is None else min(len(source), len(chosen) * catalogue.part)
    with _bar(total, quiet) as bar:
        done = catalogue.run(workers=workers, parts=chosen, progress=bar.update)
    _say(f"{done.stars} stars, {done.refused} refused, {done.parts} parts, {done.computed} of them computed now")
    _say(output)
    if done.refused and (catalogue.folder / survey.REFUSED).is_file():  # with the last part
        _say(f"dtl: what could not be used is listed in {output}/{survey.REFUSED}", err=True)
    sys.exit(1 if done.refused else 0)


def _say_warnings(report, warnings, several, *, err=False):
    """A line for each warning, with the file among several: stars of one name are then told apart."""
    name = f"{report.file}: {report.star}" if several and report.file else report.star
    for warning in warnings:
        _say(f"{name}: {warning}", err=err)


@main.command()
@click.argument("catalogue", type=_PATH)
@click.option("-o", "--output", required=True, type=_PATH, help="File: .ecsv, .fits, .vot, .csv or .parquet.")
def export(catalogue, output):
    """One file of a catalogue in parts, written part by part.

    \b
    Examples:
      dtl export catalogue.parquet -o catalogue.fits
      dtl export catalogue.parquet -o catalogue.csv
    """
    from . import survey

    _say(survey.export(catalogue, output))


def _check_output(output, endings, *read):
    """Refuse a name before anything is computed for it: with another ending, or of one of the files that are read."""
    known = bool(output) and os.path.exists(output)
    if known and any(os.path.exists(file) and os.path.samefile(file, output) for file in read):
        raise ConfigError(f"{output!r} is read too", field="--output", remedy="choose another name, or another folder")
    if output and endings and not str(output).lower().endswith(endings):
        raise ConfigError(f"cannot write {output!r}", field="--output", remedy=f"end the name in {', '.join(endings)}")


def _adapted(model, spectra, anchors, folder, velocity, quiet):
    from . import adaptation

    known = adaptation.read_anchors(anchors) if anchors else None
    total = adaptation.steps(model.specialists[0].config)
    with _bar(total, quiet, "epochs") as bar:
        adapted = model.adapt(spectra, anchors=known, strict=False, velocity=velocity, progress=bar.update)
    if folder:
        for path in adapted.save(folder):
            _say(path, err=True)
    return adapted


@main.command()
@click.argument("file", type=_PATH)
@click.option("-o", "--output", type=_PATH, help="Report: .html or .png  [default: STAR.html]")
@_spectra_options
def explain(file, output, reading, rv, coadd, name):
    """A one-page report on one spectrum (a file, or with --coadd a folder of exposures of one star).

    It shows the spectrum with model and residual, the lines that carry the information, the joint posterior, the place
    among simulated stars, and all warnings.

    \b
    Examples:
      dtl explain my_star.fits
      dtl explain my_star.fits -o my_star.png
    """
    from . import machine, models, report
    from . import predict as prediction
    from .markdown import file_name
    from .store import write_whole

    _check_output(output, (".html", ".png"), file)
    machine.one_thread()
    model = models.load(name)
    options = dict(coadd=coadd, velocity=rv, **reading)
    examined, _ = prediction.examine(model, [file], **options)
    if len(examined) > 1:
        remedy = "give one file, or --coadd exposures of a star"
        raise ConfigError(f"{len(examined)} spectra", field="FILE", remedy=remedy)
    path = output or file_name(examined[0].report.star, ".html")
    page = report.png_report if str(path).lower().endswith(".png") else report.html_report
    _say(write_whole(path, page(model, examined[0])))


@main.command()
@click.argument("folder", default="examples", type=_PATH)
def examples(folder):
    """Write three example spectra, simulated stars of known labels, into a folder.

    \b
    Examples:
      dtl examples
      dtl predict examples/
    """
    from .examples import write_examples

    paths, truth = write_examples(folder)
    for path in paths:
        _say(path)
    _say("simulated with:")
    _say(truth.to_string(index=False))


@main.group("models")
def models_group():
    """Trained models: those of the package, and your own.

    \b
    Examples:
      dtl models list
      dtl models show 53000
      dtl models build -o my_models --resolution 60000 --set synthetic.library=phoenix
    """


@models_group.command("list")
@_MODELS
def models_list(name):
    """The specialists: resolving power, method, networks, day, errors on the test surveys."""
    from . import models

    for one in models.load(name).specialists:
        card = one.card
        line = f"R = {one.resolving_power:6.0f}  {card['method']}, {card['members']} networks, {card['made']}"
        for snr, found in sorted(card.get("figures", {}).items(), key=lambda item: -int(item[0].split("-")[0])):
            digits = {"teff": 0, "logg": 3, "mh": 3, "vsini": 2}
            line += f"\n  rmse, simulated, S/N {snr}: "
            line += ", ".join(f"{name} {found[name]['rmse']:.{n}f}" for name, n in digits.items())
        _say(line)


@models_group.command("show")
@click.argument("resolving_power", type=float)
@_MODELS
def models_show(resolving_power, name):
    """The card of the specialist that a spectrum of this resolving power goes to, as JSON."""
    from . import models

    _say(json.dumps(models.load(name).specialist_for(resolving_power).card, indent=1, sort_keys=True))


@models_group.command("build")
@click.option("-o", "--output", required=True, type=_FOLDER, help="Folder for the models.")
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--resolution", multiple=True, type=float, help="One resolving power, may be repeated  [default: all]")
@click.option("--quiet", is_flag=True, help="No progress.")
def models_build(output, profile, settings, resolution, quiet):
    """Train and calibrate models from nothing: for another synthetic library, window or instrument.

    \b
    Examples:
      dtl models build -o my_models
      dtl models build -o mine --resolution 60000 --set window.start=8805 --set window.stop=8830
      dtl models build -o phoenix --set synthetic.library=phoenix
    """
    from . import machine, model_making
    from .config import load_profile

    config = load_profile(profile, _overrides(settings))
    powers = resolution or config.models.resolving_powers
    machine.one_thread()
    with _bar(len(powers) * model_making.steps(config), quiet, "epochs") as bar:
        for power in powers:
            specialist = model_making.make_specialist(config, power, progress=bar.update)
            _say(specialist.save(f"{output}/R{power:06.0f}.safetensors"))


@models_group.command("export")
@click.option("-o", "--output", required=True, type=_FOLDER, help="Folder for the model.")
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--results", type=_PATH, help="Folder of the results (or DTL_RESULTS).")
@click.option("--quiet", is_flag=True, help="No progress.")
def models_export(output, profile, settings, results, quiet):
    """The paper's ensemble of a run (found, or made first) as a model for other people's spectra.

    \b
    Examples:
      dtl models export -o demo_ensemble
      dtl predict my_star.fits --models demo_ensemble
    """
    from . import machine, model_making, pipeline

    run = pipeline.run(profile, overrides=_overrides(settings), root=results, quiet=quiet)
    machine.one_thread()
    with _bar(run.config.models.emulator_epochs, quiet, "epochs") as bar:
        specialist = model_making.paper_specialist(run, progress=bar.update)
    _say(specialist.save(f"{output}/paper_R{specialist.resolving_power:06.0f}.safetensors"))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def info(as_json):
    """Versions, device, caches, and what is embedded.

    \b
    Examples:
      dtl info
      dtl info --json
    """
    from . import machine, registry
    from .store import default_root, versions

    embedded = [entry for entry in registry.resources() if entry.kind == "embedded"]
    status = {row.name: row.status for row in registry.verify([entry.name for entry in embedded])}
    found = {
        "version": __version__,
        "packages": versions(),
        "machine": machine.describe(),
        "results": str(default_root()),
        "mirror (DTL_DATA)": str(registry.data_mirror() or "-"),
        "cache (DTL_CACHE)": str(registry.cache_root()),
        "embedded": {entry.name: f"{entry.size / 1e6:.1f} MB, {status[entry.name]}" for entry in embedded},
    }
    if as_json:
        _say(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        if not isinstance(value, dict):
            _say(f"{name:18s} {value}")
            continue
        _say(name)
        for key, item in value.items():
            _say(f"  {key:28s} {'-' if item is None else item}")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell):
    """Print the script that makes a shell complete commands and options.

    \b
    Examples:
      dtl completion bash >> ~/.bashrc
      dtl completion zsh >> ~/.zshrc
      dtl completion fish > ~/.config/fish/completions/dtl.fish
    """
    from click.shell_completion import get_completion_class

    _say(get_completion_class(shell)(main, {}, "dtl", "_DTL_COMPLETE").source())


# ---------------------------------------------------------------- the method


@main.command()
@click.option("--profile", default="demo", show_default=True, help="smoke, demo, paper-fast or paper.")
@click.option("--until", default="catalogue", show_default=True, help="Last stage to run.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option(
    "--spectrum", "files", multiple=True, type=_PATH, help="Spectrum of your own star; may be repeated."
)
@click.option("--results", type=_PATH, help="Folder of the results (or DTL_RESULTS).")
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
            _say(
                f"{stage:12s} {found.store.path(stage, key)}"
                + ("" if isinstance(keys, str) else f" (1 of {len(keys)})")
            )
    if "catalogue" in found.keys and len(found.reports):
        _say(_star_lines(found))


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
@click.option("--out", type=_FOLDER, help="Folder for the record, searches.json.")
@click.option("--results", type=_PATH, help="Folder of the results (or DTL_RESULTS).")
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
    _say(grid.search.sort_values("rank").to_string(index=False, float_format="{:.3g}".format))
    _say(table.sort_values(["parameter", "rank"])[columns].to_string(index=False, float_format="{:.4g}".format))
    chosen = select_regressors(table)
    for name, net in chosen.items():
        _say(f"{name}: filters {net.filters}, units {net.units}, learning rate {net.learning_rate:g}")
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
        _say(records.write("searches", values, out))


@main.command()
@click.option("--profile", default=None, help="Of the last run of this profile; of the last run of all by default.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--results", type=_PATH, help="Folder of the results (or DTL_RESULTS).")
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
        _say(json.dumps(values, indent=1))
        return
    for name, value in values.items():
        _say(f"{name:28s} {value:.6g}" if isinstance(value, float) else f"{name:28s} {value}")


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
    from .book import build, execute, make

    if only:
        execute(profile, only=list(only))
        page = None if no_html else build()
    else:
        page = make(profile, html=not no_html)
    if page:
        _say(f"open {page}")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", type=_PATH, help="FITS file for the prepared spectra and their reports.")
@click.option("--profile", default="demo", show_default=True, help="smoke, demo or paper: settings of the chain.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace one setting; may be repeated.")
@click.option("--coadd", is_flag=True, help="Make one spectrum of several exposures of a star.")
@click.option("--strict", is_flag=True, help="Stop at the first spectrum that cannot be used.")
@_reading_options
@click.option("--json", "as_json", is_flag=True, help="The reports as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def prepare(paths, output, profile, settings, coadd, strict, reading, as_json, quiet):
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

    from . import chain, readers
    from .characters import legible
    from .config import load_profile

    config = load_profile(profile, _overrides(settings))
    files = readers.list_files(paths)
    _check_output(output, None, *files)
    with _bar(2 * len(files), quiet) as bar:
        found, refused = readers.read_many(files, strict=strict, progress=bar.update, **reading)
        power = min([config.window.resolving_power, *(s.resolving_power for s in found if s.resolving_power > 0)])
        window = dataclasses.replace(config.window, resolving_power=float(power))
        config = dataclasses.replace(config, window=window)
        items = chain.group_exposures(found) if coadd else found
        flux, reports, failures = chain.prepare_many(items, config, strict=strict, progress=bar.update)
    failures = [*((legible(file), error) for file, error in refused.itertuples(index=False)), *failures]
    if output:
        chain.save(output, flux, reports, failures, config)
    if as_json:
        rows = [dataclasses.asdict(report) for report in reports]
        rows = [{k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()} for row in rows]
        _say_json({"resolving_power": power, "stars": rows, "refused": dict(failures)})
    elif reports:
        _say(f"R = {power:.0f}; velocities in km/s")
        table = chain.report_table(reports)
        table.remove_columns(["file", "template", "warnings"])
        formats = {"snr": ".0f", "velocity": ".2f", "e_velocity": ".2f", "correlation": ".2f", "radial_velocity": ".2f"}
        for name, text in (formats | {"masked_fraction": ".3f", "telluric_fraction": ".3f"}).items():
            table[name].format = text
        _say("\n".join(table.pformat(max_lines=-1, max_width=-1, show_unit=False)))
        for report in reports:
            _say_warnings(report, report.warnings, len(files) > 1)
    for _, error in failures:
        _say(f"dtl: {error}", err=True)
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
        _say_json(rows)
        return
    for entry in entries:
        size = f"{entry.size / 1e3:.1f} kB" if entry.size else entry.kind
        _say(f"{places[entry.name][0]:9s} {size:>10s}  {entry.name:54s} {entry.what}")


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
        _say(path)


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
        _say(f"{row.status:12s} {row.where:9s} {row.name}")
        if row.status.startswith("wrong") or (names and row.status == "absent"):
            bad = True
            remedy = f"replace {row.path}" if row.where == "mirror" else registry.remedy(row.name)
            _say(f"dtl: {row.name}: {row.status}; {remedy}", err=True)
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
        _say(f"mirror    {registry.data_mirror() or '-'}  (DTL_DATA)")
        _say(f"cache     {registry.cache_root()}  (DTL_CACHE)")
        return
    registry.get(name)
    path = registry.find(name)
    if path is None:
        raise DataError(f"{name} is neither in DTL_DATA nor in the cache", remedy=registry.remedy(name))
    _say(path)


if __name__ == "__main__":
    main()
