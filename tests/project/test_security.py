"""What SECURITY.md promises of the code, held to the code: no pickle, no shell, no evaluation of text."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / "dtl_core").glob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "tarfile", "zipfile"}
CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "torch.load", "pd.read_pickle", "pandas.read_pickle",
         "shutil.unpack_archive", "yaml.load", "subprocess.getoutput"}  # fmt: skip


def dangers(text):
    """What a source does that could run somebody else's code or write outside its folder: list of str."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"import {name}" for name in names if name.split(".")[0] in MODULES]
        if isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
            found += [name] if name in CALLS else []
            if name in ("np.load", "numpy.load"):
                safe = isinstance(given.get("allow_pickle"), ast.Constant) and given["allow_pickle"].value is False
                found += [] if safe else ["np.load that may unpickle"]
            found += ["a shell"] if "shell" in given else []
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_module_runs_what_it_reads(path):
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from joblib import load", "eval(text)", "torch.load(path)", "np.load(path)",
     "np.load(path, allow_pickle=True)", "subprocess.run(line, shell=True)", "os.system(line)", "import zipfile as z",
     "yaml.load(text)"],
)  # fmt: skip
def test_the_check_sees_what_it_is_for(text):
    assert dangers(text)


def test_the_workflow_puts_quoted_names_of_our_own_alone_into_a_shell():
    text = (ROOT / "workflow" / "Snakefile").read_text()
    lines = [line.partition("shell:")[2].strip() for line in text.splitlines() if "shell:" in line]
    ours = {line for line in lines if line.startswith('"{PYTHON:q} -m workflow.jobs')}
    assert len(lines) > 8 and set(lines) - {"JOB"} == ours
    job = next(line for line in text.splitlines() if line.startswith("JOB = "))
    for line in [job, *set(lines) - {"JOB"}]:
        fields = {name.strip("{}") for name in re.findall(r"\{[^{}]+\}", line)}
        assert fields <= {"PYTHON:q", "FILE:q", "log:q", "rule", "wildcards.key"}, line
    assert 'key="[0-9a-f]+"' in text  # what a wildcard may be
