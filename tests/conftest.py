"""What the tests share: one small run of the whole method for the session."""

import os
import tempfile

os.environ["DTL_CACHE"] = tempfile.mkdtemp(prefix="dtl-cache-")  # no test sees or changes the user's own
os.environ.pop("DTL_OFFLINE", None)

import pytest  # noqa: E402

from dtl_core import pipeline  # noqa: E402


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
