"""What the source says of itself, for the book's reference: modules as they are written, docstrings as Markdown.

    modules = read_modules()     name -> Module: public names, their definitions, comments
    blocks(docstring, link)      Markdown of a docstring; ``inline`` for one line of text

Nothing is imported for it. Docstrings are not parsed as reStructuredText: what is none of the forms that the package's
have is shown as it is written, so that none breaks the book.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import re
import textwrap
import tokenize
from pathlib import Path

from .markdown import NBSP, code, escape

__all__ = ["Module", "blocks", "comment_of", "fence", "fields", "home_of", "inline", "links", "methods", "read_modules"]


# ---------------------------------------------------------------- docstrings

_INLINE = re.compile(
    r"``(?P<code>.+?)``|:(?P<role>[a-z:]+):`(?P<target>[^`]+)`|`(?P<plain>[^`]+)`"
    r"|(?<![\w*])\*(?P<stress>[^\s*](?:[^*]*[^\s*])?)\*(?![\w*])"
    r"|(?P<url>https?://[^\s<>()`|\\]*[\w/])|(?<![\w-])(?P<option>--[a-z][\w-]*)|\b(?P<module>dtl_core\.\w+)"
)


_LABEL = r"(?:Arguments|Returns|Yields|Errors|Source|Columns)"
_ENTRY = re.compile(r"([\w*`][\w*`.,\[\]()'\" /-]*?) :(?: (.*)|$)")
_nowhere = {}.get  # links nothing


def inline(text, link=_nowhere):
    """One line of Markdown of a docstring's text, in which nothing else than code, formulae and links is marked up.

    ``link`` gives the Markdown of what a role or a class's name leads to, or None.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    out, last = "", 0
    for found in _INLINE.finditer(text):
        out, last = out + _plain(text[last : found.start()]), found.end()
        kind, value = found.lastgroup, found[found.lastgroup]
        if kind == "stress":
            out += f"*{inline(value, link)}*"
        elif kind == "url":
            out += f"<{value}>"
        elif kind == "target" and found["role"] == "math":
            out += "{{math}}`{}`".format(value.replace("\\|", "\\Vert ").replace("|", "\\vert "))  # a bar ends a cell
        else:
            named = kind in ("target", "module") or re.fullmatch(r"[A-Z]+[a-z]\w*", value)
            out += (link(value) if named else None) or code(value.lstrip("~"))
    return out + _plain(text[last:])


def _plain(text):
    inner = text.strip()
    return text.replace(inner, escape(inner)) if inner else text


def _start(markdown):
    """Markdown whose first character begins no list, comment, target or fence."""
    return re.sub(r"^(\d*)([-+=:%(.)!])", r"\1\\\2", markdown)


def fence(info, text):
    """A block of code or a directive, longer than any that it holds."""
    longest = max(map(len, re.findall(r"^\s*(~{3,})", text, re.M)), default=2)
    return f"{'~' * (longest + 1)}{info}\n{text}\n{'~' * (longest + 1)}"


def _example(lines):
    text, kind = textwrap.dedent("\n".join(lines)), "text"
    with contextlib.suppress(SyntaxError, ValueError):
        kind = ast.parse(text) and "python"
    return fence(kind, text)


def blocks(text, link=_nowhere):
    """Markdown of a whole docstring: paragraphs, lists, examples, formulae, and sections with their entries."""
    lines, out, k = inspect.cleandoc(text or "").splitlines(), [], 0
    while k < len(lines):
        end = k + 1
        if formula := re.match(r"(\s*)\.\. math::(.*)", lines[k]):
            depth = len(formula[1])
            while end < len(lines) and (not lines[end].strip() or lines[end][: depth + 1].isspace()):
                end += 1
            out.append(fence("{math}", "\n" + textwrap.dedent("\n".join([formula[2].strip(), *lines[k + 1 : end]]))))
        elif lines[k].isprintable() and lines[k].strip() and re.fullmatch("-{3,}", "".join(lines[end : end + 1])):
            out.append(f"**{inline(lines[k], link)}**")
            end += 1
        elif lines[k].strip():
            while end < len(lines) and lines[end].strip() and ".. math::" not in lines[end]:
                if re.fullmatch("-{3,}", "".join(lines[end + 1 : end + 2])):
                    break
                end += 1
            after_entry = out and lines[k][0] == " " and ("\n: " in out[-1] or out[-1].startswith("  "))
            out += [f"  {_start(inline(' '.join(lines[k:end]), link))}"] if after_entry else _block(lines[k:end], link)
        k = end
    return "\n\n".join(out) + "\n"


