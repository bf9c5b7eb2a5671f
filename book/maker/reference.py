"""The book's reference, made from the code: pages of all public modules, of the command line and of the settings.

    files = reference_files()      name below book/generated -> text

Modules are read, not imported. A new one with ``__all__`` has its page without being listed anywhere.
"""

from __future__ import annotations

import ast
import copy
import re

import click

from dtl_core import config

from .docstrings import blocks, comment_of, fence, fields, home_of, inline, links, methods, read_modules
from .markdown import code, escape, table

__all__ = ["command_page", "module_page", "reference_files", "settings_page"]


GROUPS = {  # in the order of imports; a module that is not here stands under the last
    "Spectra and data": "config errors store download registry archives spectra synthetic phoenix observed formats "
    "keywords columns text spectrum orders tables images hpf carmenes multispec chiron eprv esprit readers "
    "velocity chain",
    "Networks and training": "machine stacks autoencoder regressor training search",
    "Transfer and its test bench": "transfer gap emulator randomise arms bench planted outliers recommended records "
    "bench_results bench_plots",
    "Estimates and catalogues": "estimate calibration posterior ensemble stages pipeline figures plots exports",
    "Trained models and your own stars": "models model_making sources predict survey adaptation examples report",
    "Literature": "names kinematics isochrones catalogues matching comparison comparison_plots hr_plots statements "
    "fidelity sample",
    "Book and command line": "markdown interactive explore sliders model_page benchmark_page star_pages docstrings "
    "reference workflow_page pages book alt_texts jobs cli",
    "Other": "",
}
_SOURCE = "https://github.com/dtl-mdwarfs/dtl-mdwarfs/blob/main/dtl_core"


# ---------------------------------------------------------------- modules


def _signature(node, bound=False):
    """Arguments with their defaults as they are written, without types and without ``self``."""
    arguments = copy.deepcopy(node.args)
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if bound:
        del (arguments.posonlyargs or arguments.args)[0]
    return f"({ast.unparse(arguments)})"


def _object(kind, head, body):
    return fence(f"{{py:{kind}}} {head}", f"\n{body.strip()}") + "\n"


def _table(header, rows):
    """A table whose first column, of names, is as wide as they are: see book/_static/book.css."""
    return fence("{table}", ":class: names\n\n" + table(header, rows).strip()) + "\n"


def _class(modules, module, node):
    link = links(modules, module, node)
    bases = [link(name) or code(name) for name in map(ast.unparse, node.bases) if not re.match("_|NamedTuple", name)]
    doc, rows = ast.get_docstring(node) or "", []
    text = (f"Base: {', '.join(bases)}.\n\n" if bases else "") + blocks(doc, link) + "\n"
    for n in fields(node):
        kind = ast.unparse(n.annotation).replace(" | ", " or ") + (f" = {ast.unparse(n.value)}" if n.value else "")
        kind = re.sub(r"field\(default_factory=(\w+)\)", r"\1()", kind)
        rows.append([code(ast.unparse(n.target)), code(kind), inline(comment_of(module, n), link)])
    if any(n.value or ast.unparse(n.target) not in doc for n in fields(node)):  # else the docstring says it all
        told = 3 if any(row[2] for row in rows) else 2
        text += _table(["field", "type and default", "what it is"][:told], [row[:told] for row in rows]) + "\n"
    start = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    for name, method in methods(node).items():
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in method.decorator_list}
        doc = next(filter(None, (ast.get_docstring(found) for found in _above(module, node, name))), "")
        kind = next(iter(marks & {"staticmethod", "classmethod"}), "method")
        kind = "property" if marks & {"property", "cached_property"} else kind
        given = _signature(method, kind != "staticmethod") if kind != "property" else ""
        text += _object(kind, name + given, blocks(doc, link))
    return _object("class", node.name + (_signature(start, True) if start else ""), text) + "\n"


def _above(module, node, name):
    """Definitions of a method in a class and, as far as they are in the same module, in its bases."""
    if isinstance(node, ast.ClassDef):
        yield from filter(None, [methods(node).get(name)])
        for base in node.bases:
            yield from _above(module, module.nodes.get(getattr(base, "id", None)), name)


def _constant(node, name):
    """The value of a constant, if it is short; of a long dictionary, its keys."""
    value, target = node.value, node.targets[0] if isinstance(node, ast.Assign) else node.target
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        value = value.elts[[getattr(n, "id", None) for n in target.elts].index(name)]
    text = ast.unparse(value)
    if len(text) <= 300:
        return f"Value: {code(text)}"
    keys = [key.value for key in getattr(value, "keys", []) if isinstance(key, ast.Constant)]
    return f"Keys: {', '.join(map(code, keys))}" if keys else ""


def module_page(modules, module):
    """The page of one module: its docstring, and everything that it makes public in the order of ``__all__``."""
    link = links(modules, module)
    where = f"Module `dtl_core.{module.name}`, [source]({_SOURCE}/{module.name}.py)."
    text = f"# {escape(module.name)}\n\n" + fence(f"{{py:module}} dtl_core.{module.name}", "")
    text += f"\n\n{blocks(module.doc, link)}\n{where}\n\n"
    others = []
    for name in module.public:
        home, origin = home_of(modules, module, name)
        node = home and home.nodes[origin]
        if home is not module and home and origin in home.public:
            others.append(f"- {link(name)}")
        elif isinstance(node, ast.FunctionDef):
            text += _object("function", name + _signature(node), blocks(ast.get_docstring(node), link)) + "\n"
        elif isinstance(node, ast.ClassDef):
            text += _class(modules, home, node)
        else:
            told = f"{_constant(node, origin)}\n\n{blocks(comment_of(home, node), link)}" if node else ""
            text += _object("data", name, told) + "\n"
    return text + ("**From other modules**\n\n" + "\n".join(others) + "\n" if others else "")


