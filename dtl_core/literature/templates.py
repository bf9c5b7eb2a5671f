"""CARMENES spectra of stars from public archives, each cut to the surroundings of the window once it is on disk.

The origins are tried in this order, star by star:

1. CDS, J/A+A/680/A73: templates of 382 stars, co-added by serval, corrected for telluric absorption (Nagel et al. 2023)
2. the CARMENES archive: the same templates, one file per star and channel
3. the CARMENES archive: all reduced spectra of a star in one zip file (GTO data release 1, Ribas et al. 2023), co-added
   here; tens of spectra per star

``DTL_CARMENES_URL`` names another server with the same paths. What a page links to is matched with stars by the
identifier in the file's name, or else by the tables that the ReadMe of CDS describes.

Notes
-----
None of the origins could be reached where this was written. The addresses at the CARMENES archive, the form of the
file names there, and shape, extensions and size of a template are those that other public programs use; the layout of
the folder at CDS is assumed from the rules for all of its catalogues.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ..config import load_profile
from ..errors import DataError, DTLError
from ..files import atomic_path, file_hash
from ..preparing import chain
from ..public_data import registry
from ..public_data.origins import Fetched, fetch_each, linked_files, text_of
from ..public_data.phoenix import discard_unless_readable
from ..reading import readers
from ..spectra.spectrum import RANGE
from .names import normalise_karmn

__all__ = ["NIGHTS_BYTES", "ORIGINS", "TEMPLATE_BYTES", "fetch_templates", "missing_templates", "origin_of"]


KARMN = re.compile(r"J\d{5}[+-]\d{3}[NSEWABC]{0,2}")
TEMPLATE_BYTES, NIGHTS_BYTES = 5.5e6, 260e6  # per star, to announce the total
LARGEST_NIGHT = 2**26  # bytes


class Origin(NamedTuple):
    """An archive of CARMENES spectra.

    Attributes
    ----------
    name, page : str
        What it is called here, and the page that lists its files.
    folders : bool
        Whether folders below the page hold the files.
    limit : int, bytes
        A longer file is refused.
    """

    name: str
    page: str
    folders: bool
    limit: int


_ARCHIVE = "http://carmenes.cab.inta-csic.es/gto/jsp"
ORIGINS = (
    Origin("CDS", "https://cdsarc.cds.unistra.fr/ftp/J/A+A/680/A73/", True, 2**25),
    Origin("templates", f"{_ARCHIVE}/tellurics_tac.jsp", False, 2**25),
    Origin("nights", f"{_ARCHIVE}/dr1Public.jsp", False, 2**33),
)


def _name(star):
    return f"carmenes/cut/{star}.fits"


def missing_templates(stars):
    """Those of some stars without an undamaged cut in mirror or cache.

    Parameters
    ----------
    stars : sequence of str
        Karmn identifiers in normal form.

    Returns
    -------
    list of str

    Raises
    ------
    DataError
        A name is not a Karmn identifier.
    """
    for star in stars:
        if not KARMN.fullmatch(star):
            raise DataError(f"{star!r} is not a Karmn identifier", field="stars", remedy="write it as J17578+046")
    return [star for star in stars if not registry.in_place(_name(star)) or registry.find(_name(star)) is None]


def fetch_templates(stars, downloader, *, confirm_nights=None, quiet=False):
    """Fetch the spectra of stars, and keep what lies around the window.

    Parameters
    ----------
    stars : sequence of str
        Karmn identifiers in normal form.
    downloader : Downloader or None
        If None, only this machine is searched.
    confirm_nights : callable, optional
        Called with the number of bytes before single nights are fetched for stars without a template; they are not
        fetched if it returns False.
    quiet : bool
        No progress.

    Returns
    -------
    dtl_core.public_data.origins.Fetched
        By star.

    Raises
    ------
    DataError
        A name is not a Karmn identifier, or a file cannot be written.
    """
    missing, notes = missing_templates(stars), [] if downloader else ["not at hand"]
    reasons = dict.fromkeys(missing, "")
    for origins in (ORIGINS[:-1], ORIGINS[-1:]) if downloader else ():
        nights = origins[0].name == "nights"
        left = [star for star in missing if star in reasons]
        listed = {origin: _listed(origin, downloader, notes) for origin in origins} if left else {}
        wanted = [star for star in left if any(star in files for files in listed.values())]
        size = len(wanted) * (NIGHTS_BYTES if nights else TEMPLATE_BYTES)
        if nights and wanted and not _agreed(confirm_nights, size, notes):
            wanted = []

        def attempts(star, listed=listed):
            return [partial(_fetch, star, o, files[star], downloader) for o, files in listed.items() if star in files]

        fetched = fetch_each(wanted, attempts, downloader, total=size, quiet=quiet, label="CARMENES")
        for star in fetched.paths:
            del reasons[star]
        for star, reason in fetched.missing.items():
            reasons[star] = " | ".join(filter(None, [reasons[star], reason]))
    for star, reason in reasons.items():
        reasons[star] = " | ".join(filter(None, [reason or "no origin lists it" * bool(downloader), *notes]))
    return Fetched({star: registry.find(_name(star)) for star in stars if star not in reasons}, reasons)


def _agreed(confirm, size, notes):
    """Whether single nights may be fetched; if not, this is noted."""
    try:
        if confirm is None or confirm(size):
            return True
        notes.append("single nights were not confirmed")
    except DTLError as error:  # there is nobody to ask
        notes.append(str(error))
    return False


def _listed(origin, downloader, notes):
    """Star -> address of its file at an origin; an origin that does not answer is noted and has none."""
    page, other = origin.page, os.environ.get("DTL_CARMENES_URL")
    if other:
        page = other.rstrip("/") + urlsplit(page).path
    try:
        files, found = linked_files(page, downloader, folders=origin.folders), {}
        spectra = {url: name for url, name in files.items() if _is_visual(name, url)}
        for url in sorted(spectra, key=lambda url: ("VIS" not in url.upper(), url)):
            match = KARMN.search(spectra[url])
            if match:
                found.setdefault(normalise_karmn(match[0]), url)
        return found or _by_table(files, spectra, downloader)
    except DTLError as error:
        notes.append(str(error))
        return {}


def _is_visual(name, url):
    return name.lower().endswith((".fits", ".fits.gz", ".zip")) and "NIR" not in url.upper().partition("//")[2]


def _by_table(files, spectra, downloader):
    """Star -> address by the tables of a CDS catalogue: a column has identifiers, another one names of files."""
    from astropy.table import Table

    found, addresses = {}, {name: url for url, name in spectra.items()}
    tables = {name: url for url, name in files.items() if name == "ReadMe" or name.endswith(".dat")}
    if "ReadMe" not in tables:
        return found
    with tempfile.TemporaryDirectory() as folder:
        for name, url in tables.items():
            (Path(folder) / name).write_text(text_of(url, downloader))
        for name in tables.keys() - {"ReadMe"}:
            try:
                table = Table.read(Path(folder) / name, format="ascii.cds", readme=str(Path(folder) / "ReadMe"))
            except Exception as error:  # parsers raise many kinds
                problem = f"cannot be read ({type(error).__name__})"
                raise DataError(problem, file=tables[name], remedy="try again later") from None
            columns = [[str(value).strip() for value in table[column]] for column in table.colnames]
            stars = next((values for values in columns if all(map(KARMN.fullmatch, values))), [])
            for values in columns if stars else ():
                for star, value in zip(stars, values, strict=True):
                    if value.rpartition("/")[2] in addresses:
                        found.setdefault(normalise_karmn(star), addresses[value.rpartition("/")[2]])
    return found


# ---------------------------------------------------------------- one star


def _fetch(star, origin, url, downloader):
    """Fetch the file of a star, keep the cut and return its path; the file itself is removed."""
    suffix = ".zip" if origin.name == "nights" else ".fits"
    full = f"carmenes/{origin.name.lower()}/{star}{suffix}"  # names from the network never become paths
    cut, whole = registry.cache_root() / _name(star), registry.cache_root() / full
    read = partial(_coadded if suffix == ".zip" else _template, star=star)
    with downloader.locked(cut):  # one process per star
        if not missing_templates([star]):
            return cut
        whole.unlink(missing_ok=True)
        downloader.fetch(registry.keeper(registry.cache_root(), {full: url}), full, limit=origin.limit)
        spectrum = discard_unless_readable(read, whole, url)
        _write(cut, spectrum, url, file_hash(whole))
        registry.record([cut], url)
        whole.unlink()
    return cut


def _template(path, star):
    return _of_star(readers.read(path), star)


def _of_star(spectrum, star):
    """The spectrum under the name of the star; refused if its header names another one."""
    given = normalise_karmn(spectrum.star)
    if KARMN.fullmatch(given) and given != star:
        raise DataError(f"holds {given}, not {star}", file=spectrum.file, remedy="the list of files may be wrong")
    return dataclasses.replace(spectrum, star=star)


def _coadded(path, star):
    """The mean of all spectra in a zip file; those that cannot be read are left out."""
    nights, refused = [], []
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(dir=path.parent) as folder:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                if not member.filename.endswith(".fits") or member.file_size > LARGEST_NIGHT:
                    continue
                night = Path(archive.extract(member, folder))
                try:
                    nights.append(_of_star(readers.read(night, instrument="CARMENES"), star))
                except DataError as error:
                    refused.append(str(error))
                night.unlink()
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise DataError(f"is not a whole zip file ({error})", file=path, remedy="fetch it again") from None
    if not nights:
        problem = f"holds no usable spectrum{': ' * bool(refused)}{''.join(refused[:1])}"
        raise DataError(problem, file=path, remedy="look at the files of this star")
    return chain.coadd(nights, load_profile("paper"))[0]


def _write(path, spectrum, url, digest):
    """Write a spectrum as a table that :func:`dtl_core.reading.tables.read_table` reads."""
    from astropy.table import Table

    spectrum = chain.cut(spectrum, *RANGE)
    columns = {name: getattr(spectrum, name) for name in ("wavelength", "flux", "uncertainty", "mask")}
    table = Table(columns)
    table["wavelength"].unit = "Angstrom"
    table["mask"] = table["mask"].astype(np.uint8)
    table.meta = {
        "OBJECT": spectrum.star,
        "R": spectrum.resolving_power,
        "INSTRUME": spectrum.instrument,
        "FRAME": spectrum.frame,
        "MEDIUM": "vacuum",
        "SRCHASH": digest,  # SHA-256
        "SRCURL": url,
    }
    with atomic_path(path) as part:
        table.write(part, format="fits")


def origin_of(path):
    """Server that the cut of a star, or of a node of PHOENIX-ACES, was fetched from: str, empty if it is not stated."""
    from astropy.io import fits

    with fits.open(path) as hdus:
        address = next((hdu.header["SRCURL"] for hdu in hdus if "SRCURL" in hdu.header), "")
    return urlsplit(address).netloc
