"""Output of the commands, and errors as one line."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys

import click

from ..errors import DTLError

__all__ = ["OneLineErrors", "progress_bar", "say", "say_json", "say_warnings"]


TRAINING = ("numba", "sklearn", "torch", "umap")  # modules that the extra "train" installs


def say(message, *, err=False):
    """Print a line; exit quietly if the pipe is closed, as after ``| head``.

    Parameters
    ----------
    message : object
    err : bool
        On standard error.

    Raises
    ------
    DTLError
        Standard output cannot be written, such as on a full disk.
    """
    try:
        click.echo(message, file=sys.stderr if err else sys.stdout)
    except OSError as error:
        if err:
            return
        with contextlib.suppress(OSError, ValueError):  # the rest of the buffer cannot be written either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(141)  # the status of a program that SIGPIPE ended
        problem = f"cannot be written ({error.strerror or error})"
        raise DTLError(problem, file="standard output", remedy="free disk space, or write to another place") from None


def say_json(value):
    """Print a value as JSON; without UTF-8, other characters than ASCII are escaped."""
    plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf").lower()
    say(json.dumps(value, indent=1, ensure_ascii=plain))


class OneLineErrors(click.Group):
    """Command group that prints a typed error as one line and exits with status 2."""

    def main(self, *args, **kwargs):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # characters that the terminal's encoding lacks
        logging.getLogger("matplotlib").setLevel(
            logging.ERROR
        )  # silences its message about home folders that are read-only
        try:
            return super().main(*args, **kwargs)
        except DTLError as error:
            say(f"dtl: {error}", err=True)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in TRAINING:
                raise
            say(f"dtl: {missing} is not installed; pip install 'dtl-mdwarfs[train]'", err=True)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            say(f"dtl: {where}cannot be read or written ({error.strerror or error})", err=True)
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)


def say_warnings(report, warnings, several, *, err=False):
    """Print a line for each warning; with several files also the file, because stars may have the same name."""
    name = f"{report.file}: {report.star}" if several and report.file else report.star
    for warning in warnings:
        say(f"{name}: {warning}", err=err)


def progress_bar(total, quiet, what="spectra"):
    """A progress bar on a terminal, shown after two seconds."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, disable=quiet or None, file=sys.stderr, delay=2, leave=False)
