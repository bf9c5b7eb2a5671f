"""What the tests share: one small run of the whole method for the session."""

import pytest

from dtl_core import pipeline


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
