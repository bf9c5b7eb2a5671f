"""The page on the paper's own inputs: what `dtl reproduce` gave, or that it was not run, and how it was tested.

Its figures come from the last reproduction among the results, from the recorded times of the profile, and from the
record ``reproduction``, which ``benchmarks/reproduction.py`` writes.
"""

from __future__ import annotations

from dtl_core.errors import DataError
from dtl_core.literature import templates
from dtl_core.parameters import TABLE
from dtl_core.pipeline import records, reproduction
from dtl_core.public_data import phoenix_nodes
from dtl_core.public_data.phoenix import WINDOW
from dtl_core.spectra.spectrum import RANGE

from .markdown import NBSP, cite, code, escape, number, table

__all__ = ["reproduction_page"]


_NAMES = {name: escape(p.symbol) for name, p in TABLE.items()}
_FORMS = {name: f".{p.digits}f" for name, p in TABLE.items()}

_TEXT = f"""# The 286 stars themselves

`make paper`, or `dtl reproduce`, runs the paper {cite(["masbuitrago2024"], "p")} on its own inputs: it fetches CARMENES
spectra of the stars and the nodes of PHOENIX-ACES {cite(["husser2013"], "p")} that the labels need, runs the method at
R = 94{NBSP}600, and compares the catalogue with the published one. [Notebook 10](../notebooks/10_the_286_stars.ipynb)
shows the stars one by one.

```bash
dtl reproduce --until needs          # how much there is to fetch; fetches nothing
dtl reproduce --until fetch --yes    # the downloads alone
make paper                           # everything, profile paper-fast
make paper PROFILE=paper             # the paper's recipe, for a GPU
dtl reproduce --stars J17578+046 --stars J07274+052 --profile smoke
```
"""
_ORIGINS = (
    "\n## Where the spectra come from\n\n"
    + table(
        ["what", "origin", "if it fails"],
        [
            [
                "templates of the stars",
                f"CDS, J/A+A/680/A73 {cite(['nagel2023'], 'p')}",
                "the same templates at the CARMENES archive; then all nights of GTO data release 1 "
                f"{cite(['ribas2023'], 'p')}, co-added here (about {templates.NIGHTS_BYTES / 1e6:.0f} MB per star, "
                "confirmed separately)",
            ],
            [
                "nodes of PHOENIX-ACES",
                "the server of Göttingen",
                "its older address; a node that is missing is interpolated between its neighbours, up to "
                f"{100 * phoenix_nodes.MOST_MISSING:.0f} % of them",
            ],
            [
                "published tables",
                "the paper's repository",
                "CDS for the catalogue; without a table, its comparison is left out",
            ],
        ],
    )
    + f"""
Each file is fetched once, read, cut to {RANGE[0]:.0f}-{RANGE[1]:.0f} Å (stars) or {WINDOW[0]:.0f}-{WINDOW[1]:.0f} Å
(nodes), and removed. The cut has the hash and the address of the file. An interrupted command continues where it
stopped. A star or node that cannot be obtained is listed with the reason, and the run continues without it. A file is
refused if it is not complete, cannot be read, or names another star in its header. `DTL_CARMENES_URL` and
`DTL_PHOENIX_URL` name other servers with the same paths.

**Not verified:** none of these origins could be reached where this was written. The addresses, the form of the file
names and the size and extensions of a template at the CARMENES archive, and the older address of PHOENIX-ACES, are
those that other public programs use. The layout of the folder at CDS is assumed from the rules for all of its
catalogues: files are found by the identifier in their names, in the folder or one below it, or else by the tables that
its ReadMe describes.

## What differs from the paper

- The paper's templates are not corrected for telluric absorption; those of {cite(["nagel2023"])} are.
- The labels are those that a rule keeps, not the paper's own list ([method](../method.md)).
- A run has at least {reproduction.SIMULATED} simulated stars. They are used in the fine-tuning and in the
  measured distances, but not in the comparison.
- `paper-fast` trains for a shorter time than `paper` ([running it](../running.md)).
"""
)


def reproduction_page(folder=None, root=None):
    """The page as Markdown.

    Parameters
    ----------
    folder : path, optional
        Folder of the record.
    root : path, optional
        Folder of the results.
    """
    found = reproduction.last_reproduction(root)
    real = found is not None and found["official"]
    text = _TEXT + (_result(found) if real else _not_run(found))
    return text + _ORIGINS + _mock(folder)


def _hours(about):
    if about["hours"] is None:
        return "no run of this profile is on record"
    return f"{number(about['hours'], '.1f')} hours on {about['cores']} cores, from the record of this profile"


