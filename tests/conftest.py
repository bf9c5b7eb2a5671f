"""What the tests share: one small run of the whole method for the session."""

import os
import re
import shutil
import tempfile
from pathlib import Path

os.environ["DTL_CACHE"] = tempfile.mkdtemp(prefix="dtl-cache-")  # no test sees or changes the user's own
os.environ.pop("DTL_OFFLINE", None)

import perturbed  # noqa: E402
import published  # noqa: E402
import pytest  # noqa: E402
from small import TINY  # noqa: E402

from dtl_core import book, pages, pipeline  # noqa: E402
from dtl_core.config import data_mirror  # noqa: E402

perturbed.install()
ROOT = Path(__file__).resolve().parents[1]
SHARED = {"smoke", "executed", "built"}  # fixtures that take minutes


def _asking(fixtures):
    asks = re.compile(rf"\bdef \w+\([^)]*\b({'|'.join(fixtures)})\b")
    return {path.name for path in (ROOT / "tests").glob("test_*.py") if asks.search(path.read_text())}


SHARING = _asking(SHARED)
ON_TINY = _asking({"tiny"}) - SHARING


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With several test processes (``-n 2``): the files that share the session's run go to one, others file by file.

    By files, because the groups of pytest-xdist 3.8 do nothing under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            name = Path(file).name
            return "the session's run" if name in SHARING else "the tiny run" if name in ON_TINY else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """Tests marked ``data`` need the public data; everything else must pass without. Tests that say a bound by
    ``bounds.bounded`` are marked ``trained``.

    What shares the session's run begins first, because it takes longest.
    """
    stray = {item.path.name for item in items if SHARED.intersection(item.fixturenames)} - SHARING
    if stray:  # it would make the run once more in another process
        raise pytest.UsageError(f"{', '.join(sorted(stray))}: name the shared fixture in the function that wants it")
    for item in items:
        if "bounded" in item.function.__code__.co_names:
            item.add_marker("trained")
    items.sort(key=lambda item: (item.path.name not in SHARING, item.path.name not in ON_TINY))
    if data_mirror() is None:
        absent = pytest.mark.skip(reason="DTL_DATA does not name the folder of public data")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(absent)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own; neither the user's mirror nor switches are seen."""
    monkeypatch.setenv("DTL_CACHE", str(tmp_path / "cache"))
    for name in ("DTL_DATA", "DTL_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder like the public tables': the layout is theirs, the numbers are ours."""
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    return published.write_tables(tmp_path / "published")


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Folder of the session's results; notebooks and commands find it through DTL_RESULTS."""
    folder = perturbed.results() or tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DTL_RESULTS", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A finished run of the smallest settings."""
    root = tmp_path_factory.mktemp("tiny")
    return pipeline.run("smoke", overrides=TINY | {"workers": 1}, root=root, quiet=True)


@pytest.fixture(scope="session")
def smoke(results):
    """The finished ``smoke`` run."""
    return pipeline.run("smoke", quiet=True)


@pytest.fixture(scope="session")
def executed(smoke, tmp_path_factory):
    """A copy of the book's sources with all notebooks executed on the session's smoke run."""
    root = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("notebooks", "generated"))
    book.execute("smoke", root=root, workers=2)
    pages.write(smoke, root)
    return root


@pytest.fixture(scope="session")
def built(executed):
    """Folder of the HTML book built from it."""
    return book.build(executed).parent
