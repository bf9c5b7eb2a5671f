"""Shared fixtures: one small run of the whole method per session, and the book made from it."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ["DTL_CACHE"] = tempfile.mkdtemp(prefix="dtl-cache-")  # tests neither read nor change the user's cache
os.environ.pop("DTL_OFFLINE", None)

import browser  # noqa: E402
import perturbed  # noqa: E402
import published  # noqa: E402
import pytest  # noqa: E402
from _pytest.nodes import coerce_node_id  # noqa: E402
from small import TINY  # noqa: E402

from book.maker import execution, html, pages  # noqa: E402
from dtl_core.pipeline import conduct  # noqa: E402
from dtl_core.public_data.registry import data_mirror  # noqa: E402

perturbed.install()
ROOT = Path(__file__).resolve().parents[1]
# Markers of tests with fixtures that take minutes: of several test processes, one gets all tests with such a fixture.
SHARED = {"uses_smoke": {"first_notebook", "smoke", "executed", "built"}, "uses_tiny": {"tiny"}}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Distribute tests to processes (``-n 3``): those that share a run to one process, the others by file.

    The groups of pytest-xdist 3.8 have no effect under pytest 9.2, so the marker becomes part of the test's name.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByRun(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            name, at, group = nodeid.rpartition("@@")
            return group if at else nodeid.split("::")[0]

    return ByRun(config, log)


def pytest_collection_modifyitems(config, items):
    """Skip tests marked ``data`` where there is no public data, and mark tests that call ``bounded`` as ``trained``.

    Tests that share a run start first, because they take longest.
    """
    for item in items:
        groups = [marker for marker in SHARED if item.get_closest_marker(marker)]
        needed = [marker for marker, fixtures in SHARED.items() if fixtures & set(getattr(item, "fixturenames", ()))]
        if needed and not groups:
            raise pytest.UsageError(f"{item.nodeid}: mark it with pytest.mark.{needed[0]}, whose fixture it uses")
        if needed and hasattr(config, "workerinput"):
            item._id = coerce_node_id(f"{item.nodeid}@@{groups[0]}")  # what the scheduler is told
        function = getattr(item, "function", None)  # the example of a docstring has none
        if function and "bounded" in function.__code__.co_names:
            item.add_marker("trained")
        if "chromium" in getattr(item, "fixturenames", ()):
            # a browser that died says nothing of the page: it is started again, twice at most
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun="TargetClosedError"))
            missing = "no chromium on this machine (Debian: apt install chromium)"
            item.add_marker(pytest.mark.skipif(browser.CHROMIUM is None, reason=missing))
    items.sort(key=lambda item: [not item.get_closest_marker(marker) for marker in SHARED])
    if data_mirror() is None:
        absent = pytest.mark.skip(reason="DTL_DATA does not name the folder of public data")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(absent)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; the user's mirror and offline switch are hidden."""
    monkeypatch.setenv("DTL_CACHE", str(tmp_path / "cache"))
    for name in ("DTL_DATA", "DTL_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder of tables in the layout of the published ones, with invented numbers."""
    monkeypatch.setenv("DTL_DATA", str(tmp_path))
    return published.write_tables(tmp_path / "published")


@pytest.fixture(scope="module")
def chromium():
    """The system's browser, for all tests of a module."""
    pytest.importorskip("playwright.sync_api")
    with browser.chromium() as started:
        yield started


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Folder of the session's results, which notebooks and commands find through DTL_RESULTS.

    With DTL_TEST_RESULTS it is kept: the next session finds the stages whose code has not changed.
    """
    kept = os.environ.get("DTL_TEST_RESULTS")
    folder = perturbed.results() or (Path(kept).resolve() if kept else tmp_path_factory.mktemp("results"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DTL_RESULTS", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A finished run of the smallest settings."""
    root = tmp_path_factory.mktemp("tiny")
    return conduct.run("smoke", overrides=TINY | {"workers": 1}, root=root, quiet=True)


@pytest.fixture(scope="session")
def first_notebook(results, tmp_path_factory):
    """Execute the first notebook before the run has any results; its error, or None."""
    import papermill

    folder = tmp_path_factory.mktemp("alone")
    files = str(ROOT / "notebooks" / "01_domain_gap.ipynb"), str(folder / "out.ipynb")
    try:
        papermill.execute_notebook(*files, parameters={"profile": "smoke"}, cwd=str(folder), progress_bar=False)
    except Exception as error:  # fails its own test; the run does not need it
        return error
    return None


@pytest.fixture(scope="session")
def smoke(results, first_notebook):
    """The finished ``smoke`` run, which finds the stages that the first notebook computed."""
    return conduct.run("smoke", quiet=True)


@pytest.fixture(scope="session")
def executed(smoke, tmp_path_factory):
    """A copy of the book's sources with all notebooks executed on the session's smoke run."""
    root = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "_toc.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("notebooks", "generated"))
    execution.execute("smoke", root=root, workers=2)
    pages.write(smoke, root)
    return root


@pytest.fixture(scope="session")
def built(executed):
    """Folder of the HTML book built from it."""
    return html.build(executed).parent
