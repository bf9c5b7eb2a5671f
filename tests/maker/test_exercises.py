"""Solutions of the exercises in the notebooks: each runs as it stands there, and its answer holds in the smoke run."""

import re
import symtable
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from bounds import bounded

from dtl_core.networks.fine_tuning import reconstruction_error
from dtl_core.pipeline import conduct

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = r"^:::\{dropdown\} Solution\n```python\n(.*?)^```\n.+?^:::"  # code, and an answer
NOTEBOOKS = ("01_domain_gap", "02_pretraining", "03_fine_tuning", "04_regression")


def exercises(name):
    """Names the code of each solution by the title of its exercise."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    found = {}
    for cell in cells:
        if ":::{dropdown} Solution" in cell.source:
            (title,) = re.findall(r"^### (.*)", cell.source, re.M)
            (found[title],) = re.findall(SOLUTION, cell.source, re.M | re.S)
    return found


def bound_and_read(source):
    """Names that a piece of code sets, and those that it reads without setting them."""
    tables = [symtable.symtable(source, "cell", "exec")]
    bound = {one.get_name() for one in tables[0].get_symbols() if one.is_assigned() or one.is_imported()}
    read = {one.get_name() for one in tables[0].get_symbols()}
    while tables:  # bodies of functions and comprehensions
        tables += (table := tables.pop()).get_children()
        read |= {one.get_name() for one in table.get_symbols() if one.is_global()}
    return bound, read - bound


def needed(name, codes):
    """The cells of a notebook that set what some codes read, in order; figures that nothing reads are left out."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code" and "%pip" not in cell.source]
    wanted, kept = set().union(*(bound_and_read(code)[1] for code in codes)), []
    for source in reversed(sources):
        bound, read = bound_and_read(source)
        if bound & wanted:
            wanted |= read
            kept.insert(0, source)
    return kept


@pytest.fixture
def solved(smoke, monkeypatch):
    """A function: what the names stand for after each solution of a notebook, by the title of the exercise."""
    monkeypatch.setattr(conduct, "run", lambda *args, **kwargs: smoke)

    def solve(name):
        codes, start, after = exercises(name), {}, []
        for source in needed(name, codes.values()):
            exec(source, start)
        for code in codes.values():
            after.append(dict(start))
            exec(code, after[-1])
        plt.close("all")
        return after

    return solve


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_of_the_method_has_exercises_with_solutions(name):
    assert 2 <= len(exercises(name)) <= 3
    assert needed(name, exercises(name).values())[-1] and all(len(code) < 1200 for code in exercises(name).values())


def test_the_cells_that_a_solution_needs_are_found():
    codes = exercises("02_pretraining").values()
    kept = "\n".join(needed("02_pretraining", codes))
    assert "history = fit(model, loss" in kept and "def new_network" in kept
    assert "def trained(" not in kept, "sets a name of the solutions inside a function only"
    assert bound_and_read("def f(a):\n    b = a + c\n    return b\nd = [e for e in f(g)]") == ({"f", "d"}, {"c", "g"})


@pytest.mark.slow
@pytest.mark.uses_smoke
def test_the_answers_of_the_domain_gap_hold(solved):
    resolution, floor, labels = solved("01_domain_gap")
    coarse, fine = resolution["coarse"], resolution["sizes"]
    assert all(
        coarse[name] < 0.95 * fine[name] for name in ("codes", "line_strength", "missing_lines", "unknown_lines")
    )
    assert coarse["noise"] == pytest.approx(fine["noise"], rel=0.1)
    assert floor["among_synthetic"] < 0.5 * floor["of_stars"]
    error, known = labels["error"], labels["known"]
    assert error["teff"].std() < 0.4 * known["teff"].std() and abs(error["teff"].mean()) < 0.2 * known["teff"].std()
    assert error["logg"].std() > 0.8 * known["logg"].std()
    assert error["mh"].mean() > 0.5 * known["mh"].std()


@pytest.mark.slow
@pytest.mark.uses_smoke
def test_the_answers_of_pretraining_hold(solved):
    bottleneck, l1, seed = solved("02_pretraining")
    bounded(
        "error of one unit over that of 32",
        bottleneck["narrow_history"]["test"][-1] / bottleneck["history"]["test"][-1],
        above=1.2,
    )
    bounded(
        "zeros of the sparse network more than those of the first",
        l1["zeros"]["sparse"] - l1["zeros"]["first"],
        above=0.05,
    )
    bounded("error of the sparse network over the first", l1["error"]["sparse"] / l1["error"]["first"], above=2)
    bounded("errors of two seeds apart", np.ptp(np.log(seed["pair_error"].numpy())), below=1)
    bounded("correlation of a unit in two networks", np.median(np.abs(seed["same_unit"])), below=0.7)


@pytest.mark.slow
@pytest.mark.uses_smoke
def test_the_answers_of_fine_tuning_hold(solved):
    frozen, control = solved("03_fine_tuning")
    none, five = frozen["rows"]
    bounded("latents moved with no frozen layer over those with five", none["moved"] / five["moved"], above=1.5)
    bounded(
        "errors with no and with five frozen layers apart", abs(np.log(none["test MSE"] / five["test MSE"])), below=0.4
    )
    errors = [
        reconstruction_error(control[name], control["stars"][control["test"]]).item() for name in ("before", "control")
    ]
    bounded("error after tuning on synthetic spectra over before", errors[1] / errors[0], above=0.6)
    bounded("error after tuning on stars over before", none["test MSE"] / errors[0], below=0.5)


@pytest.mark.slow
@pytest.mark.uses_smoke
def test_the_answers_of_regression_hold(solved):
    gravity, votes = solved("04_regression")
    rms = {name: np.sqrt((error**2).mean()) for name, error in gravity["errors"].items()}
    bounded("error of log g over its spread, synthetic", rms["synthetic"] / gravity["spreads"]["synthetic"], below=0.7)
    bounded("error of log g over its spread, stars", rms["stars"] / gravity["spreads"]["stars"], above=0.6)
    rms = votes["rms_of"]
    bounded("error of the mean over that of single votes", rms["their mean"] / rms["single votes"], below=0.97)
    bounded(
        "error of the mean over that of independent votes",
        rms["their mean"] / rms["if they were independent"],
        above=1.3,
    )
