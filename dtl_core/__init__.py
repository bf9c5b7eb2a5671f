"""Stellar parameters of M dwarfs from high-resolution spectra, with autoencoders and deep transfer learning.

An open reproduction of Mas-Buitrago et al. (2024, A&A 687, A205). One command runs everything from spectra to a
published book, which says where the results agree with the paper, where they do not, and why. Every step is a plain
function on arrays that can be read, tested and replaced. The package implements and evaluates this one method; it is
not a general spectral-fitting package, a stellar-atmosphere code or a framework for neural networks.
"""

import os

# OpenMP threads that spin while they wait take the cores from each other: on shared cores two spinning threads run many
# times slower than one. The variable is read when torch loads OpenMP, so it is set before any module imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ._version import __version__  # noqa: E402, F401


def load(name="shipped"):
    """Load a trained model.

    Parameters
    ----------
    name : str or path
        ``shipped``, the model in the package; ``paper``, the paper's ensemble; or a folder or file. See
        :func:`dtl_core.models.loading.load`.

    Returns
    -------
    dtl_core.models.loading.Model

    Examples
    --------
    >>> import dtl_core
    >>> model = dtl_core.load()
    >>> for specialist in model.specialists:
    ...     print(f"R = {specialist.resolving_power:.0f}")
    R = 94600
    R = 80000
    R = 53000
    R = 42000
    """
    from .models.loading import load

    return load(name)
