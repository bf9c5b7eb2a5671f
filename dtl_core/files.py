"""Atomic writing, hashes, and named arrays on disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import uuid
from pathlib import Path

from .errors import DTLError, StoreError

DATA = Path(__file__).parent / "data"  # of the package: embedded libraries, trained models, records

__all__ = ["DATA", "atomic_path", "file_hash", "load_arrays", "save_arrays", "write_atomic"]


def file_hash(path):
    """SHA-256 of a file.

    Parameters
    ----------
    path : path

    Returns
    -------
    str
        Hexadecimal.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_path(path):
    """Context of a temporary file that replaces another if nothing fails, and is deleted otherwise.

    A symbolic link stays; the file that it points to is replaced.

    Parameters
    ----------
    path : path

    Yields
    ------
    Path
        The temporary file to write to, hidden in the same folder.

    Raises
    ------
    OSError
        ``path`` is a folder, device or pipe.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dtl_core.files import atomic_path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("complete")
    ...     (Path(folder) / "a.txt").read_text()
    'complete'
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "there is a folder or device of this name")
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        yield part
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_atomic(path, content):
    """Write text or bytes to a file atomically; missing folders are created.

    Parameters
    ----------
    path : path
    content : str or bytes

    Returns
    -------
    Path

    Raises
    ------
    DTLError
        The file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        remedy = "free disk space, correct the permissions or choose another name"
        raise DTLError(problem, file=path, remedy=remedy) from None
    return path


def save_arrays(path, arrays):
    """Write named arrays as safetensors: the same arrays give the same bytes.

    Parameters
    ----------
    path : path
    arrays : dict
        Name -> numpy array or tensor.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    plain = {name: np.ascontiguousarray(getattr(value, "cpu", lambda v=value: v)()) for name, value in arrays.items()}
    try:
        save_file(plain, str(path))
    except SafetensorError as error:  # a full disk is only named in its text
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def load_arrays(path):
    """Read named arrays from a safetensors file.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        Name -> numpy array.

    Raises
    ------
    StoreError
        The file is missing or broken.
    """
    from safetensors.numpy import load_file

    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise StoreError("not found", file=path, remedy="run the stage again") from None
    except Exception as error:  # safetensors raises its own types
        raise StoreError(
            f"cannot be read ({type(error).__name__})", file=path, remedy="delete it and run again"
        ) from None
