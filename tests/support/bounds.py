"""Bounds on what small trained networks find, which depends on how the processor rounds.

Tests say them through :func:`bounded`, so that ``tools/perturb.py`` can tell how far from them such numbers stay.
"""

import json
import os

import numpy as np


def bounded(what, found, *, above=None, below=None):
    """Assert that a number, or each of several, lies between two bounds, of which one may be left out.

    Where DTL_BOUNDS names a file, what was found is noted there and judged later.
    """
    found = np.atleast_1d(np.asarray(found, float))
    if "DTL_BOUNDS" in os.environ:
        row = {"test": os.environ["PYTEST_CURRENT_TEST"].removesuffix(" (call)"), "what": what, "above": above}
        row |= {"below": below, "least": found.min(), "most": found.max()}
        with open(os.environ["DTL_BOUNDS"], "a") as file:
            file.write(json.dumps(row) + "\n")
        return
    assert above is None or (found > above).all(), f"{what}: {found} should be above {above}"
    assert below is None or (found < below).all(), f"{what}: {found} should be below {below}"
