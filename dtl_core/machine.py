"""Resources of the machine: cores and memory for worker processes, memory used, and a description for records."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from pathlib import Path

__all__ = [
    "affordable_workers",
    "describe",
    "load_umap",
    "one_thread",
    "peak_memory",
    "reset_peak_memory",
    "tree_memory",
]


def affordable_workers(memory_each=1.2e9):
    """Number of worker processes for which this machine has cores and memory, at least one.

    Containers such as Binder's show all cores of their host but allow little memory, so their limit is read as well.

    Parameters
    ----------
    memory_each : float, bytes

    Returns
    -------
    int
    """
    free = []
    for file, read in (
        ("/proc/meminfo", lambda text: 1024 * int(text.split("MemAvailable:")[1].split()[0])),
        ("/sys/fs/cgroup/memory.max", int),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", int),
    ):
        try:
            free.append(read(Path(file).read_text()))
        except (OSError, ValueError, IndexError):
            continue  # another system, or no limit ("max")
    return max(1, min(_cores(), int(min(free) // memory_each) if free else _cores()))


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread():
    """Limit NumPy and PyTorch to one thread in this process: the same bytes, and small networks run faster."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for PyTorch, if it is imported later
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def load_umap():
    """Import the module ``umap``, which is slow.

    It caches compiled functions beside its files or in the home folder. If neither is writable, numba refuses to import
    it; the cache is then a temporary folder that exists until the process ends.

    Returns
    -------
    module
    """
    try:
        import umap
    except RuntimeError as error:
        if "no locator" not in str(error):
            raise
        import atexit
        import shutil
        import tempfile

        import numba

        numba.config.CACHE_DIR = tempfile.mkdtemp(prefix="dtl-numba-")
        atexit.register(shutil.rmtree, numba.config.CACHE_DIR, ignore_errors=True)
        import umap
    _cache_compiled("umap.umap_", "umap.layouts", "umap.utils")
    return umap


def _cache_compiled(*modules):
    """Let numba keep what it compiles of some modules for later processes; umap-learn asks it for few functions."""
    from numba.core.dispatcher import Dispatcher

    for module in filter(None, map(sys.modules.get, modules)):
        for function in vars(module).values():
            if isinstance(function, Dispatcher) and function.py_func.__module__ == module.__name__:
                function.enable_caching()


def _tree(pid):
    """Numbers of a process and its descendants."""
    family = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            family += [other for child in path.read_text().split() for other in _tree(int(child))]
    return family


def tree_memory(pid):
    """Memory of a process and its descendants now.

    Parameters
    ----------
    pid : int

    Returns
    -------
    list of int, bytes
        One per process, with shared pages divided among them; empty if unknown.
    """
    sizes = []
    for each in _tree(pid):
        with contextlib.suppress(OSError, AttributeError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            sizes.append(1024 * int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)))
    return sizes


def reset_peak_memory():
    """Restart the measurement of :func:`peak_memory`, where the system can do that (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory():
    """Largest resident memory of this process since its start or :func:`reset_peak_memory`.

    Returns
    -------
    float, bytes
        NaN if unknown.
    """
    try:
        return 1024.0 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1))
    except (OSError, AttributeError):
        return float("nan")


def describe():
    """Describe the conditions of a speed measurement: processor, cores, memory, system, versions, GPU.

    Returns
    -------
    dict
        Of plain values; ``torch`` is None if PyTorch is not installed.
    """
    import numpy as np

    try:
        import torch
    except ModuleNotFoundError:  # predictions do without
        torch = None
    name, memory = platform.processor(), float("nan")
    with contextlib.suppress(OSError, AttributeError):
        name = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()).group(1)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return {
        "processor": name,
        "cores": _cores(),
        "memory_gb": round(memory, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch and torch.__version__,
        "numpy": np.__version__,
        "gpu": torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None,
    }