def _block(lines, link):
    """Lines without an empty one between them, as a list of Markdown blocks."""
    if lines[0].strip() == "\b" and lines[1:]:  # click's mark of what it leaves as it is
        lines = lines[1:]
        titled = lines[0].rstrip().endswith(":")
        return [f"**{inline(lines[0], link)}**"] * titled + [fence("text", textwrap.dedent("\n".join(lines[titled:])))]
    if all(line[0] == " " for line in lines) or any(re.search(r"\S {3,}\S|^>>>", line) for line in lines):
        return [_example(lines)]
    items, bullet = [], re.match(r"[-*] ", lines[0])
    for line in lines:
        if not items or (line[0] != " " and (not bullet or re.match(r"[-*] ", line))):
            items.append([line[2:] if bullet else line])
        else:
            items[-1].append(line)
    if _ENTRY.match(lines[0]) and not bullet:
        return _entries(items, link)
    if bullet or (len(items) > 1 and len(items) < len(lines)):
        return ["\n".join(f"- {_start(inline(' '.join(item), link))}" for item in items)]
    parts = re.split(rf"(?<=[.)]) (?={_LABEL}: )", " ".join(" ".join(lines).split()))
    return [re.sub(rf"^({_LABEL}):", r"**\1:**", _start(inline(part, link))) for part in parts]


def _entries(items, link):
    """A definition list of ``name : type`` with what is written below; two may stand in a line, behind ``;  ``."""
    found = []
    for item in items:
        for part in re.split(r";\s+(?=[\w, *]+ : )", item[0]):
            entry = _ENTRY.match(part)
            if entry:
                found.append([entry[1], entry[2] or ""])
            else:
                found[-1][1] += f" {part}"
        if rest := " ".join(item[1:]).strip():
            wrapped = len(item[0]) > 95 or rest[0].islower() or re.search(r"[.,;:]$", item[0])
            found[-1][1] += f" {rest}" if wrapped else f". {rest}"
    return [
        f"{inline('``' + names.replace('`', '') + '``', link)}\n: {_start(inline(what, link)) or NBSP}"
        for names, what in found
    ]


# ---------------------------------------------------------------- modules as they are written

# Taken on import, like the hashes of the store: the pages are kept under a key of the code that runs.
_SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))}


@dataclasses.dataclass(frozen=True)
class Module:
    """A module as it is written."""

    name: str
    doc: str
    public: tuple  # names of its ``__all__``
    nodes: dict  # name -> syntax tree of its definition
    imports: dict  # name -> (module of the package, its name there)
    comments: dict  # line -> comment
    alone: set  # the lines with nothing but a comment


def read_modules(sources=None):
    """All modules with ``__all__``: name -> :class:`Module`.

    Arguments: sources, name -> text; by default the package's, as they were when it was imported.
    """
    found = [_read(name, source) for name, source in (sources or _SOURCES).items()]
    return {module.name: module for module in found if module}


def _read(name, source):
    tree, public, nodes, imports = ast.parse(source), None, {}, {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            nodes[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            nodes |= {n.id: node for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            if "__all__" in nodes and public is None:
                public = tuple(ast.literal_eval(node.value))
        elif isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            imports |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    if public is None:
        return None
    tokens = tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__)
    comments = [t for t in tokens if t.type == tokenize.COMMENT and not re.match("# ?(-|fmt:|noqa)", t.string)]
    alone = {t.start[0] for t in comments if t.line.lstrip().startswith("#")}
    texts = {t.start[0]: t.string.lstrip("# ") for t in comments}
    return Module(name, ast.get_docstring(tree) or "", public, nodes, imports, texts, alone)


def home_of(modules, module, name):
    """The module in which a name is defined, and its name there; (None, name) where it is not in a public module."""
    while module and name not in module.nodes:
        other, name = module.imports.get(name, (None, name))
        module = modules.get(other)
    return module, name


def methods(node):
    """Name -> definition of the public methods that a class defines itself."""
    return {n.name: n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}


def comment_of(module, node):
    """What stands behind a definition, or else in the lines right above it."""
    behind = [module.comments[n] for n in (node.end_lineno, node.lineno) if n in module.comments]
    above, line = [], node.lineno - 1
    while line in module.alone:
        above.insert(0, module.comments[line])
        line -= 1
    return behind[0] if behind else " ".join(above)


def fields(node):
    """Definitions of the fields of a dataclass or a named tuple."""
    return [n for n in node.body if isinstance(n, ast.AnnAssign)]


def links(modules, module, owner=None):
    """The argument ``link`` of :func:`inline` for names as they are seen in a module, or in a class of it.

    Returns: function of a dotted name -> Markdown, or None where it is nothing public of the package.
    """

    def link(target):
        path = target.strip().lstrip("~").removesuffix("()").removeprefix("dtl_core.").split(".")
        here = module
        if path[0] in modules and (len(path) > 1 or target.strip("~").startswith("dtl_core.")):
            here, *path = modules[path[0]], *path[1:]
            if not path:
                return f"{{py:mod}}`dtl_core.{here.name}`"
        if here is module and owner is not None and path[0] in methods(owner):
            path = [owner.name, *path]
        home, name = home_of(modules, here, path[0])
        node = home and home.nodes.get(name)
        if not home or name not in home.public or len(path) > 2:
            return None
        shown = name + "()" * isinstance(node, ast.FunctionDef)
        if len(path) == 2:
            if not isinstance(node, ast.ClassDef) or path[1] not in methods(node):
                return None
            name, shown = f"{name}.{path[1]}", f"{'' if owner is node else name + '.'}{path[1]}()"
        return f"{{py:obj}}`{shown} <dtl_core.{home.name}.{name}>`"

    return link
