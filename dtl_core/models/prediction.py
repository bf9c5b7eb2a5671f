"""From files to a catalogue with a trained model: reading, the chain, estimates, one table.

examined, refused = examine(models.load(), ["night1.fits", "folder/"], strict=False)
table = as_table(examined, refused, model)
"""

from __future__ import annotations

import numpy as np
from astropy.table import QTable, Table

from .._version import __version__
from ..arguments import VELOCITY, a_flag, checked, instance
from ..characters import legible
from ..errors import ConfigError, DataError
from ..estimates.calibration import LEVELS
from ..parameters import PARAMETER_COLUMNS, TABLE, heading
from ..preparing import chain
from ..reading.readers import READING
from ..reading.sources import read_many
from . import exports
from .specialists import Specialists

__all__ = ["as_lines", "as_records", "as_table", "examine"]


BATCH = 64  # spectra that are estimated together
ONE_SIGMA = LEVELS.index(0.68)
_PROGRESS = instance(callable, optional=True)


@checked(velocity=VELOCITY, progress=_PROGRESS, strict=a_flag, coadd=a_flag, **READING)
def examine(model, spectra, *, strict=True, coadd=False, velocity=None, progress=None, **options):
    """All that a model says of spectra.

    Arguments
    ---------
    model : :class:`dtl_core.models.loading.Model`
    spectra, strict, options : as for :func:`dtl_core.reading.sources.read_many`
    coadd : exposures of one star and instrument become one
    velocity : km/s, barycentric radial velocity that is known, instead of the one found
    progress : callable, optional, called with 1 after each spectrum

    Returns
    -------
    examined : list of :class:`dtl_core.models.specialist.Examination`
    refused : list of (name, message); empty if ``strict``

    Errors
    ------
    DataError : a spectrum cannot be used, and ``strict`` is true.
    """
    items, refused = read_many(spectra, strict=strict, **options)
    items = chain.group_exposures(items) if coadd else items
    if not isinstance(model, Specialists):
        raise ConfigError("is not a Model", field="model", remedy="give what dtl_core.load() gives")
    examined = []
    for batch in _batches(items):
        prepared = []
        for item in batch:
            try:
                prepared.append(model.prepare(item, velocity=velocity))
            except DataError as error:
                if strict:
                    raise
                refused.append((legible(chain.name_of(item)), str(error)))
            if progress:
                progress(1)
        examined += model.examine(prepared)
    return examined, refused


def _batches(items):
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


# ---------------------------------------------------------------- tables


def as_table(examined, refused, model):
    """A catalogue of examinations.

    Returns
    -------
    astropy.table.QTable, a row a star: star; Teff [K], logg, [M/H], vsini [km/s], each with lower and upper error
    (68 %, calibrated); p_domain, how likely an ordinary spectrum is at least as strange, and strange, in what; method;
    resolving_power, that it was brought to; snr, a pixel; radial_velocity with error [km/s]; instrument; file;
    warnings. ``meta["refused"]`` lists what could not be used.
    """
    columns = {"star": np.array([one.report.star for one in examined], str)}
    median, low, high = (
        np.array([getattr(one, name) for one in examined]).reshape(len(examined), len(PARAMETER_COLUMNS), n)
        for name, n in (("median", 1), ("low", len(LEVELS)), ("high", len(LEVELS)))
    )
    for k, column in enumerate(PARAMETER_COLUMNS.values()):
        columns[column] = median[:, k, 0]
        columns[f"e_{column}"] = median[:, k, 0] - low[:, k, ONE_SIGMA]
        columns[f"E_{column}"] = high[:, k, ONE_SIGMA] - median[:, k, 0]
    columns["p_domain"] = np.array([one.p for one in examined], float)
    for name in ("strange", "method"):
        columns[name] = np.array([getattr(one, name) for one in examined], str)
    columns["resolving_power"] = np.array([one.resolving_power for one in examined], float)
    for name in ("snr", "radial_velocity"):
        columns[name] = np.array([getattr(one.report, name) for one in examined], float)
    columns["e_radial_velocity"] = np.array([one.report.e_velocity for one in examined], float)
    columns["instrument"] = np.array([one.report.instrument for one in examined], str)
    columns["file"] = np.array([one.report.file for one in examined], str)
    columns["warnings"] = np.array(["; ".join(one.warnings) for one in examined], str)
    table = QTable(exports.describe(Table(columns)))
    library = sorted({one.card["library"] for one in model.specialists})
    table.meta = {
        "description": f"Parameters of M dwarfs: dtl-mdwarfs {__version__}, models {legible(model.name)!r}, trained on "
        f"synthetic spectra of {' and '.join(library)}; errors (68 %) are calibrated on simulated stars",
        "refused": [{"file": legible(file), "error": legible(error)} for file, error in refused],
    }
    return table


def as_records(table):
    """The rows of :func:`as_table` as plain values for JSON: list of dict; what is not finite is None."""
    rows = []
    for row in table:
        plain = {}
        for name in table.colnames:
            value = row[name]
            value = getattr(value, "value", value)
            value = str(value) if isinstance(value, str) else float(value)
            plain[name] = None if isinstance(value, float) and not np.isfinite(value) else value
        rows.append(plain)
    return rows


def as_lines(table):
    """The rows of :func:`as_table` for a terminal, a line a star under a head: list of str."""
    digits = {parameter.column: parameter.digits for parameter in TABLE.values()}
    heads = {column: heading(name) for name, column in PARAMETER_COLUMNS.items()}
    cells = [["star", *heads.values(), "p", "S/N", ""]]
    for row in as_records(table):
        line = [row["star"]]
        for column, n in digits.items():
            value, lower, upper = (row[prefix + column] for prefix in ("", "e_", "E_"))
            line.append(f"{value:.{n}f} -{lower:.{n}f} +{upper:.{n}f}")
        line += [f"{row['p_domain']:.2f}", "" if row["snr"] is None else f"{row['snr']:.0f}"]
        n = row["warnings"].count(";") + 1 if row["warnings"] else 0
        cells.append([*line, f"({n} warning{'s' * (n > 1)})" if n else ""])
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    return ["  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in cells]  # fmt: skip
