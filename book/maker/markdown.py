"""Markdown for the generated pages: text from outside shown as it is, tables, numbers, citations."""

from __future__ import annotations

import re

__all__ = ["MINUS", "NBSP", "cite", "code", "escape", "measured", "number", "percent", "table"]


MINUS, NBSP = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"


def escape(text):
    """Text from a file or a name, to be read as it is: one line, no Markdown, HTML, mathematics or roles."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(str(text).split()))
    return re.sub(r"([\\`*_{}\[\]<>|$#~&^])", r"\\\1", line)


def code(text):
    """Text in the type of code, or escaped where it holds what would end that."""
    return escape(text) if re.search(r"[`|\\\n]", str(text)) or not str(text).strip() else f"`{text}`"


def table(header, rows):
    """A Markdown table; the cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def number(value, form):
    """A number with a real minus sign; nothing where there is none."""
    return "" if value is None or value != value else format(value, form).replace("-", MINUS)


def percent(fraction):
    """A fraction in per cent, with one decimal."""
    return f"{100 * fraction:.1f}{NBSP}%"


def measured(value, error, form=".2f"):
    """A value with its error."""
    return f"{number(value, form)}{NBSP}±{NBSP}{number(error, form)}" if number(value, form) else ""


def cite(keys, kind="t"):
    """A citation of entries of the bibliography; ``kind`` is ``t`` (in the text) or ``p`` (in parentheses)."""
    return f"{{cite:{kind}}}`{','.join(keys)}`" if keys else ""
