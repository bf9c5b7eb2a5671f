"""What an installation without extras can do, and what it says about the rest."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from dtl_core.cli import main
from dtl_core.errors import ConfigError
from dtl_core.estimates import gap
from dtl_core.extras import import_extra
from dtl_core.plots import gluing
from dtl_core.public_data import archives

# One module of each package that only an extra brings.
OPTIONAL = (
    "IPython astroquery corner ipykernel itables jax jupyter_book matplotlib myst_nb numba numpyro ot papermill plotly "
    "pyarrow sklearn snakemake specutils torch umap zarr zuko"
).split()
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL!r})); from dtl_core.cli import main; "


def blocked(code, folder):
    """Standard output and error of code in a process that has no optional package."""
    return subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, cwd=folder)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    assert CliRunner().invoke(main, ["examples", str(folder / "stars")]).exit_code == 0
    return folder


@pytest.mark.slow
def test_prediction_preparation_and_data_need_no_extra(examples):
    commands = [
        ["predict", "stars", "-o", "catalogue.csv"],
        ["prepare", "stars"],
        ["data", "list"],
        ["data", "where"],
        ["info"],
    ]
    commands += [["models", "list"], ["predict", "stars", "-o", "again.csv", "--workers", "2"]]
    code = "from click.testing import CliRunner; "
    code += f"[print(CliRunner().invoke(main, words).exit_code) for words in {commands!r}]"
    done = blocked(code, examples)
    assert (done.returncode, done.stdout.split()) == (0, ["0"] * len(commands)), done.stderr
    assert (examples / "catalogue.csv").read_text() == (examples / "again.csv").read_text() != ""


@pytest.mark.slow
def test_runs_and_models_of_ones_own_name_the_extra(examples):
    remedy = "torch is not installed; pip install 'dtl-mdwarfs[train]'"
    commands = [["run", "--profile", "smoke"], ["predict", "stars", "--adapt"], ["models", "build", "-o", "own"]]
    code = "from click.testing import CliRunner; "
    code += f"[print(CliRunner().invoke(main, words).stderr) for words in {commands!r}]; "
    code += "import dtl_core\ntry: dtl_core.load().adapt('stars')\nexcept Exception as error: print(error)"
    done = blocked(code, examples)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines == [f"dtl: {remedy}"] * 3 + [remedy]


@pytest.mark.slow
def test_explain_names_the_extra(examples):
    star = next((examples / "stars").iterdir()).name
    done = blocked(f"main(['explain', 'stars/{star}'])", examples)
    assert (done.returncode, done.stderr) == (2, "dtl: matplotlib is not installed; pip install 'dtl-mdwarfs[plots]'\n")


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("matplotlib", "plots", ["predict", "{stars}", "--plots", "{folder}/plots"]),
        ("pyarrow", "survey", ["predict", "{stars}", "-o", "{folder}/catalogue.parquet", "--workers", "1"]),
        ("papermill", "book", ["book"]),
    ],
)
def test_commands_name_the_extra(examples, tmp_path, monkeypatch, module, extra, arguments):
    monkeypatch.setitem(sys.modules, module, None)
    arguments = [word.format(stars=examples / "stars", folder=tmp_path) for word in arguments]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.strip() == f"dtl: {module} is not installed; pip install 'dtl-mdwarfs[{extra}]'"


def test_functions_name_the_extra(monkeypatch):
    for module in ("astroquery", "IPython", "ot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"astroquery is not installed; pip install 'dtl-mdwarfs\[archives\]'"):
        archives.gaia_table([1])
    with pytest.raises(ConfigError, match=r"IPython is not installed; pip install 'dtl-mdwarfs\[book\]'"):
        gluing.glue_all({"a": 1})
    with pytest.raises(ConfigError, match=r"pot is not installed; pip install 'dtl-mdwarfs\[metrics\]'"):
        gap.sliced_wasserstein([[0.0]] * 9, [[1.0], [2.0]] * 9)


def test_a_package_that_lacks_one_of_its_own_is_no_missing_extra(tmp_path, monkeypatch):
    (tmp_path / "incomplete_package.py").write_text("import absent_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_dependency"):
        import_extra("incomplete_package", "plots")
