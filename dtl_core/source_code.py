"""Hashes of source code: what a stored result depends on is what its code imports, directly or not."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from pathlib import Path

__all__ = ["closure", "code_hash", "code_hashes", "module_hash", "register", "versions"]


# Text of all modules by dotted name. Read on import, with the code that runs: a source edited later must not lend its
# hash to the results of older code.
_SOURCES = {}
_PACKAGES = set()


def register(package, folder):
    """Count the modules in a folder as code that results can depend on, under the dotted name of their package."""
    for path in sorted(Path(folder).rglob("*.py")):
        parts = (package, *path.relative_to(folder).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        _SOURCES[name] = path.read_text(encoding="utf-8")
        if path.name == "__init__.py":
            _PACKAGES.add(name)
    code_hashes.cache_clear()


def _without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "setting":
            node.args = node.args[:1]  # the default, without the help text
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":  # annotations compute nothing
            node.body = [ast.Pass()]
    return tree


@functools.cache
def _parsed(name):
    """A module's hash, in which comments, docstrings and layout do not count, and the modules that it imports."""
    tree = _without_docstrings(ast.parse(_SOURCES[name]))
    package = name if name in _PACKAGES else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in _SOURCES}
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:  # of a package either a module or what its __init__ defines
                found |= {f"{module}.{alias.name}", module} & set(_SOURCES) - _PACKAGES
                if module in _PACKAGES and f"{module}.{alias.name}" not in _SOURCES:
                    found.add(module)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(found - {name})


def module_hash(name):
    """SHA-256 of a module's code, without comments, docstrings and layout."""
    return _parsed(name)[0]


def closure(*names):
    """Modules of this package that some modules reach by imports, those within functions included, and themselves.

    Parameters
    ----------
    *names : str
        Dotted names, such as ``dtl_core.estimates.density``; names outside of the package are left out.

    Returns
    -------
    tuple of str, sorted
    """
    seen, waiting = set(), [name for name in names if name in _SOURCES]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _parsed(name)[1]
    return tuple(sorted(seen))


@functools.cache
def code_hashes(*names):
    """Module -> hash of all modules in the :func:`closure` of some; of the whole package if none is named."""
    return {name: module_hash(name) for name in (closure(*names) if names else sorted(_SOURCES))}


_LIBRARIES = ("astropy", "numba", "numpy", "pandas", "scipy", "torch", "umap-learn")


@functools.cache
def versions():
    """Versions of what the numbers depend on."""
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python} | {name: version(name) for name in _LIBRARIES}


def code_hash(*names):
    """Twenty digits for the code that some modules reach and the versions of what numbers depend on."""
    text = json.dumps([code_hashes(*names), versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


register(__package__, Path(__file__).parent)
