"""Models that tests make need less than those of the package."""

import pytest

from dtl_core.models import making


@pytest.fixture(scope="module")
def few_surveys():
    """Three draws of the corrected lines to train on, each of which needs a corrected library, and few surveys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "TRAINING_SHARE", 0.06)
        patch.setattr(making, "SURVEYS_OF_A_KIND", 2)
        yield
