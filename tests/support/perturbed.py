"""Another processor for the tests: with DTL_PERTURB=SEED every network starts from weights changed in the last digits.

With DTL_UNTRAINED=1 none learns anything. ``tools/perturb.py`` sets them.
"""

import functools
import os
from pathlib import Path

import torch

SIZE = 1e-6  # some roundings of float32; training makes it grow as it does the rounding of another processor


def install():
    """Change what Adam is given, here and in the worker processes of a run; nothing where DTL_PERTURB is not set."""
    if "DTL_PERTURB" not in os.environ:
        return
    from dtl_core.pipeline import jobs

    _change_adam()
    jobs.start_worker = _start_worker  # workers are new processes, which know this module but not what it did


def results():
    """Folder named by DTL_PERTURB_RESULTS, in which the smoke run is found again; None where there is none."""
    folder = os.environ.get("DTL_PERTURB_RESULTS")
    return Path(folder) if folder else None


def _start_worker(channel):
    from dtl_core.pipeline import jobs

    _change_adam()
    jobs.start_worker(channel)


def _change_adam():
    from dtl_core.networks import training

    plain = training._Step.__init__

    @functools.wraps(plain)
    def changed(self, *args):
        plain(self, *args)
        with torch.no_grad():
            for number, one in enumerate(self.parameters):  # members of a stack in the same way, as each would be alone
                generator = torch.Generator().manual_seed(1000 * int(os.environ["DTL_PERTURB"]) + number)
                shape = one.shape[1:] if one.dim() > 2 else one.shape
                one.mul_(1 + SIZE * torch.randn(shape, generator=generator).to(one))
        if "DTL_UNTRAINED" in os.environ:
            self._adam = lambda: None

    training._Step.__init__ = changed
