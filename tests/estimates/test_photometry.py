"""Photometry: published masses and radii, error propagation, and Gaussian posteriors whose product is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtl_core.estimates import photometry
from dtl_core.parameters import PARAMETERS

PROPERTY = settings(derandomize=True, deadline=None, max_examples=50)

# Ks (2MASS), parallax (Gaia DR3), radius and mass as published, with their sources.
KNOWN = [
    ("GJ 699", 4.524, 546.976, 0.187, 0.163),  # interferometry, Boyajian+ 2012; mass of Mann+ 2015
    ("GJ 411", 3.340, 392.753, 0.392, 0.40),  # interferometry, Boyajian+ 2012 and von Braun+ 2014
]


@pytest.mark.parametrize(("name", "ks", "parallax", "radius", "mass"), KNOWN)
def test_radii_and_masses_are_the_published_ones(name, ks, parallax, radius, mass):
    magnitude, _ = photometry.absolute_magnitude(ks, parallax)
    found = photometry.from_magnitude(magnitude)
    assert found["radius"] == pytest.approx(radius, rel=0.06) and found["mass"] == pytest.approx(mass, rel=0.06)


@PROPERTY
@given(st.floats(5.0, 9.4), st.floats(0.005, 0.06), st.sampled_from([None, -0.5, 0.3]))
def test_errors_are_those_of_many_draws(magnitude, error, mh):
    rng = np.random.default_rng(0)
    found = photometry.from_magnitude(magnitude, error, mh)
    scatter = 0.0289 if mh is None else 0.027
    drawn = photometry.from_magnitude(magnitude + rng.normal(0, error, 4000), 0.0, mh)
    for name, own in (("radius", scatter), ("mass", 0.022)):
        expected = np.hypot(drawn[name].std(), own * found[name])
        assert found[f"e_{name}"] == pytest.approx(expected, rel=0.05)
    assert found["logg"] == pytest.approx(4.438 + np.log10(found["mass"] / found["radius"] ** 2))
    assert 0.02 < found["e_logg"] < 0.06


def test_beyond_the_relations_there_is_no_value():
    for magnitude in (4.5, 9.9, np.nan):
        assert all(np.isnan(value) for value in photometry.from_magnitude(magnitude).values())
    assert photometry.combine(np.ones((10, 4)), 12.0) is None


def test_the_error_of_the_parallax_counts():
    magnitude, error = photometry.absolute_magnitude(8.0, 100.0, 0.03, 2.0)
    assert magnitude == pytest.approx(8.0) and error == pytest.approx(np.hypot(0.03, 0.0434), rel=1e-3)


def test_a_gaussian_posterior_and_the_prior_multiply():
    """Teff and log g correlate: the known product of two Gaussians, in both."""
    rng, magnitude = np.random.default_rng(1), 7.0
    known = photometry.from_magnitude(magnitude, 0.0, 0.0)
    mean = np.array([3400.0, float(known["logg"]) + 0.1, 0.0, 2.0])
    covariance = np.diag([60.0**2, 0.1**2, 1e-12, 0.5**2])
    covariance[0, 1] = covariance[1, 0] = 0.8 * 60 * 0.1
    samples = rng.multivariate_normal(mean, covariance, 200_000)
    found = photometry.combine(samples, magnitude)
    share = 0.1**2 / (0.1**2 + float(known["e_logg"]) ** 2)
    expected = mean - covariance[1] / 0.1**2 * share * 0.1
    assert (np.abs(found["median"] - expected) < [0.6, 0.002, 1e-5, 0.01]).all()
    half = (found["high"] - found["low"])[:, 0] / 2
    error = np.sqrt(covariance[1, 1] * (1 - share))
    assert half[PARAMETERS.index("logg")] == pytest.approx(0.9945 * error, rel=0.02)
    teff = np.sqrt(60**2 - (0.8 * 60) ** 2 * share)
    assert half[0] == pytest.approx(0.9945 * teff, rel=0.02)
    assert found["luminosity"] == pytest.approx(found["radius"] ** 2 * (expected[0] / 5772) ** 4, rel=0.02)
    assert photometry.FEWEST < found["effective"] < len(samples)


def test_a_contradiction_shows_in_the_number_of_samples():
    samples = np.random.default_rng(2).normal([3400, 4.2, 0, 2], [60, 0.05, 0.1, 0.5], (2000, 4))
    assert photometry.combine(samples, 7.0)["effective"] < photometry.FEWEST
