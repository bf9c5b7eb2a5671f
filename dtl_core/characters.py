r"""Text from users' files and names of stars, for output that cannot hold every character: terminals, web pages, FITS.

All text that leaves the package is converted here. Control characters, and bytes of file names that are not UTF-8, are
shown as escapes such as ``\x1b`` or ``\udcff``; characters that an ASCII format cannot hold as ``\u03b1``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = ["ascii_only", "ascii_table", "clean", "file_name", "legible"]


_JOINERS = "\u200c\u200d"  # within words of some scripts and within emoji
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # control characters, surrogates, changes of text direction


def legible(text):
    r"""Escape characters that cannot be seen or encoded, so that a text fits on one line.

    Parameters
    ----------
    text : object
        Converted to str.

    Returns
    -------
    str

    Examples
    --------
    >>> from dtl_core.characters import legible
    >>> print(legible("GJ\t699"))
    GJ\t699
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _UNSEEN and c not in _JOINERS else c for c in text)


def ascii_only(text):
    """Escape all but printable ASCII, as Python does in its literals.

    Parameters
    ----------
    text : object

    Returns
    -------
    str
    """
    return legible(text).encode("ascii", "backslashreplace").decode()


def ascii_table(table):
    """Copy an astropy table with all text columns in ASCII, as FITS requires.

    Parameters
    ----------
    table : astropy.table.Table

    Returns
    -------
    astropy.table.Table
    """
    out = table.copy()
    for name in out.colnames:
        if out[name].dtype.kind in "UO":
            about = {"description": out[name].description, "meta": out[name].meta}
            out[name] = out.Column([ascii_only(value) for value in out[name]], **about, dtype=str)
    return out


def file_name(star, suffix=""):
    """File name for a star: lower-case letters, digits and underscores only.

    If characters of other alphabets are lost, a few digits of the name's hash keep the stars distinct.

    Parameters
    ----------
    star : str
    suffix : str

    Returns
    -------
    str

    Examples
    --------
    >>> from dtl_core.characters import file_name
    >>> file_name("GJ 699", ".html")
    'gj_699.html'
    """
    stem = re.sub(r"[^a-z0-9]+", "_", star.lower()).strip("_")[:60] or "star"
    if any(c.isalnum() and not c.isascii() for c in star) or stem == "star":
        stem += f"_{hashlib.sha256(star.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
    return stem + suffix


def clean(text, limit=80):
    """Text from a file as one printable line.

    Parameters
    ----------
    text : object
    limit : int
        Maximum number of characters.

    Returns
    -------
    str
    """
    line = " ".join(str(text)[: 4 * limit].split())
    return "".join(c if c.isprintable() else "?" for c in line)[:limit]
