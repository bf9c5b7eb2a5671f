"""Names of stars and files as they come, in what cannot hold every character: terminals, pages, FITS.

Everything that leaves the package passes here. A control character, or a byte of a file name that is no UTF-8, is shown
as an escape such as ``\\x1b`` or ``\\udcff``, and what a format with ASCII only cannot hold as ``\\u03b1``.
"""

from __future__ import annotations

import unicodedata

__all__ = ["ascii_only", "ascii_table", "legible"]

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
