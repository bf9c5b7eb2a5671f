"""Hashes of source code: a stored result depends on the modules that its code imports, directly or indirectly."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
import threading
from pathlib import Path

__all__ = ["closure", "code_hash", "code_hashes", "imports", "module_hash", "register", "versions"]


# Text of all modules by dotted name, read at import: results must have the hash of the code that runs, not of a source
# that was edited afterwards.
_SOURCES = {}
_PACKAGES = set()
_PARSER = threading.Lock()  # under Python 3.11 two threads that parse at once may end in a SystemError


def register(package, folder):
    """Register the modules in a folder as code that results can depend on.

    Parameters
    ----------
    package : str
        Its dotted name.
    folder : path
    """
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
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":  # used by annotations only
            node.body = [ast.Pass()]
    return tree


@functools.cache
def _parsed(name):
    """Hash of a module without comments, docstrings, layout and help texts, and the modules that it imports."""
    with _PARSER:
        tree = _without_docstrings(ast.parse(_SOURCES[name]))
    package = name if name in _PACKAGES else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in _SOURCES}
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:  # of a package, a module or a name defined in its __init__
                found |= {f"{module}.{alias.name}", module} & set(_SOURCES) - _PACKAGES
                if module in _PACKAGES and f"{module}.{alias.name}" not in _SOURCES:
                    found.add(module)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(found - {name})


def module_hash(name):
    """SHA-256 of a module's code, without comments, docstrings, layout and help texts of settings.

    Parameters
    ----------
    name : str
        Dotted.

    Returns
    -------
    str
    """
    return _parsed(name)[0]


def imports(name):
    """Modules that a module imports itself, of the package and of other registered code.

    Parameters
    ----------
    name : str
        Dotted.

    Returns
    -------
    tuple of str
        Sorted.
    """
    return tuple(sorted(_parsed(name)[1]))


def closure(*names):
    """Modules of this package that some modules import, directly or indirectly or within functions, and themselves.

    Parameters
    ----------
    *names : str
        Dotted, such as ``dtl_core.estimates.density``; modules outside of the package are ignored.

    Returns
    -------
    tuple of str
        Sorted.
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
    """Hashes of all modules in the :func:`closure` of some.

    Parameters
    ----------
    *names : str
        Dotted; if none is given, all modules of the package.

    Returns
    -------
    dict
        Module -> hash.
    """
    return {name: module_hash(name) for name in (closure(*names) if names else sorted(_SOURCES))}


_LIBRARIES = ("astropy", "numba", "numpy", "pandas", "scipy", "torch", "umap-learn")


@functools.cache
def versions():
    """Versions of Python and the libraries that numbers depend on.

    Returns
    -------
    dict
        Name -> version, None if it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    def installed(name):
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python} | {name: installed(name) for name in _LIBRARIES}


def code_hash(*names, libraries=True):
    """Hash of the code in the :func:`closure` of some modules and of the versions of libraries.

    Parameters
    ----------
    *names : str
        Dotted.
    libraries : bool
        Include the versions.

    Returns
    -------
    str
        Twenty hexadecimal digits.
    """
    text = json.dumps([code_hashes(*names), versions() if libraries else {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


register(__package__, Path(__file__).parent)
