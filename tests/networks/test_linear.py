"""The linear baseline of the autoencoder."""

import numpy as np
import pytest

from dtl_core.networks.linear import reconstruction_errors


def test_errors_are_those_of_a_singular_value_decomposition():
    rng = np.random.default_rng(0)
    spectra = 1 + rng.normal(size=(150, 12)) * 0.5 ** np.arange(12) @ rng.normal(size=(12, 90))
    train, test = spectra[:100], spectra[100:]
    basis = np.linalg.svd(train - train.mean(0), full_matrices=False)[2]
    found = reconstruction_errors(train, test, (2, 5, 8))
    for n, error in found.items():
        left = test - train.mean(0)
        assert error == pytest.approx(np.mean((left - left @ basis[:n].T @ basis[:n]) ** 2), rel=1e-6)
    assert found[2] > found[5] > found[8] > 0


def test_the_test_spectra_do_not_help_to_find_the_components():
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 80)), rng.normal(size=(20, 80))
    assert reconstruction_errors(train, test, (3,))[3] > 0.8 * test.var()
    assert reconstruction_errors(np.concatenate([train, test]), test, (30,))[30] < 0.1 * test.var()
