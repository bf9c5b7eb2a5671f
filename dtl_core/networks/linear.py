"""The linear baseline of the autoencoder: principal components of spectra."""

from __future__ import annotations

import numpy as np

__all__ = ["reconstruction_errors"]


def reconstruction_errors(train, test, components=(16, 32, 64), *, seed=0):
    """Mean squared error of spectra that principal components of other spectra reconstruct.

    Parameters
    ----------
    train : (n, n_pixels) array
        Spectra from which the components are found.
    test : (m, n_pixels) array
        Other spectra.
    components : sequence of int
        Numbers of components, each at most n and n_pixels.
    seed : int
        Of the randomised decomposition (Halko et al. 2011, arXiv:0909.4061).

    Returns
    -------
    dict of int to float
        Number of components -> mean squared error.

    Examples
    --------
    >>> import numpy as np
    >>> from dtl_core.networks.linear import reconstruction_errors
    >>> rng = np.random.default_rng(0)
    >>> spectra = 1 + rng.normal(size=(60, 3)) @ rng.normal(size=(3, 200))  # three components
    >>> errors = reconstruction_errors(spectra[:40], spectra[40:], (1, 3))
    >>> bool(errors[1] > 0.1), bool(errors[3] < 1e-20)
    (True, True)
    """
    from sklearn.decomposition import PCA

    train, test = np.asarray(train, float), np.asarray(test, float)
    found = PCA(max(components), svd_solver="randomized", random_state=seed).fit(train)
    scores, left = found.transform(test), test - found.mean_
    return {n: float(np.mean((left - scores[:, :n] @ found.components_[:n]) ** 2)) for n in components}
