"""Columns of numbers from a text file: ECSV, CSV, or columns separated by blanks, with comments and keywords above."""

from __future__ import annotations

import io
import itertools
import re

from ..characters import clean
from ..errors import DataError
from .columns import find_columns
from .formats import Columns, why

__all__ = ["text_columns"]


MAX_TEXT = 16 * 2**20  # bytes of a text file
MAX_YAML = 100 * 2**10  # bytes of the header of an ECSV file: its parser is slow
MAX_COLUMNS = 500
COMMENT = re.compile(r"\s*(?:#|%|!|;|//|\\)+ ?")  # beginning of a comment line
USUAL = ("wavelength", "flux", "uncertainty")  # of columns without names
PROSE = {
    "vs",
    "versus",
    "against",
    "and",
    "of",
    "the",
    "in",
    "for",
    "with",
    "from",
    "is",
    "as",
    "to",
    "are",
    "by",
    "on",
}
# Cells of columns of flags
WORD_CELLS = {"", "nan", "inf", "-inf", "none", "null", "true", "false", "t", "f", "--", "-"}


def _ecsv_header(lines, path):
    """Names, units, descriptions, keywords and delimiter of an ECSV file, from its comment lines."""
    from astropy.table.meta import get_header_from_yaml

    text = "\n".join(lines)
    depth = max(itertools.accumulate((c in "[{") - (c in "]}") for c in text[:MAX_YAML]), default=0)
    if len(text) > MAX_YAML or depth > 20 or re.search(r"(^|[\s\[{,:-])[&*]\w", text):
        raise DataError(
            "its ECSV header is too long, too deep or has aliases", file=path, remedy="write it again without meta data"
        )
    try:
        header = get_header_from_yaml(lines)
        columns = header["datatype"]
        names = [str(column["name"]) for column in columns]
        units = {str(c["name"]): str(c["unit"]) for c in columns if c.get("unit")}
        about = {str(c["name"]): str(c["description"]) for c in columns if c.get("description")}
        meta = header.get("meta")
        meta = dict(meta) if hasattr(meta, "keys") else {k: v for d in meta or () for k, v in dict(d).items()}
        return names, units, about, meta, header.get("delimiter", " ")
    except Exception as error:  # from the YAML parser, or because an entry violates ECSV
        problem = f"its ECSV header is damaged ({why(error)})"
        raise DataError(problem, file=path, remedy="write the file again") from None


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def _cells(line, delimiter):
    """Cells of a line, without an empty one at its end."""
    cells = [cell.strip().strip("\"'") for cell in (line.split() if delimiter == " " else line.split(delimiter))]
    return cells[:-1] if len(cells) > 1 and not cells[-1] else cells


def _row_format(line):
    """(delimiter, decimal mark) of a row of numbers, or None if it is not one."""
    for decimal, delimiter in itertools.product(".,", ",;\t "):
        if delimiter == decimal or delimiter not in line.strip():
            continue
        cells = [cell.replace(decimal, ".") for cell in _cells(line, delimiter)]
        plain = all(_is_number(cell) or cell.lower() in WORD_CELLS for cell in cells)
        if plain and len(cells) > 1 and _is_number(cells[0]):
            return delimiter, decimal
    for delimiter in ",;\t ":  # a row with words between its numbers
        cells = _cells(line, delimiter)
        if len(cells) > 1 and all(map(_is_number, cells[:2])):
            return delimiter, "."
    return None


def _names(line, delimiter, width):
    """Names of ``width`` columns in a line, including units in parentheses, or None."""
    parts = [_cells(line, delimiter)]
    if delimiter == " ":
        parts += [re.split(r"\s{2,}|\t", line.strip()), re.findall(r"[^\s(\[]+\s*(?:\([^)]*\)|\[[^\]]*\])|\S+", line)]
    else:
        parts += [line.split()]
    return next((cells for cells in parts if len(cells) == width), None)


