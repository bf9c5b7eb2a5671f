"""Isochrones of low-mass stars: PARSEC and Baraffe et al. (2015) tables, and a main-sequence relation without them.

Tables lie under ``isochrones/`` in the mirror or the cache: ``parsec_*.dat`` are pages that the CMD web form makes on
request (https://stev.oapd.inaf.it/cgi-bin/cmd: PARSEC 1.2S or later, ages 0.1 and 5 Gyr, the wanted [M/H], saved as
plain text), ``BHAC15_iso*`` are files of https://perso.ens-lyon.fr/isabelle.baraffe/BHAC15dir/ .
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import ConfigError, DataError
from ..public_data import registry
from ..synthetic.label_grid import main_sequence_logg
from .checks import require_columns

__all__ = ["COLUMNS", "curves", "find_isochrones", "read_baraffe", "read_parsec", "sequence"]


COLUMNS = ("age", "mh", "mass", "teff", "luminosity", "logg", "source")
_PARSEC = ("MH", "logAge", "Mass", "logL", "logTe", "logg")
_BARAFFE = ("M/Ms", "Teff", "L/Ls", "g", "R/Rs")
_AGAIN = "get the table again from its public origin"


def _lines(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", file=path, remedy=_AGAIN) from None


def _row(words, header, wanted, path, number):
    """The wanted columns of one line of numbers, which must have at least as many fields as the header."""
    try:
        if len(words) < len(header):
            raise ValueError
        return [float(words[header.index(name)]) for name in wanted]
    except ValueError:
        raise DataError(f"line {number} is not whole", file=path, field=wanted[0], remedy=_AGAIN) from None


def _table(rows, source, path):
    """A frame of rows of age, [M/H], mass, log Teff, log L, log g."""
    if not rows:
        raise DataError("holds no isochrone", file=path, remedy=_AGAIN)
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1]).assign(source=source)
    with np.errstate(over="ignore"):
        frame[["teff", "luminosity"]] = np.power(10.0, frame[["teff", "luminosity"]].to_numpy())
    tame = frame["teff"].between(500, 1e6) & frame["logg"].between(-2, 8) & (frame["mass"] > 0)
    if not (tame & np.isfinite(frame[list(COLUMNS[:-1])]).all(axis=1)).all():
        raise DataError("a value is out of range", file=path, field="teff", remedy=_AGAIN)
    return frame


def read_parsec(path):
    """Read PARSEC isochrones in the format of the CMD 3.x web form, any number of ages and metallicities.

    Each block starts with the comment ``# Zini MH logAge Mini int_IMF Mass logL logTe logg ...``, which names the
    columns.

    Parameters
    ----------
    path : path-like
        Text file.

    Returns
    -------
    pandas.DataFrame
        age [Gyr], mh [dex], mass [Msun], teff [K], luminosity [Lsun], logg [cgs], source.

    Raises
    ------
    DataError
        The header is missing, a line is cut short, or there are no stars.

    References
    ----------
    Bressan et al. (2012, MNRAS 427, 127).
    """
    header, rows = None, []
    for number, line in enumerate(_lines(path), start=1):
        words = line.lstrip("# ").split()
        if line.startswith("#"):
            if words[:1] in (["Zini"], ["Z"]):
                require_columns(header := words, path, _PARSEC, _AGAIN)
        elif words:
            if header is None:
                raise DataError("has no header '# Zini MH logAge'", file=path, remedy=_AGAIN)
            mh, log_age, mass, log_l, log_t, logg = _row(words, header, _PARSEC, path, number)
            rows.append((10.0 ** min(log_age - 9, 9), mh, mass, log_t, log_l, logg))
    return _table(rows, "PARSEC", path)


def read_baraffe(path):
    r"""Read isochrones of Baraffe et al. (2015), [M/H] = 0, in the format of ``BHAC15_iso.2mass``.

    A line ``! t (Gyr) = 0.1000`` starts each age; the comment ``! M/Ms Teff L/Ls g R/Rs ...`` names the columns.
    The column L/Ls is :math:`\log_{10} L/L_\odot`, which is checked against
    :math:`(R/R_\odot)^2 (T_{\rm eff}/5772\,{\rm K})^4`.

    Parameters
    ----------
    path : path-like
        Text file.

    Returns
    -------
    pandas.DataFrame
        As from :func:`read_parsec`.

    Raises
    ------
    DataError
        Ages or header are missing, a line is cut short, or L differs by more than 0.15 dex from that of R and Teff.

    References
    ----------
    Baraffe et al. (2015, A&A 577, A42).
    """
    age, header, rows = None, None, []
    for number, line in enumerate(_lines(path), start=1):
        words = line.lstrip("! ").split()
        if "t (Gyr)" in line:
            age = _row(line.partition("=")[2].split()[:1], ["t"], ["t"], path, number)[0]
        elif line.lstrip().startswith("!"):
            if words[:1] == ["M/Ms"]:
                require_columns(header := words, path, _BARAFFE, _AGAIN)
        elif words:
            if age is None or header is None:
                raise DataError("has no '! t (Gyr) =' and '! M/Ms Teff' above its numbers", file=path, remedy=_AGAIN)
            mass, teff, log_l, logg, radius = _row(words, header, _BARAFFE, path, number)
            if not (radius > 0 and teff > 0 and abs(log_l - np.log10(radius**2 * (teff / 5772) ** 4)) < 0.15):
                raise DataError(f"line {number}: L is not that of R and Teff", file=path, field="L/Ls", remedy=_AGAIN)
            rows.append((age, 0.0, mass, np.log10(teff), log_l, logg))
    return _table(rows, "BHAC15", path)


def find_isochrones():
    """Read all isochrone tables in mirror and cache; nothing is downloaded.

    Returns
    -------
    pandas.DataFrame
        As from :func:`read_parsec`; without tables it has no rows.

    Raises
    ------
    DataError
        A file does not have the format that its name implies.
    """
    tables = [read_parsec(path) for path in registry.find_all("isochrones/parsec_*.dat")]
    tables += [read_baraffe(path) for path in registry.find_all("isochrones/BHAC15_iso*")]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def sequence(teff, mh=0.0, age=5.0):
    r"""Main sequence of M dwarfs from an empirical relation, used when there are no isochrone tables.

    .. math:: R/R_\odot = (16.7700 - 54.3210\,X + 57.6627\,X^2 - 19.6994\,X^3)(1 + 0.4565\,{\rm [Fe/H]}), \quad
              X = T_{\rm eff}/3500\,{\rm K}

    accurate to 9 %. Log g is that of :func:`dtl_core.synthetic.label_grid.main_sequence_logg`, the mass follows from
    both, and L from radius and temperature; [M/H] is used as [Fe/H]. The result does not depend on the age. For the
    stars of the published catalogue, L is 0.085 dex too high in the median.

    Parameters
    ----------
    teff : (n,) array, K
        2700 to 4100 K.
    mh : float or (n,) array, dex
        -0.6 to +0.5.
    age : float, Gyr
        At least 0.5, as younger M dwarfs still contract.

    Returns
    -------
    pandas.DataFrame
        As from :func:`read_parsec`.

    Raises
    ------
    ConfigError
        A value is out of these ranges.

    References
    ----------
    Mann et al. (2015, ApJ 804, 64; erratum 2016, ApJ 819, 87), Table 1, equation 5.
    """
    teff = np.atleast_1d(np.asarray(teff, float))
    for name, value, (low, high) in (("teff", teff, (2700, 4100)), ("mh", mh, (-0.6, 0.5)), ("age", age, (0.5, 14))):
        if not np.all((np.asarray(value) >= low) & (np.asarray(value) <= high)):
            raise ConfigError("beyond the main-sequence relation", field=name, remedy=f"stay within {low} to {high}")
    radius = np.polyval([-19.6994, 57.6627, -54.3210, 16.7700], teff / 3500) * (1 + 0.4565 * np.asarray(mh, float))
    logg = main_sequence_logg(teff, np.asarray(mh, float))
    return pd.DataFrame(
        {
            "age": float(age),
            "mh": np.broadcast_to(mh, teff.shape).astype(float),
            "mass": radius**2 * 10 ** (logg - 4.438),
            "teff": teff,
            "luminosity": radius**2 * (teff / 5772.0) ** 4,
            "logg": logg,
            "source": "main-sequence relation",
        }
    )


def curves(table=None, ages=(0.1, 5.0), mh=(-0.4, 0.0, 0.1), max_mass=0.9):
    """Isochrones to draw in Kiel and Hertzsprung-Russell diagrams, by their name in the legend.

    Parameters
    ----------
    table : pandas.DataFrame, optional
        Isochrones; by default those of :func:`find_isochrones`. If there are none, the lines are those of
        :func:`sequence` for each [M/H], which do not include young stars.
    ages : sequence of float, Gyr
        Isochrones within 10 % are taken.
    mh : sequence of float, dex
        Isochrones within 0.06 dex are taken.
    max_mass : float, Msun
        More massive stars are left out, as they are evolved.

    Returns
    -------
    dict of str to pandas.DataFrame
        Ordered by mass.
    """
    table = find_isochrones() if table is None else table
    out = {}
    for (source, age, metals), frame in table.groupby(["source", "age", "mh"], sort=True):
        wanted = any(abs(age / a - 1) < 0.1 for a in ages) and any(abs(metals - m) < 0.06 for m in mh)
        if wanted and len(kept := frame[frame["mass"] <= max_mass]) > 1:
            out[f"{source}, {age:.2g} Gyr, [M/H] = {metals + 0:+.1f}"] = kept.sort_values("mass", ignore_index=True)
    if out:
        return out
    teff = np.linspace(2900, 4100, 61)
    return {f"main-sequence relation, [M/H] = {metals:+.1f}": sequence(teff, metals) for metals in mh}
