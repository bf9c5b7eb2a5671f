"""Pages of the book that are made from code and from a run: origins of the data, real stars, lines, fidelity.

    write(run)      book/generated/*.md and *.svg, which ``book.build`` then finds

The same run gives the same bytes, and nothing on the pages depends on where a file lies on this machine.
"""

from __future__ import annotations

import time
from urllib.parse import quote, unquote

from dtl_core.files import file_hash, write_atomic
from dtl_core.public_data import registry
from dtl_core.synthetic import label_grid

from .benchmark_page import benchmark_page
from .clone import find_root, notebooks
from .consensus_pages import consensus_files
from .counterparts import counterparts_page
from .documents import document
from .explore import explore_files
from .fidelity import fidelity_page
from .interpolation_page import interpolation_page
from .landing_page import landing_files
from .latent_map import latent_files
from .line_corrections_page import line_corrections_files
from .markdown import cite, code, escape, table
from .model_page import model_files
from .quick_look import quick_look_files
from .real_stars_page import real_stars_page
from .reproduction_page import reproduction_page
from .results_page import results_files
from .settings_page import settings_page
from .sliders import slider_files
from .star_pages import star_files
from .workflow_page import workflow_files

__all__ = ["cut_page", "registry_page", "write"]


TITLES = {
    "published": "Published tables",
    "hpf": "Real spectra (HPF)",
    "linelists": "Line lists",
    "labels": "Labels of the paper's training set",
    "phoenix": "PHOENIX-ACES library",
    "isochrones": "Isochrones",
    "vizier": "Catalogues at CDS",
    "gaia": "Gaia",
    "embedded": "Embedded in the package",
    "models": "Trained models",
}


# ---------------------------------------------------------------- origins of the data


def _size(n):
    return f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{max(n / 1e3, 0.1):.1f} kB" if n else ""


def _origin(resource):
    if resource.catalogue:
        return f"From [{escape(resource.catalogue)}](<{resource.url}/viz-bin/VizieR?-source={resource.catalogue}>)"
    if not resource.url:
        return "In the package" if resource.kind == "embedded" else "No single origin"
    host, *path = resource.url.removeprefix("https://").split("/")
    place = "/".join(path[:2]) if host == "raw.githubusercontent.com" else host
    return f"From [{escape(place)}](<{resource.url}>)"


_REGISTRY_TEXT = """# Where the data come from

This page lists every data set that the project uses: what it is, its size and licence, how to cite it, where it comes
from, and what was compared with the origin. It is made from the package's registry.

```bash
dtl data fetch                # all fixed files
dtl data fetch hpf vizier     # groups, or single names
dtl data verify               # compare all that is there with its SHA-256
```

A file is looked for in the folder that `DTL_DATA` names, then in the cache (`DTL_CACHE`, or the user's cache folder).
The network is used by `dtl data fetch`, `dtl reproduce`, `make book` and, for stars named by an identifier,
`dtl predict --photometry`, and by none of them with `DTL_OFFLINE=1`. A download whose SHA-256 differs from the
registry's is refused, and `dtl data verify` finds what was damaged since; the tables show its first twelve digits.
"""


def registry_page():
    """The page on all resources of :mod:`dtl_core.public_data.registry`: a table for each group."""
    text = _REGISTRY_TEXT
    groups = dict.fromkeys(r.group for r in registry.resources())
    for group in groups:
        found = registry.resources(group)
        notes = list(dict.fromkeys(r.checked for r in found))
        rows = [
            [
                "<br>".join(filter(None, [code(r.name), _size(r.size), r.sha256 and f"`{r.sha256[:12]}`"])),
                f"{escape(r.what)}.<br>Licence: {escape(r.licence)}.<br>"
                + (f"Cite {cite(r.cite)}.<br>" if r.cite else "")
                + f"{_origin(r)}; checked: ({notes.index(r.checked) + 1}).",
            ]
            for r in found
        ]
        text += f"\n## {TITLES.get(group, escape(group))}\n\nGroup {code(group)}.\n\n"
        text += table(["name, size, SHA-256", "what, licence, citation, origin, what was checked"], rows)
        text += "\nChecked:\n\n" + "".join(f"{k}. {escape(note)}\n" for k, note in enumerate(notes, 1))
    return text


def cut_page():
    """The part of the method page that says how well the rule for the main-sequence cut agrees with the paper's."""
    n = label_grid.CUT_AGREEMENT
    return (
        f"On the paper's grid of labels the rule keeps {n['rule']} combinations, the paper {n['paper']}. "
        f"{n['both']} are the same ({n['both'] / n['paper']:.1%} of the paper's), {n['only_rule']} are in the "
        f"rule's set only, {n['only_paper']} in the paper's only. Nearly all of these lie one step from the other "
        "set; agreement is weakest where Teff is highest and combinations are few.\n"
    )


# ---------------------------------------------------------------- all of them


def write(run, root=None):
    """Write all generated pages of the book, each whole or not at all.

    Parameters
    ----------
    run : dtl_core.pipeline.stored.Run
        Finished.
    root : path, optional
        The clone's top folder.

    Returns
    -------
    list of Path

    Raises
    ------
    DTLError
        A page cannot be written.
    """
    target = find_root(root) / "book" / "generated"
    print(f"{'pages from data and code':<42}", end="", flush=True)
    start = time.perf_counter()

    def compute(folder):
        for name, content in _files(run).items():
            write_atomic(folder / quote(name, safe=""), content)

    listed = {"registry.toml": file_hash(registry.__file__.removesuffix(".py") + ".toml")}  # hashes of the models too
    folder = document(run, "pages", {}, listed, compute, __name__)
    made = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
    written = [write_atomic(target / unquote(path.name), path.read_bytes()) for path in made]
    print(f"{time.perf_counter() - start:7.1f} s", flush=True)
    return written


def _files(run):
    """Name below ``book/generated`` -> text or bytes."""
    files = {"registry.md": registry_page(), "interpolation.md": interpolation_page(run)}
    files |= {"main_sequence.md": cut_page(), "fidelity.md": fidelity_page(run), "benchmarks.md": benchmark_page()}
    files |= {"real_stars.md": real_stars_page()} | line_corrections_files()
    files |= {"reproduction.md": reproduction_page(root=run.store.root)}
    files |= landing_files() | results_files(run)
    files |= {"counterparts.md": counterparts_page()}
    files |= {"settings.md": settings_page()} | model_files() | workflow_files(len(notebooks(find_root())))
    files |= star_files(run) | explore_files(run) | latent_files(run)
    return files | consensus_files(run) | slider_files(run) | quick_look_files()
