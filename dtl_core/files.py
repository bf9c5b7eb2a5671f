"""Files written atomically, hashes, and named arrays on disk."""

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
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_path(path):
    """A hidden path beside ``path`` to write to, which becomes ``path`` in the end, or is gone if writing fails.

    What a link leads to is replaced, not the link. Devices, pipes and folders are never replaced: OSError.
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
    """Write text or bytes to a file, in a folder made for it, whole or not at all.

    Returns: Path. Errors: DTLError, the file cannot be written.
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
    """Write named numpy arrays or tensors as safetensors: the same arrays give the same bytes.

    Errors: OSError, the file cannot be written.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    plain = {name: np.ascontiguousarray(getattr(value, "cpu", lambda v=value: v)()) for name, value in arrays.items()}
    try:
        save_file(plain, str(path))
    except SafetensorError as error:  # of a full disk it says so in its text alone
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def load_arrays(path):
    """Named numpy arrays of a safetensors file.

    Errors
    ------
    StoreError : missing or broken file.
    """
    from safetensors.numpy import load_file

    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise StoreError("not found", file=path, remedy="run the stage again") from None
    except Exception as error:  # safetensors raises its own kinds
        raise StoreError(
            f"cannot be read ({type(error).__name__})", file=path, remedy="delete it and run again"
        ) from None
