"""Types and options that several commands share."""

from __future__ import annotations

import functools
import os

import click

from ..arguments import a_path
from ..errors import ConfigError

__all__ = [
    "FOLDER",
    "MODELS",
    "PATH",
    "PathType",
    "check_output",
    "overrides_of",
    "pairs_of",
    "reading_options",
    "spectra_options",
]


class PathType(click.Path):
    """A path; ~ is the home folder also where the shell has left it as it is, as in --output=~/x.fits."""

    def convert(self, value, param, context):
        name = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name
        at = "@" if value.startswith("@") and len(value) > 1 and not os.path.exists(value) else ""
        return super().convert(at + a_path(value.removeprefix(at), name), param, context)


PATH, FOLDER = PathType(), PathType(file_okay=False)


def pairs_of(pairs, option, example):
    """``("flux=flux_star",)`` as a dict."""
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"cannot read {pair!r}", field=option, remedy=f"write NAME=VALUE, such as {example}")
        out[name.strip()] = value.strip()
    return out


def overrides_of(pairs):
    """``("survey.noise=0",)`` as a dict."""
    return pairs_of(pairs, "--set", "survey.noise=0")


MODELS = click.option(
    "--models",
    "name",
    default="shipped",
    show_default=True,
    help="Or paper, the paper's ensemble (dtl data fetch models), or a folder or file of your own.",
)


def reading_options(command):
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
            "--calibration", type=PATH, help="Folder of flats and masks (HPF), if not beside files."
        ),
        # the name of --resolution in dtl prepare until 0.1
        "resolving_power": click.option("--resolving-power", type=float, hidden=True),
    }  # fmt: skip

    @functools.wraps(command)
    def wrapped(**given):
        reading = {name: given.pop(name) for name in options}
        reading["columns"] = pairs_of(reading.pop("column"), "--column", "flux=flux_star") or None
        resolution = reading.pop("resolution")
        reading["resolving_power"] = reading["resolving_power"] if resolution is None else resolution
        return command(reading={name: value for name, value in reading.items() if value is not None}, **given)

    for option in reversed(options.values()):
        wrapped = option(wrapped)
    return wrapped


def spectra_options(command):
    """Options of the commands that estimate parameters."""
    options = (
        click.option("--rv", type=float, help="Barycentric radial velocity of all stars given, km/s, if it is known."),
        click.option("--coadd", is_flag=True, help="Make one spectrum of several exposures of a star."),
        MODELS,
    )
    for option in reversed(options):
        command = option(command)
    return reading_options(command)


def check_output(output, endings, *read):
    """Refuse a name before anything is computed for it: with another ending, or of one of the files that are read."""
    known = bool(output) and os.path.exists(output)
    if known and any(os.path.exists(file) and os.path.samefile(file, output) for file in read):
        raise ConfigError(f"{output!r} is read too", field="--output", remedy="choose another name, or another folder")
    if output and endings and not str(output).lower().endswith(endings):
        raise ConfigError(f"cannot write {output!r}", field="--output", remedy=f"end the name in {', '.join(endings)}")
