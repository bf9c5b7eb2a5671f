"""Names of stars and files as they come, in what cannot hold every character: terminals, pages, FITS.

Everything that leaves the package passes here. A control character, or a byte of a file name that is no UTF-8, is shown
as an escape such as ``\\x1b`` or ``\\udcff``, and what a format with ASCII only cannot hold as ``\\u03b1``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = ["ascii_only", "ascii_table", "clean", "file_name", "legible"]


_JOINERS = "\u200c\u200d"  # inside words of some scripts, and inside emoji
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # controls, halves of characters, what turns the text around


def legible(text):
    """A text on one line that can be seen and encoded: all else is escaped."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _UNSEEN and c not in _JOINERS else c for c in text)


def ascii_only(text):
    """A text in printable ASCII: all else is escaped, as Python does it in its literals."""
    return legible(text).encode("ascii", "backslashreplace").decode()


def ascii_table(table):
    """A copy of an astropy table whose columns of text are in ASCII, as FITS wants it."""
    out = table.copy()
    for name in out.colnames:
        if out[name].dtype.kind in "UO":
            about = {"description": out[name].description, "meta": out[name].meta}
            out[name] = out.Column([ascii_only(value) for value in out[name]], **about, dtype=str)
    return out


def file_name(star, suffix=""):
    """Name of a star's page: small letters, digits and underscores only.

    Where letters of other alphabets are lost, a few digits of the name's hash keep two stars apart.
    """
    stem = re.sub(r"[^a-z0-9]+", "_", star.lower()).strip("_")[:60] or "star"
    if any(c.isalnum() and not c.isascii() for c in star) or stem == "star":
        stem += f"_{hashlib.sha256(star.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
    return stem + suffix


def clean(text, limit=80):
    """Text from a file as one printable line of at most ``limit`` characters."""
    line = " ".join(str(text)[: 4 * limit].split())
    return "".join(c if c.isprintable() else "?" for c in line)[:limit]
