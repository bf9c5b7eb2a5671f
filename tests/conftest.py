"""What the tests share: one small run of the whole method for the session."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ["DTL_CACHE"] = tempfile.mkdtemp(prefix="dtl-cache-")  # no test sees or changes the user's own
os.environ.pop("DTL_OFFLINE", None)

import published  # noqa: E402
import pytest  # noqa: E402

from dtl_core import book, pages, pipeline  # noqa: E402
from dtl_core.config import data_mirror  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


GROUPS = {"built": "run", "executed": "run", "smoke": "run", "tiny": "tiny"}  # by a fixture that takes long


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the groups
def pytest_collection_modifyitems(items):
    """Which tests can run, and which belong together.

    Tests marked ``data`` need the public data; everything else must pass without. With several test processes
    (``-n 2 --dist loadgroup``) all of one of ``GROUPS`` go to one process, so that what they share is made once; they
    begin first, because they take longest.
    """
    for item in items:
        own = [group for fixture, group in GROUPS.items() if fixture in item.fixturenames]
        if own:
            item.add_marker(pytest.mark.xdist_group(own[0]))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
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
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DTL_RESULTS", str(folder))
        yield folder


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
