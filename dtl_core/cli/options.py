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
    """A path; expands ~ where the shell does not, as in --output=~/x.fits."""

    def convert(self, value, param, context):
        name = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name
        at = "@" if value.startswith("@") and len(value) > 1 and not os.path.exists(value) else ""
        return super().convert(at + a_path(value.removeprefix(at), name), param, context)


PATH, FOLDER = PathType(), PathType(file_okay=False)


def pairs_of(pairs, option, example):
    """Convert ``("flux=flux_star",)`` to a dict."""
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"cannot read {pair!r}", field=option, remedy=f"write NAME=VALUE, such as {example}")
        out[name.strip()] = value.strip()
    return out


def overrides_of(pairs):
    """Convert ``("survey.noise=0",)`` to a dict."""
    return pairs_of(pairs, "--set", "survey.noise=0")


MODELS = click.option(
    "--models",
    "name",
    default="shipped",
    show_default=True,
    help="Or paper, the paper's ensemble (dtl data fetch models), or a folder or file of your own.",
)


def reading_options(command):
    """Add the options of all commands that read spectra.

    Parameters
    ----------
    command : callable
        Receives them as ``reading``, a dict for :func:`dtl_core.reading.readers.read`.

    Returns
    -------
    callable
    """
    options = {
        "instrument": click.option("--instrument", help="Layout, if it is not recognised: HPF, CARMENES, table ..."),
        "medium": click.option(
            "--medium", type=click.Choice(["air", "vacuum"]), help="Of wavelengths, where files do not say."
        ),
        "resolving_power": click.option(
            "--resolution", "resolving_power", type=float,
            help="Resolving power, lambda / FWHM, in place of what files say.",
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
        # the name of --resolution in dtl prepare until 0.1, for one more release
        "old_resolving_power": click.option("--resolving-power", "old_resolving_power", type=float, hidden=True),
    }  # fmt: skip

    @functools.wraps(command)
    def wrapped(**given):
        reading = {name: given.pop(name) for name in options}
        reading["columns"] = pairs_of(reading.pop("column"), "--column", "flux=flux_star") or None
        old = reading.pop("old_resolving_power")
        reading["resolving_power"] = old if reading["resolving_power"] is None else reading["resolving_power"]
        return command(reading={name: value for name, value in reading.items() if value is not None}, **given)

    for option in reversed(options.values()):
        wrapped = option(wrapped)
    return wrapped


def spectra_options(command):
    """Add the options of the commands that estimate parameters, with those of :func:`reading_options`."""
    options = (
        click.option("--rv", type=float, help="Barycentric radial velocity of all stars given, km/s, if it is known."),
        click.option("--coadd", is_flag=True, help="Make one spectrum of several exposures of a star."),
        MODELS,
    )
    for option in reversed(options):
        command = option(command)
    return reading_options(command)


def check_output(output, endings, *read):
    """Refuse an output file before anything is computed for it.

    Parameters
    ----------
    output : path or None
    endings : tuple of str or None
        Endings that its name may have.
    *read : path
        Input files, which it must not replace.

    Raises
    ------
    ConfigError
        The file has another ending, or is an input file.
    """
    exists = bool(output) and os.path.exists(output)
    if exists and any(os.path.exists(file) and os.path.samefile(file, output) for file in read):
        raise ConfigError(f"{output!r} is read too", field="--output", remedy="choose another name, or another folder")
    if output and endings and not str(output).lower().endswith(endings):
        raise ConfigError(f"cannot write {output!r}", field="--output", remedy=f"end the name in {', '.join(endings)}")
