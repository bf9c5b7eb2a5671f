"""The files around the code agree with each other: pins, versions, notebooks, make targets, what is committed."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from clone import committed

import dtl_core
from dtl_core.cli import terminal
from dtl_core.synthetic import libraries

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = (
    "01_domain_gap",
    "02_pretraining",
    "03_fine_tuning",
    "04_regression",
    "05_literature",
    "06_activity_kinematics",
    "07_does_transfer_close_the_gap",
    "08_your_own_star",
    "09_consensus",
    "10_the_286_stars",
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = re.compile(r"dtl-mdwarfs\[([a-z,]+)\]")  # extras that an extra includes


def extra(name):
    """Requirements of an extra, with those of the extras that it includes."""
    requirements = []
    for requirement in PROJECT["optional-dependencies"][name]:
        included = OWN.fullmatch(requirement)
        requirements += [r for n in included[1].split(",") for r in extra(n)] if included else [requirement]
    return requirements


def pins(requirements):
    """{name: version} of requirements that are all pinned with ==."""
    found = {}
    for requirement in requirements:
        name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", requirement).groups()
        assert name not in found, f"{name} is listed twice"
        found[re.sub(r"[-_.]+", "-", name).lower()] = version
    return found


def environment(path):
    return yaml.safe_load(path.read_text())


def test_modules_that_need_the_extra_train_are_those_that_it_installs():
    modules = {"scikit-learn": "sklearn", "umap-learn": "umap"}
    assert {modules.get(name, name) for name in pins(extra("train"))} == set(terminal.TRAINING)


def test_every_dependency_is_pinned_and_extras_agree():
    merged = pins(PROJECT["dependencies"])
    for chosen in PROJECT["optional-dependencies"]:
        for name, version in pins(extra(chosen)).items():
            assert merged.setdefault(name, version) == version, name
            assert name not in pins(PROJECT["dependencies"]), f"{name} is required anyway"


def test_conda_environment_repeats_the_pins():
    listed = environment(ROOT / "environment.yml")["dependencies"]
    (pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    wanted = pins(PROJECT["dependencies"] + sorted({*extra("app"), *extra("book")}))
    assert pins(line for line in pip if not line.startswith("-")) == wanted
    assert "python=3.11" in listed
    assert not any(line.startswith("-e") for line in pip), "Binder reads this file from another folder"


def test_binder_reads_the_same_environment_and_installs_the_package():
    assert environment(ROOT / ".binder" / "environment.yml") == environment(ROOT / "environment.yml")
    post_build = ROOT / ".binder" / "postBuild"
    assert "pip install --no-deps -e ." in post_build.read_text()
    assert "dtl run --profile demo" in post_build.read_text()  # notebooks find its results
    assert post_build.stat().st_mode & 0o100, "postBuild is executable"


def test_pins_are_what_is_installed():
    from importlib.metadata import version

    wanted = pins(PROJECT["dependencies"] + sorted({*extra("test"), *extra("book")}))
    different = {name: version(name) for name, pin in wanted.items() if version(name).split("+")[0] != pin}
    assert not different


def test_hooks_use_the_pinned_tools():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revisions = {repo["repo"].rsplit("/", 1)[1]: repo["rev"].removeprefix("v") for repo in hooks}
    test = pins(extra("test"))
    assert revisions == {"ruff-pre-commit": test["ruff"], "nbstripout": test["nbstripout"]}


def test_one_version_everywhere():
    assert "version" in PROJECT["dynamic"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M).group(1)
    assert str(citation["version"]) == dtl_core.__version__ == newest


def test_console_script():
    assert PROJECT["scripts"] == {"dtl": "dtl_core.cli:main"}
    (script,) = entry_points(group="console_scripts", name="dtl")
    assert callable(script.load())
    command = Path(sys.executable).with_name("dtl")
    shown = subprocess.run([command, "--help"], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0 and "figures" in shown.stdout


def test_openmp_threads_wait_passively():
    code = "import os; os.environ.pop('OMP_WAIT_POLICY', None); import dtl_core; print(os.environ['OMP_WAIT_POLICY'])"
    code += "; import sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "PASSIVE"


def test_all_notebooks_are_there_and_in_the_book():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == [*NOTEBOOKS, "app"]
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    shown = sorted(page for page in pages if page.startswith("notebooks/"))  # by topic in the book
    assert shown == [f"notebooks/{name}" for name in NOTEBOOKS]
    made = ("notebooks/", "generated/")  # by dtl book
    assert all((ROOT / "book" / f"{page}.md").is_file() for page in pages if not page.startswith(made))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_clean_and_has_a_profile_and_badges(name):
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    badges = "".join(cells[1]["source"])  # hidden in the book, which has launch buttons and loads nothing
    assert badges.count(f"notebooks/{name}.ipynb)") == 2 and cells[1]["metadata"]["tags"] == ["remove-cell"]
    assert "mybinder.org/v2/gh/dtl-mdwarfs/" in badges and "colab.research.google.com/github/dtl-mdwarfs/" in badges
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code), "run nbstripout"
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert re.search(r"^profile\s*=", "".join(tagged[0]["source"]), re.M)


def figures(text):
    """(directive, argument, options) of every figure of a page."""
    found = re.findall(r"^(?:`{3,}|:{3,})\{(glue:figure|glue|figure|image)\}\s*(\S*)\n((?::.*\n)*)", text, re.M)
    return [(name, argument, dict(re.findall(r"^:(\w+): *(.*)$", options, re.M))) for name, argument, options in found]


def page_text(path):
    """The Markdown of a page or of a notebook."""
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "".join("".join(cell["source"]) + "\n\n" for cell in cells if cell["cell_type"] == "markdown")


PAGES = sorted([*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_figure_has_an_alternative_text(path):
    text = page_text(path)
    assert text.count("{glue:figure}") == sum(name == "glue:figure" for name, *_ in figures(text))
    assert not re.search(r"!\[\]\(|<img\b(?![^>]*\balt=)", text)
    written = {argument: options.get("alt", "") for name, argument, options in figures(text) if name != "glue"}
    for argument, alt in written.items():
        assert len(alt) >= 40 and alt.endswith("."), argument
        assert not re.search(r"\d", alt), f"{argument}: numbers come from a run"
        assert not re.search(r"[$`*_<>{}\[\]\\#\"]|: ", alt), f"{argument}: plain text, which YAML reads as it is"
    assert len(set(written.values())) == len(written)
    for name, key, options in figures(text):  # such a figure keeps the text that it has in its notebook
        if name == "glue" and key.startswith("fig_"):
            there = figures(page_text(ROOT / options["doc"]))
            assert [o["alt"] for n, k, o in there if (n, k) == ("glue:figure", key)], f"{key} has no text to keep"


def test_no_large_file_is_committed():
    assert not {str(path.relative_to(ROOT)): size for path in committed() if (size := path.stat().st_size) > 5e6}


def test_embedded_data_is_small_and_packaged():
    data = [path for path in (ROOT / "dtl_core" / "data").rglob("*") if path.is_file()]
    assert {f"{name}.npz" for name in libraries.EMBEDDED} <= {path.name for path in data}
    models = sum(path.stat().st_size for path in data if path.parent.name == "models")
    assert 1e6 < models < 20e6 and sum(path.stat().st_size for path in data) - models < 15e6


def test_make_has_the_two_commands_and_ci_runs_the_tests():
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^book:", makefile, re.M) and re.search(r"^test:", makefile, re.M)
    run = ROOT / ".ci" / "run"
    assert re.search(r"^make test$", run.read_text(), re.M) and run.stat().st_mode & 0o100
    readme = (ROOT / "README.md").read_text()
    assert "make book" in readme and "make test" in readme
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps and "make book" in steps


def test_the_nightly_check_of_links_reads_the_book_and_counts_only_pages_that_are_gone():
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())["jobs"]["book"]
    steps = [step.get("run", step.get("uses", "")).partition("@")[0] for step in job["steps"]]
    assert steps.index("make book") < steps.index("lycheeverse/lychee-action")
    _, config, *pages = shlex.split(job["env"]["LINKS"])
    assert "_build/html/**/*.html" in pages
    settings = tomllib.loads((ROOT / config).read_text())
    ends = [[int(end) for end in entry.split("..=")] for entry in settings["accept"]]
    accepted = {code for first, *last in ends for code in range(first, (last or [first])[0] + 1)}
    assert {200, 403, 429, 500, 503} <= accepted and not accepted & {400, 404, 410, 451}
    links = "https://doi.org/10.1051/0004-6361/202449865 https://github.com/dtl-mdwarfs/dtl-mdwarfs/blob/main/README.md".split()
    assert not [link for link in links for pattern in settings["exclude"] if re.search(pattern, link)]


def test_citation_keys_of_pages_and_notebooks_exist():
    bibliography = re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(), re.M)
    assert len(bibliography) == len(set(bibliography))
    text = "".join(path.read_text() for path in (ROOT / "book").glob("*.md"))
    text += "".join(path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb"))
    cited = {key.strip() for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", text) for key in keys.split(",")}
    assert cited <= set(bibliography)
