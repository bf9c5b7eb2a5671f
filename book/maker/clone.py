"""The clone: its top folder and its notebooks."""

from __future__ import annotations

from pathlib import Path

from dtl_core.errors import ConfigError

__all__ = ["find_root", "notebooks"]


def find_root(root=None):
    """The clone's top folder: ``root`` if given, else that of the installed sources, else the working directory.

    Raises
    ------
    ConfigError
        None of them has ``_config.yml`` and ``notebooks/``.
    """
    candidates = [Path(root)] if root else [Path(__file__).resolve().parents[2], Path.cwd()]
    for folder in candidates:
        if (folder / "_config.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise ConfigError(
        "no _config.yml and notebooks/ here", file=candidates[-1], remedy="run in a clone of the repository"
    )


def notebooks(root, only=None):
    """The source notebooks in order; ``only`` keeps those of these names (``04_regression``) or numbers (``04``).

    Raises
    ------
    ConfigError
        A name in ``only`` is not a notebook, or there is none at all.
    """
    folder = Path(root) / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise ConfigError("holds no notebook NN_name.ipynb", file=folder, remedy="restore it from git")
    if only is None:
        return found
    for name in only:
        if name not in [known for path in found for known in (path.stem, path.stem[:2])]:
            names = ", ".join(path.stem for path in found)
            raise ConfigError(f"unknown notebook {name!r}", field="only", remedy=f"choose from {names}")
    return [path for path in found if path.stem in only or path.stem[:2] in only]