def text_columns(data, path):
    """Parse the columns of a text file.

    Comments begin with #, %, !, ; or //, and ``# star: GJ 699`` is a keyword. The first line that is not a comment, or
    the last comment, names the columns; a line of units may follow. Without names, the columns are taken as wavelength,
    flux and uncertainty, and a remark is added. Decimal commas are recognised.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        For errors.

    Returns
    -------
    dtl_core.reading.formats.Columns

    Raises
    ------
    DataError
        The file is not a text or is too long, has no rows of numbers or rows of different length, or the names do not
        match the columns.
    """
    import pandas as pd

    if len(data) > MAX_TEXT:
        raise DataError(f"is longer than {MAX_TEXT >> 20} MB of text", file=path, remedy="cut one spectrum out of it")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = re.sub(r"\r\n?", "\n", data.decode(encoding, errors="replace"))
    if "\0" in text:
        raise DataError("is neither FITS nor text", file=path, remedy="give FITS, ECSV or CSV")
    comments, plain, start, row = [], [], 0, None
    ecsv = text.startswith("# %ECSV")
    for line in text[: 2 * MAX_YAML].split("\n"):
        if not line.strip() or (mark := COMMENT.match(line)):
            comments += [line[mark.end() :]] if line.strip() else []
        elif ecsv and plain or not ecsv and _row_format(line):
            row = line
            break
        else:
            plain.append(line)
        start += len(line) + 1
    if row is None:
        raise DataError("has no rows of numbers", file=path, remedy="give columns wavelength and flux")
    columns = Columns([], {}, texts=comments)
    if ecsv:
        columns.names, columns.units, columns.about, columns.meta, delimiter = _ecsv_header(comments[1:], path)
        decimal = "."
    else:
        _read_head(columns, comments, plain, row, path)
        delimiter, decimal = _row_format(row)
    if len(columns.names) > MAX_COLUMNS or delimiter not in (" ", ",", ";", "\t"):
        raise DataError(f"has {len(columns.names)} columns", file=path, remedy="give one spectrum in columns")
    try:
        frame = pd.read_csv(
            io.StringIO(text[start:]),
            sep=r"\s+" if delimiter == " " else delimiter,
            decimal=decimal,
            comment="#",
            header=None,
            names=range(len(columns.names) + 1),  # one more, for a trailing delimiter
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
        )
    except pd.errors.ParserError as error:
        problem = f"its rows are not alike ({clean(error).rpartition('C error: ')[2]})".replace("line", "row")
        raise DataError(problem, file=path, remedy="give every row the same cells") from None
    if frame.iloc[:, -1].notna().any():
        number = int(frame.iloc[:, -1].notna().to_numpy().argmax()) + 1
        problem = f"row {number} has more cells than the {len(columns.names)} columns"
        raise DataError(problem, file=path, remedy="give every row the same cells")
    columns.names = _distinct(columns.names)
    columns.arrays = {name: frame[k].to_numpy() for k, name in enumerate(columns.names)}
    columns.meta = {str(key).upper(): value for key, value in columns.meta.items()}
    return columns


def _distinct(names):
    """Number names that occur more than once."""
    out, count = [], {}
    for name in names:
        count[name] = count.get(name, 0) + 1
        out.append(name if count[name] == 1 else f"{name} ({count[name]})")
    return out


def _read_head(columns, comments, plain, row, path):
    """Keywords, names and units of a text without an ECSV header, from the lines above its first row."""
    delimiter, _ = _row_format(row)
    width = len(_cells(row, delimiter))
    keywords = re.compile(r"([\w .-]{1,40}?)\s*[:=]\s*(.*)")
    titles = []
    for line in comments + plain[:-1]:
        found = keywords.fullmatch(line.strip())
        if found and found[1].lower() in ("columns", "names", "fields"):
            titles.append(found[2])
        elif found:
            columns.meta.setdefault(found[1].strip(), found[2].strip())
    for line in plain:
        names = _names(line, delimiter, width) or _names(line, " ", width)
        if names and not any(map(_is_number, names)):
            columns.names = names
            rest = plain[plain.index(line) + 1 :]
            units = _names(rest[0], delimiter, width) if rest else None
            columns.units = {n: u.strip("()[]") for n, u in zip(names, units or (), strict=False) if u.strip("()[]-")}
            break
    if not columns.names and plain:
        problem = f"its head {clean(plain[-1], 40)!r} does not name {width} columns"
        remedy = f"give {width} names parted like the numbers, or make that line a comment (#)"
        raise DataError(problem, file=path, field="names", remedy=remedy)
    if not columns.names:
        spoken = [line for line in comments if not keywords.fullmatch(line.strip())]
        for line in titles + spoken[-1:]:
            names = _names(line, delimiter, width) or _names(line, " ", width)
            words = {word.lower().strip(".,") for word in line.split()}
            if names and not words & PROSE and {"wavelength", "flux"} <= set(find_columns(names)):
                columns.names = names
                break
    if not columns.names:
        columns.names = [*USUAL[:width], *(f"column {k}" for k in range(4, width + 1))]
        columns.notes.append(f"columns without names taken as {', '.join(columns.names[:3])}")
