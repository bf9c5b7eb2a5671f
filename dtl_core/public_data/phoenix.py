"""PHOENIX-ACES spectra (Husser et al. 2013, A&A 553, A6): reading one, and fetching a range of labels.

    fetch_range(teff=(2800, 4000))      downloads about 6 MB per spectrum, keeps 70 kB of each

The files are below ``https://phoenix.astro.physik.uni-goettingen.de/data/v2.0/HiResFITS/``; older links read
``ftp://phoenix.astro.physik.uni-goettingen.de/HiResFITS/``. ``DTL_PHOENIX_URL`` names another server of the same
layout.
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import atomic_path
from . import registry

__all__ = [
    "AGAIN",
    "WAVE_FILE",
    "discard_unless_readable",
    "fetch_cut",
    "fetch_range",
    "file_name",
    "is_usable",
    "label_range",
    "read_phoenix",
    "write_cut",
]


WAVE_FILE = "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits"
KEYS = {"teff": "PHXTEFF", "logg": "PHXLOGG", "mh": "PHXM_H", "alpha": "PHXALPHA"}
WINDOW = (8785.0, 8850.0)  # vacuum A: the paper's 8800-8835 A, 5 A for the continuum, the rest for shift and width
NODES = {  # of the grid, for [alpha/M] = 0
    "teff": tuple(range(2300, 7001, 100)),
    "logg": tuple(np.arange(0.0, 6.1, 0.5).tolist()),
    "mh": (-4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0),
}
SPECTRUM_BYTES, WAVE_BYTES = 6.3e6, 12.6e6  # per file, to announce the total
AGAIN = "download the file again"


def _read(path, extension=None):
    """Data and header of the primary HDU, and the data of a named extension or None."""
    from astropy.io import fits

    try:
        with warnings.catch_warnings(action="ignore"), fits.open(path, memmap=False) as hdus:
            extra = hdus[extension].data if extension and extension in hdus else None
            data, header = hdus[0].data, hdus[0].header
    except FileNotFoundError:
        raise DataError("not found", file=path, remedy="check the path") from None
    except (OSError, TypeError, ValueError) as error:
        text = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise DataError(f"is not a whole FITS file ({text})", file=path, remedy=AGAIN) from None
    if data is None or data.ndim != 1:
        raise DataError("has no spectrum in its primary HDU", file=path, remedy=AGAIN)
    return data, header, extra


def _wavelength_file(path):
    """The wavelength file beside a spectrum, in a folder above, in the mirror or in the cache."""
    for folder in Path(path).resolve().parents:
        if (folder / WAVE_FILE).is_file():
            return folder / WAVE_FILE
    found = registry.find(f"phoenix/{WAVE_FILE}")
    if found is None:
        raise DataError(f"no {WAVE_FILE} beside it or above", file=path, remedy="dtl data fetch phoenix")
    return found


def read_phoenix(path, wavelength_file=None):
    """Read a PHOENIX-ACES high-resolution spectrum, as downloaded or cut to the window.

    Parameters
    ----------
    path : str or Path
        Such as ``lte03500-5.00-0.0.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits``.
    wavelength_file : str or Path, optional
        By default ``WAVE_PHOENIX-ACES-AGSS-COND-2011.fits`` in the folder of the spectrum, in those above, in
        ``DTL_DATA`` or in the cache. A cut contains its own wavelengths.

    Returns
    -------
    wavelength : (n_pixels,) array, vacuum A
    flux : (n_pixels,) array, erg/s/cm2/cm
    labels : dict
        teff [K], logg, mh and alpha.

    Raises
    ------
    DataError
        The FITS file is damaged or holds no spectrum, a label is missing or not a number, or the wavelengths are
        missing or differ in number from the fluxes.
    """
    flux, header, wavelength = _read(path, "WAVELENGTH")
    labels = {}
    for name, key in KEYS.items():
        value = header.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            problem = "is missing" if value is None else f"{value!r} is not a number"
            raise DataError(problem, file=path, field=key, remedy="give a PHOENIX-ACES HiRes file")
        labels[name] = float(value)
    if wavelength is None:
        wavelength_file = wavelength_file or _wavelength_file(path)
        wavelength = _read(wavelength_file)[0]
    if len(wavelength) != len(flux):
        raise DataError(
            f"has {len(flux)} fluxes for the {len(wavelength)} wavelengths of {wavelength_file}",
            file=path,
            remedy="give the files of one version of the library",
        )
    return np.asarray(wavelength, float), np.asarray(flux, float), labels


# ---------------------------------------------------------------- fetching


def file_name(teff, logg, mh):
    """File name of a node, e.g. ``lte03500-5.00-0.0.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits``: [M/H] = 0 is -0.0."""
    return f"lte{teff:05.0f}-{logg:.2f}{_sign(mh)}.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits"


def _sign(mh):
    return f"{mh:+.1f}" if mh else "-0.0"


def _base_url(base_url):
    address = base_url or os.environ.get("DTL_PHOENIX_URL") or registry.get(f"phoenix/{WAVE_FILE}").url
    return address.removesuffix(WAVE_FILE).rstrip("/")


def label_range(teff=(2300, 4500), logg=(4.5, 5.5), mh=(-1.0, 1.0)):
    """List the nodes of the grid in a range of labels.

    Parameters
    ----------
    teff, logg, mh : (float, float), K, dex, dex
        Lowest and highest value.

    Returns
    -------
    list of (teff, logg, mh)
        Teff varies slowest.

    Raises
    ------
    DataError
        There is no node in the range.
    """
    axes = []
    for name, (low, high) in {"teff": teff, "logg": logg, "mh": mh}.items():
        axes.append([node for node in NODES[name] if low <= node <= high])
        if not axes[-1]:
            nodes = ", ".join(f"{node:g}" for node in NODES[name])
            raise DataError(f"{low:g} to {high:g} holds no node of PHOENIX-ACES", field=name, remedy=f"nodes: {nodes}")
    return list(itertools.product(*axes))


def fetch_wavelengths(downloader, base_url=None):
    """Return the path of the wavelength file, after downloading it if it is missing or damaged."""
    name = f"phoenix/{WAVE_FILE}"
    if not registry.in_place(name):
        path, url = registry.cache_root() / name, f"{_base_url(base_url)}/{WAVE_FILE}"
        path.unlink(missing_ok=True)
        downloader.fetch(registry.keeper(registry.cache_root(), {name: url}), name)
        discard_unless_readable(_read, path, url)
        registry.record([path], url)
    return registry.find(name)


def discard_unless_readable(read, path, url):
    """Read a downloaded file, and remove it from the cache if it cannot be read; no hash could refuse it on arrival.

    Parameters
    ----------
    read : callable
        Called with the path.
    path : Path
    url : str
        Where it came from, for the message.

    Returns
    -------
    object
        What ``read`` returns.

    Raises
    ------
    DataError
        From ``read``, with the address.
    """
    try:
        return read(path)
    except DataError as error:
        if registry.cache_root() in path.parents:
            path.unlink(missing_ok=True)
        raise error.at(url) from None


def fetch_range(
    teff=(2300, 4500),
    logg=(4.5, 5.5),
    mh=(-1.0, 1.0),
    *,
    window=WINDOW,
    keep_full=False,
    base_url=None,
    offline=False,
    quiet=False,
    workers=4,
    confirm=None,
    downloader=None,
):
    """Download the spectra of a range of labels, and keep the window of each in ``phoenix/cut`` of the cache.

    Parameters
    ----------
    teff, logg, mh : (float, float), K, dex, dex
        Lowest and highest value.
    window : (float, float), vacuum A
        First and last wavelength to keep.
    keep_full : bool
        Also keep the complete files, in ``phoenix/full``.
    base_url : str, optional
        By default ``DTL_PHOENIX_URL`` or the address in the registry.
    offline, quiet, workers, downloader
        As for :func:`dtl_core.public_data.fetching.fetch`.
    confirm : callable, optional
        Called with the number of bytes before the download, which does not start if it returns False.

    Returns
    -------
    list of Path
        The cuts.

    Raises
    ------
    DataError
        The range has no node, the download is not confirmed or not allowed, or it failed for some spectra. The others
        stay.
    """
    names = [file_name(*node) for node in label_range(teff, logg, mh)]
    missing = [n for n in names if not is_usable(n, window) or keep_full and not registry.in_place(f"phoenix/full/{n}")]
    needed = [f"phoenix/full/{n}" for n in missing if not registry.in_place(f"phoenix/full/{n}")]
    needed += [f"phoenix/{WAVE_FILE}"] if missing and not registry.in_place(f"phoenix/{WAVE_FILE}") else []
    size = sum(WAVE_BYTES if name.endswith(WAVE_FILE) else SPECTRUM_BYTES for name in needed)
    if needed:
        registry.refuse_offline(offline, needed)
        if not quiet:
            kept = "kept whole" if keep_full else f"{window[0]:g}-{window[1]:g} A of each kept"
            print(f"PHOENIX-ACES: {len(needed)} files, about {size / 1e6:.0f} MB to fetch, {kept}", file=sys.stderr)
        if confirm and not confirm(size):
            raise DataError("nothing was fetched", file=_base_url(base_url), remedy="confirm, or narrow the range")
    if missing:
        from .download import Downloader, progress_bar

        downloader = downloader or Downloader(workers=workers)
        with progress_bar(size, quiet=quiet or not needed, label="PHOENIX") as bar:
            downloader.progress = bar.update
            errors = downloader.each(lambda _: fetch_wavelengths(downloader, base_url), [WAVE_FILE])[1]
            registry.raise_first(errors, 1)
            errors = downloader.each(lambda name: fetch_cut(name, window, keep_full, base_url, downloader), missing)[1]
        registry.raise_first(errors, len(names))
    return [registry.find(f"phoenix/cut/{name}") for name in names]


def is_usable(name, window):
    """Whether there is an undamaged cut of a node, by its file name, that covers the window (low, high), A."""
    if not registry.in_place(f"phoenix/cut/{name}"):
        return False
    try:
        wavelength = read_phoenix(registry.find(f"phoenix/cut/{name}"))[0]
    except DataError:
        return False
    step = wavelength[1] - wavelength[0]
    return wavelength[0] - step <= window[0] and window[1] <= wavelength[-1] + step


def fetch_cut(name, window, keep_full, base_url, downloader):
    """Download the spectrum of a node and keep its cut in the cache.

    Parameters
    ----------
    name : str
        See :func:`file_name`.
    window : (low, high), A
    keep_full : bool
        Keep the whole spectrum too.
    base_url : str
        Of the origin or of a mirror.
    downloader : dtl_core.public_data.download.Downloader

    Raises
    ------
    DataError
        It cannot be downloaded or read, or does not reach over the window.
    """
    full_name, cut = f"phoenix/full/{name}", registry.cache_root() / "phoenix" / "cut" / name
    url = f"{_base_url(base_url)}/PHOENIX-ACES-AGSS-COND-2011/Z{name[13:17]}/{name}"
    with downloader.locked(cut):  # one process per node
        if not registry.in_place(full_name):
            (registry.cache_root() / full_name).unlink(missing_ok=True)
            downloader.fetch(registry.keeper(registry.cache_root(), {full_name: url}), full_name, limit=2**26)
        full = registry.find(full_name)
        spectrum = discard_unless_readable(read_phoenix, full, url)
        write_cut(cut, *spectrum, window, registry.file_hash(full), url)
        registry.record([cut], url)
        row = registry.check(full_name)[0]
        if row.where == "cache" and keep_full:
            registry.record([full], url)
        elif row.where == "cache" and row.status == "unverifiable":  # not recorded, so it was not downloaded to be kept
            full.unlink()


def write_cut(target, wavelength, flux, labels, window, source_hash, url):
    """Write the part of a spectrum inside a window as FITS, whole or not at all.

    Parameters
    ----------
    target : Path
    wavelength, flux : (n_pixels,) array, A and erg/s/cm^2/cm
    labels : dict
        Of the node, by the names of ``KEYS``.
    window : (low, high), A
    source_hash, url : str
        Of the whole spectrum.

    Raises
    ------
    DataError
        The spectrum does not reach over the window.
    """
    from astropy.io import fits

    if wavelength[0] > window[0] or wavelength[-1] < window[1]:
        raise DataError(f"does not reach over {window[0]:g}-{window[1]:g} A", file=url, remedy="narrow the window")
    inside = (wavelength >= window[0]) & (wavelength <= window[1])
    primary = fits.PrimaryHDU(flux[inside])
    for name, key in KEYS.items():
        primary.header[key] = labels[name]
    primary.header["BUNIT"] = "erg/s/cm^2/cm"
    primary.header["SRCHASH"] = source_hash  # SHA-256
    primary.header["SRCURL"] = url
    with atomic_path(target) as part:
        fits.HDUList([primary, fits.ImageHDU(wavelength[inside], name="WAVELENGTH")]).writeto(part)
