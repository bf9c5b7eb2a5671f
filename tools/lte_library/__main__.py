"""Command line: ``python -m tools.lte_library COMMAND --help``."""

import argparse
import time
from pathlib import Path

import numpy as np

from .library import (
    CODES,
    choose_nodes,
    compare,
    make_grid,
    make_other_survey,
    make_sensitivities,
    make_survey,
    read_library,
)
from .linelists import prepare_lists
from .other_physics import N_STARS
from .physics import Physics
from .sources import prepare_sources
from .workspace import Workspace, replacing_file, stop

EXAMPLES = """\
examples:
  python -m tools.lte_library prepare build/lte
  python -m tools.lte_library node build/lte 3200 5.0 -0.25
  python -m tools.lte_library node build/lte 3200 5.0 -0.25 --code B --out star.npz
  python -m tools.lte_library grid build/lte grid_a.npz --jobs 4
  python -m tools.lte_library survey build/lte dtl_core/data/lte/survey_b.npz survey_b.npz --jobs 4
  python -m tools.lte_library other-survey build/lte dtl_core/data/lte/survey_c_a.npz --code A --jobs 4
  python -m tools.lte_library sensitivities build/lte dtl_core/data/lte/sensitivities.npz --jobs 4
  python -m tools.lte_library check build/lte dtl_core/data/lte/grid_a.npz --nodes 4 --seed 1

Code A is Turbospectrum, code B is MOOG.  `prepare` takes 1 to 2 minutes and 0.3 GB in the folder WORK; a
spectrum takes 5 to 30 seconds of one core, the longest below 2500 K.  Labels: Teff in K, log g in cgs,
[M/H] in dex.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m tools.lte_library",
        description="Make the synthetic M-dwarf libraries at 8788-8848 A (air), or check existing ones.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("work", type=Path, metavar="WORK", help="working folder")
        command.set_defaults(run=run)
        return command

    add("prepare", run_prepare, "download and compile the codes, write the line lists")

    command = add("node", run_node, "compute one spectrum and print a summary")
    command.add_argument("label", type=float, nargs=3, metavar=("TEFF", "LOGG", "MH"), help="Teff, log g, [M/H]")
    command.add_argument("--code", choices=sorted(CODES), default="A", help="A or B (default A)")
    for name, value in Physics._field_defaults.items():
        about = f"see `Physics` in physics.py (default {value:g})"
        command.add_argument(f"--{name}", type=float, default=value, metavar="X", help=about)
    command.add_argument("--out", type=Path, metavar="FILE.npz", help="save wave, norm and cont here")

    command = add("grid", run_grid, "compute set A, 552 spectra")
    command.add_argument("out", type=Path, metavar="OUT.npz", help="file to write")
    _add_jobs(command)

    command = add("survey", run_survey, "compute set B for the labels of an existing file")
    command.add_argument("labels", type=Path, metavar="LABELS.npz", help="file with label and population")
    command.add_argument("out", type=Path, metavar="OUT.npz", help="file to write")
    _add_jobs(command)

    command = add("other-survey", run_other_survey, "compute a survey C, of other physics")
    command.add_argument("out", type=Path, metavar="OUT.npz", help="file to write")
    command.add_argument("--code", choices=sorted(CODES), required=True, help="A or B")
    command.add_argument("--stars", type=_positive, default=N_STARS, metavar="N", help=f"default {N_STARS}")
    _add_jobs(command)

    command = add("sensitivities", run_sensitivities, "compute the changes of spectra of code A with the physics")
    command.add_argument("out", type=Path, metavar="OUT.npz", help="file to write")
    _add_jobs(command)

    command = add("check", run_check, "recompute some spectra of a library; exit 1 if one differs")
    command.add_argument("library", type=Path, metavar="LIBRARY.npz", help="grid or survey file")
    command.add_argument("--nodes", type=_positive, default=4, metavar="N", help="number of spectra (default 4)")
    command.add_argument("--seed", type=int, default=0, help="seed of their choice (default 0)")
    command.add_argument(
        "--tolerance",
        type=float,
        default=2e-3,
        help="largest difference in flux over continuum (default 2e-3)",
    )
    _add_jobs(command)
    return top


def _add_jobs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes (default 1)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def run_prepare(work: Workspace, args: argparse.Namespace) -> None:
    """Command `prepare`."""
    prepare_sources(work)
    print(prepare_lists(work))


def run_node(work: Workspace, args: argparse.Namespace) -> None:
    """Command `node`."""
    work.require_prepared()
    physics = Physics(*(getattr(args, name) for name in Physics._fields))
    spectrum = CODES[args.code](work, *args.label, physics)
    teff, logg, mh = args.label
    print(
        f"code {args.code}, {teff:g} {logg:g} {mh:+g}: flux over continuum {spectrum.norm.min():.5f} to "
        f"{spectrum.norm.max():.5f}, mean {spectrum.norm.mean():.5f}; "
        f"continuum {spectrum.cont.mean():.4e} erg/s/cm2/A"
    )
    if args.out:
        with replacing_file(args.out) as part, open(part, "wb") as file:
            np.savez_compressed(file, **spectrum._asdict())


def run_grid(work: Workspace, args: argparse.Namespace) -> None:
    """Command `grid`."""
    work.require_prepared()
    make_grid(work, args.out, args.jobs)


def run_survey(work: Workspace, args: argparse.Namespace) -> None:
    """Command `survey`."""
    work.require_prepared()
    make_survey(work, args.labels, args.out, args.jobs)


def run_other_survey(work: Workspace, args: argparse.Namespace) -> None:
    """Command `other-survey`."""
    work.require_prepared()
    make_other_survey(work, args.code, args.out, args.jobs, args.stars)


def run_sensitivities(work: Workspace, args: argparse.Namespace) -> None:
    """Command `sensitivities`."""
    work.require_prepared()
    make_sensitivities(work, args.out, args.jobs)


def run_check(work: Workspace, args: argparse.Namespace) -> None:
    """Command `check`."""
    work.require_prepared()
    library = read_library(args.library)
    indices = choose_nodes(library.label[:, 0], min(args.nodes, len(library.label)), args.seed)
    worst = 0.0
    print(f"{args.library}, code {library.code}: |difference| in flux over continuum")
    for found in compare(work, library, indices, args.jobs):
        worst = max(worst, found.largest)
        teff, logg, mh = found.label
        print(
            f"  {teff:7.1f} {logg:6.3f} {mh:+7.3f}  max {found.largest:.1e}  median {found.median:.1e}"
            f"  continuum (relative) {found.cont:.1e}",
            flush=True,
        )
    # written so that a NaN fails
    if not worst <= args.tolerance:
        stop(
            f"largest difference {worst:.1e} is above the tolerance {args.tolerance:.1e}",
            file=args.library,
            remedy="see which package, compiler or label changed",
        )
    print(f"largest difference {worst:.1e}, within the tolerance {args.tolerance:.1e}")


def main(argv: list[str] | None = None) -> None:
    """Run the command line, by default on the arguments of this process."""
    args = parser().parse_args(argv)
    start = time.monotonic()
    args.run(Workspace.at(args.work), args)
    print(f"{args.command}: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
