"""The book's page of all settings of a run, made from :mod:`dtl_core.config`."""

from __future__ import annotations

import re

from dtl_core import config

from .markdown import code, escape, table

__all__ = ["settings_page"]


_TEXT = """# Settings

A run depends on these settings, on the code and on the data. `dtl run --set NAME=VALUE` replaces one setting of a
profile. Names and values are written as on this page: lists with commas, `true` or `false`. In Python,
{py:func}`~dtl_core.config.load_profile` takes them as a dictionary. The defaults are those of profile `paper`; the
value of another profile is listed below the default where it differs.
"""


def settings_page():
    """Make the page of all settings.

    Returns
    -------
    str
        Markdown, with a row for each setting: type, default, other values in the profiles, meaning and range.
    """
    profiles = {name: {s.name: s.value for s in config.settings(config.load_profile(name))} for name in config.PROFILES}
    groups = {}
    for setting in config.settings(config.Config()):
        meaning = _text(setting.about[0].upper() + setting.about[1:] + ".")
        kind = setting.kind
        kind = f"list of {kind.__args__[0].__name__}" if hasattr(kind, "__args__") else kind.__name__
        row = [f"{code(setting.name)}<br>{kind}", _values(setting, profiles)]
        row.append("<br>".join(filter(None, [meaning, _allowed(setting)])))
        groups.setdefault((setting.name.rpartition(".")[0], setting.group), []).append(row)
    page = _TEXT
    for (group, owner), rows in groups.items():
        target = re.sub(r"\W+", "-", group) or "run"
        summary = " ".join(owner.__doc__.partition("\n\n")[0].split())
        page += f"\n(settings-{target})=\n## {group or 'The run'}\n\n{_text(summary)}\n\n"
        page += f"~~~{{table}}\n:class: names\n\n{table(['setting', 'default', 'meaning'], rows)}~~~\n"
    return page


def _text(text):
    """Text of the code as Markdown: names in backticks or roles become code."""
    parts = re.sub(r":\w+:`~?|``", "`", text).split("`")
    return "`".join(part if k % 2 else escape(f"|{part}|")[2:-2] for k, part in enumerate(parts))  # keeps outer spaces


def _value(value):
    """A value as ``--set`` takes it."""
    text = ",".join(map(_value, value)) if isinstance(value, tuple) else str(value)
    return text.lower() if isinstance(value, bool) else text


def _values(setting, profiles):
    """The default, and below it the other values with the profiles that have them."""
    owners = {setting.value: []}
    for profile, values in profiles.items():
        owners.setdefault(values[setting.name], []).append(profile)
    shown = [code(_value(setting.value)) if setting.value != () else "(none)"]
    if setting.name != "profile":
        shown += [f"{', '.join(names)}: {code(_value(value))}" for value, names in list(owners.items())[1:]]
    return "<br>".join(shown)


def _allowed(setting):
    if setting.choices:
        return f"One of {', '.join(map(code, setting.choices))}."
    if setting.low is not None:
        return f"From {setting.low:.10g} to {setting.high:.10g} {setting.unit}".strip() + "."
    return f"In {setting.unit}." if setting.unit else ""