def _overview(modules):
    """The parent page: every module in its group, with what it is about."""
    grouped = {name for names in GROUPS.values() for name in names.split()}
    text = _REFERENCE_TEXT
    for title, names in GROUPS.items():
        names = names.split() or [name for name in modules if name not in grouped]
        rows = []
        for module in (modules[name] for name in names if name in modules):
            page, link = f"[{escape(module.name)}](reference/{module.name}.md)", links(modules, module)
            rows.append([page, inline(module.doc.split("\n\n")[0], link)])
        text += f"\n## {title}\n\n" + _table(["module", "what it holds"], rows) if rows else ""
    return text


_REFERENCE_TEXT = """# Modules

Every module of the package `dtl_core`, with all that it makes public: functions, classes and constants, what they take
and give with shapes and units, and the errors that they raise. A module imports from the groups and rows above its own,
hardly ever from below. The pages are made from the code; all names are in the {ref}`index <genindex>`.

The [command line](command_line.md) and the [settings of a run](settings.md) have pages of their own.
"""
# ---------------------------------------------------------------- command line and settings

_COMMANDS_TEXT = """# Command line

`dtl` and every command below it, as `--help` shows them. Bad input ends in one line that names the file, the field and
the remedy, and in exit status 2.
"""


def _target(name):
    return re.sub(r"\W+", "-", name)


def command_page(command=None):
    """The page of the command line: usage, help, options and examples of every command of click's tree."""
    if command is None:
        from dtl_core.cli import main as command
    return _COMMANDS_TEXT + _command(command, None, "dtl")


def _command(command, parent, name):
    context = click.Context(command, info_name=name, parent=parent)
    path, below = context.command_path, getattr(command, "commands", {})
    text = f"\n({_target(path)})=\n## {escape(path)}\n\n"
    text += fence("text", " ".join([path, *command.collect_usage_pieces(context)])) + f"\n\n{blocks(command.help)}\n"
    records = filter(None, (given.get_help_record(context) for given in command.get_params(context)))
    told = [(names.replace("|", "¦"), what) for names, what in records if what or names[0] == "-"]  # not of arguments
    options = [[code(names).replace("¦", "\\|"), inline(what)] for names, what in told]
    text, rows = text + _table(["option", "what it does"], options), []
    for name, sub in below.items():
        rows.append([f"{{ref}}`{name} <{_target(f'{path} {name}')}>`", inline(sub.get_short_help_str(200))])
    text += "\n" + _table(["command", "what it does"], rows) if rows else ""
    return text + "".join(_command(sub, context, name) for name, sub in below.items())


_SETTINGS_TEXT = """# Settings

Everything that a run depends on besides code and data. `dtl run --set NAME=VALUE` replaces one setting of a profile,
with the name and the form of the value as they are here: lists with commas, `true` or `false`. In Python,
{py:obj}`load_profile() <dtl_core.config.load_profile>` takes them as a dictionary. The defaults are those of profile
`paper`; another profile's value stands below where it differs.
"""


def _value(value):
    """A value as ``--set`` takes it."""
    text = ",".join(map(_value, value)) if isinstance(value, tuple) else str(value)
    return text.lower() if isinstance(value, bool) else text


def _allowed(setting):
    if setting.choices:
        return f"One of {', '.join(map(code, setting.choices))}."
    if setting.low is not None:
        return f"From {setting.low:.10g} to {setting.high:.10g} {setting.unit}".strip() + "."
    return f"In {setting.unit}." if setting.unit else ""


def settings_page():
    """Make the page of all settings.

    Returns
    -------
    str
        Markdown, a row for each setting: type, default, values of the profiles that differ, what it is and may be.
    """
    profiles = {name: {s.name: s.value for s in config.settings(config.load_profile(name))} for name in config.PROFILES}
    groups = {}
    for setting in config.settings(config.Config()):
        name, kind = setting.name, setting.kind
        kind = f"list of {kind.__args__[0].__name__}" if hasattr(kind, "__args__") else kind.__name__
        values = {setting.value: []}
        for profile, own in profiles.items():
            values.setdefault(own[name], []).append(profile)
        shown = [code(_value(setting.value)) if setting.value != () else "(none)"]
        if name != "profile":
            shown += [f"{', '.join(who)}: {code(_value(value))}" for value, who in list(values.items())[1:]]
        what = filter(None, [inline(setting.about[0].upper() + setting.about[1:] + "."), _allowed(setting)])
        row = [f"{code(name)}<br>{kind}", "<br>".join(shown), "<br>".join(what)]
        groups.setdefault((name.rpartition(".")[0], setting.group), []).append(row)
    text = _SETTINGS_TEXT
    for (group, owner), rows in groups.items():
        text += f"\n(settings-{_target(group) or 'run'})=\n## {group or 'The run'}\n\n"
        text += blocks(owner.__doc__) + "\n" + _table(["setting", "default", "what it is"], rows)
    return text


def reference_files():
    """All pages of the reference: name below ``book/generated`` -> text; the same code gives the same pages."""
    modules = read_modules()
    files = {f"reference/{name}.md": module_page(modules, module) for name, module in modules.items()}
    files |= {"reference.md": _overview(modules), "command_line.md": command_page()}
    return files | {"settings.md": settings_page()}
