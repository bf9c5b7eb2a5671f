"""From files to a catalogue with a trained model: reading, preparation, estimates, table.

examined, refused = examine(model, ["night1.fits", "folder/"], strict=False)
table = as_table(examined, refused, model)
"""

from __future__ import annotations

import numpy as np
from astropy.table import QTable, Table

from .._version import __version__
from ..arguments import VELOCITY, a_flag, checked, instance
from ..characters import legible
from ..errors import ConfigError, DataError
from ..estimates import gravity
from ..estimates.calibration import LEVELS
from ..parameters import PARAMETER_COLUMNS, TABLE, heading
from ..preparing import chain
from ..reading.readers import READING
from ..reading.sources import read_many
from . import exports, photometric
from .specialists import Specialists

__all__ = ["as_lines", "as_records", "as_table", "examine"]


BATCH = 64  # spectra per batch
ONE_SIGMA = LEVELS.index(0.68)
_PROGRESS = instance(callable, optional=True)


@checked(velocity=VELOCITY, progress=_PROGRESS, strict=a_flag, coadd=a_flag, **READING)
def examine(model, spectra, *, strict=True, coadd=False, velocity=None, progress=None, **options):
    """Estimate the parameters of spectra, with intermediate results.

    Parameters
    ----------
    model : dtl_core.models.loading.Model
    spectra, strict, coadd, **options
        As for :func:`dtl_core.reading.sources.read_many`; a folder means the files in it.
    velocity : float, km/s, optional
        Known barycentric radial velocity, which is measured by default.
    progress : callable, optional
        Called with 1 after each spectrum.

    Returns
    -------
    examined : list of dtl_core.models.specialist.Examination
    refused : list of (name, message)
        Spectra that cannot be used; empty if ``strict``.

    Raises
    ------
    DataError
        A spectrum cannot be used, and ``strict`` is true.

    Examples
    --------
    >>> import tempfile
    >>> import dtl_core
    >>> from dtl_core.models.prediction import examine
    >>> from dtl_core.synthetic.examples import write_examples
    >>> paths, truth = write_examples(tempfile.mkdtemp())
    >>> examined, refused = examine(dtl_core.load(), paths)
    >>> for examination in examined:
    ...     print(f"{examination.report.star}: Teff = {examination.median[0]:.0f} K, p = {examination.p:.1f}")
    Example S217: Teff = 3158 K, p = 1.0
    Example S283: Teff = 3520 K, p = 1.0
    Example S280: Teff = 4011 K, p = 1.0
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
    """Convert examinations to a catalogue.

    Parameters
    ----------
    examined, refused : list
        As returned by :func:`examine`.
    model : dtl_core.models.loading.Model

    Returns
    -------
    astropy.table.QTable
        One row per star: star; Teff [K], logg, [M/H] and vsini [km/s], each with calibrated lower and upper error
        (68 %); p_domain, the p-value against ordinary spectra, and strange, the most significant score; flag, why the
        values are not to be trusted; method; resolving_power of the network input; snr per pixel; radial_velocity with
        error [km/s]; instrument; file; warnings. With photometry also each parameter combined with it, with the suffix
        ``_with_photometry``, and mass, radius and luminosity. ``meta["refused"]`` lists the spectra that could not be
        used.
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
    if any(one.photometry is not None for one in examined):
        for name in photometric.COLUMNS:
            columns[name] = np.array([(one.photometry or {}).get(name, np.nan) for one in examined])
    columns["p_domain"] = np.array([one.p for one in examined], float)
    for name in ("strange", "flag", "method"):
        columns[name] = np.array([getattr(one, name) for one in examined], str)
    columns["resolving_power"] = np.array([one.resolving_power for one in examined], float)
    for name in ("snr", "radial_velocity"):
        columns[name] = np.array([getattr(one.report, name) for one in examined], float)
    columns["e_radial_velocity"] = np.array([one.report.e_velocity for one in examined], float)
    columns["instrument"] = np.array([one.report.instrument for one in examined], str)
    columns["file"] = np.array([one.report.file for one in examined], str)
    columns["warnings"] = np.array(["; ".join(one.warnings) for one in examined], str)
    worth = gravity.worth(one.gravity_errors() for one in model.specialists)
    table = QTable(exports.describe(Table(columns), {PARAMETER_COLUMNS["logg"]: worth}))
    library = sorted({one.card["library"] for one in model.specialists})
    measured = any(one.systematic_widths.any() for one in model.specialists)
    more = ", and contain systematic errors learned from a few real ones" if measured else ""
    table.meta = {
        "description": f"Parameters of M dwarfs: dtl-mdwarfs {__version__}, models {legible(model.name)!r}, trained on "
        f"synthetic spectra of {' and '.join(library)}; errors (68 %) are calibrated on simulated stars{more}",
        "refused": [{"file": legible(file), "error": legible(error)} for file, error in refused],
    }
    return table


def as_records(table):
    """Convert the rows of :func:`as_table` to plain values for JSON: list of dict, with None for values not finite."""
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
    """Format the rows of :func:`as_table` for a terminal, one line per star after a header: list of str."""
    digits = {parameter.column: parameter.digits for parameter in TABLE.values()}
    heads = {column: heading(name) for name, column in PARAMETER_COLUMNS.items()}
    cells = [["star", *heads.values(), "p", "S/N", ""]]

    def estimates(row, suffix=""):
        for column, n in digits.items():
            value, lower, upper = (row[f"{prefix}{column}{suffix}"] for prefix in ("", "e_", "E_"))
            yield f"{value:.{n}f} -{lower:.{n}f} +{upper:.{n}f}"

    for row in as_records(table):
        line = [row["star"], *estimates(row)]
        line += [f"{row['p_domain']:.2f}", "" if row["snr"] is None else f"{row['snr']:.0f}"]
        n = row["warnings"].count(";") + 1 if row["warnings"] else 0
        remarks = [row["flag"].upper()] * bool(row["flag"]) + [f"({n} warning{'s' * (n > 1)})"] * bool(n)
        cells.append([*line, " ".join(remarks)])
        if row.get(f"logg{photometric.SUFFIX}") is not None:
            cells.append(["  with photometry", *estimates(row, photometric.SUFFIX), "", "", ""])
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    return ["  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in cells]  # fmt: skip