def _not_run(found):
    """What to expect of a run that has not taken place here."""
    about, stars = reproduction.expected(), reproduction.N_STARS
    other = "The available results are from a server that is not one of the published origins. " if found else ""
    return (
        f"\n## Not run here\n\n{other}It has not been run on the real spectra where this book was made. What to "
        "expect:\n\n"
        + table(
            ["", "from scratch"],
            [
                ["files to fetch", f"{about['files']}: {stars} templates, {about['nodes']} nodes, the wavelengths"],
                ["to fetch", f"{number(about['gb'], '.1f')} GB"],
                ["kept on disk", f"{number(about['kept_gb'], '.2f')} GB"],
                ["the run, `paper-fast`", _hours(about)],
                ["the run, `paper`", _hours(reproduction.expected(profile="paper"))],
            ],
        )
        + "\nThe time of the download depends on the network; there are two connections per server.\n"
    )


def _comparison(parameters):
    rows = [
        [_NAMES[p], str(row["N"]), *(number(row[k], _FORMS[p]) for k in ("mean_diff", "std_diff", "rmse"))]
        + [number(row["pearson_r"], ".2f"), *(number(row[k], _FORMS[p]) for k in ("error_ours", "error_published"))]
        + [number(100 * row["inside"], ".0f")]
        for p, row in parameters.items()
    ]
    header = ["published minus ours", "stars", "mean", "scatter", "rmse", "r", "our error", "published error"]
    return table([*header, "% inside both"], rows)


def _numbers(counts):
    return (
        f"Of the {counts['stated']} numbers that the paper states on its catalogue and the literature, "
        f"{counts['known']} can be calculated here: {counts['equal']} are equal in all printed digits, and "
        f"{counts['comes_out']} agree within two standard errors.\n"
    )


def _result(found):
    """The comparison of a run on the real spectra."""
    have = found["stars"] - len(found["missing_stars"]) - len(found["refused"])
    text = f"\n## Our run on the real spectra\n\nProfile {code(found['profile'])}: {have} of {found['stars']} stars, "
    text += f"{found['nodes'] - len(found['missing_nodes'])} of {found['nodes']} nodes, from "
    text += ", ".join(f"{code(name)} ({count})" for name, count in found["origins"].items()) + ".\n\n"
    text += _comparison(found["parameters"]) + "\n" + _numbers(found["numbers"])
    for source, both in found["coverage"].items():
        shares = [f"{one['inside']} of {one['N']}" for one in (both["ours"], both["published"])]
        text += f"\n{escape(source)}: our error bars contain {shares[0]} values, the published ones {shares[1]}.\n"
    missing = found["missing_stars"] | found["missing_nodes"] | dict.fromkeys(found["refused"], "refused")
    if missing:
        text += "\nMissing or refused:\n\n" + "".join(f"- {escape(n)}: {escape(w)}\n" for n, w in missing.items())
    return text


def _mock(folder):
    """How the command was tested, with the figures of the record."""
    head = "\n## Tested on imitated origins only\n\n"
    try:
        entry = records.read("reproduction", folder)["values"]["mock"]
    except (DataError, KeyError):
        return head + "Not recorded yet: `python benchmarks/reproduction.py` writes the record.\n"
    v = entry["values"]
    text = (
        f"{head}All of the command has been tested, but only against a server on the loopback address: "
        f"{records.dated(entry)}. The server has the layouts described above, names and sizes of the published files, "
        f"and **simulated** spectra: {v['stars']} stars of our set B at R = 94{NBSP}600, and {v['nodes']} nodes with "
        "the spectra of our grid A. The truth with known errors replaces the published catalogue. "
        "Some files were missing, cut, stalled, damaged or of another star, and the download was interrupted once.\n\n"
    )
    rows = [
        ["profile", code(v["profile"])],
        ["from scratch to the compared catalogue", f"{number(v['seconds'], '.0f')} s"],
        ["of these, the downloads", f"{number(v['fetch_seconds'], '.0f')} s"],
        ["sent by the server", f"{number(v['bytes_sent'] / 1e9, '.2f')} GB in {v['requests']} answers"],
        ["sent before the interruption", f"{number(v['bytes_before_interruption'] / 1e9, '.2f')} GB"],
        ["files resumed afterwards", str(v["resumed"])],
        ["requests of the run after that, for what was missing", str(v["requests_of_the_run"])],
        ["kept", f"{number(v['bytes_kept'] / 1e6, '.0f')} MB in {v['files_kept']} files"],
        ["stars missing, listed", f"{v['missing_stars']} of {v['stars']}"],
        ["nodes missing, interpolated", f"{v['missing_nodes']} of {v['nodes']}"],
    ]
    text += table(["", "imitated origins"], rows)
    text += "\nThe networks of this profile are small: the figures test the command, not the method.\n\n"
    results = [
        [_NAMES[p], *(number(row[k], _FORMS[p]) for k in ("rmse_truth", "bias_truth", "spread_truth"))]
        + [number(row["r_truth"], ".2f")]
        + [number(row[k], _FORMS[p]) for k in ("rmse_published", "rmse_of_published_errors")]
        for p, row in v["results"].items()
    ]
    header = [
        "",
        "rmse, truth",
        "bias, truth",
        "spread of truth",
        "r, truth",
        "rmse, published",
        "published: true error",
    ]
    return text + table(header, results)
