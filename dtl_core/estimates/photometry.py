"""Mass, radius and surface gravity from photometry, and what they add to the estimates from a spectrum.

The empirical relations of Mann et al. (2015, 2019) give radius and mass of a nearby M dwarf from its absolute magnitude
in Ks, to 3 and 2 %. The log g that follows is good to 0.03 dex. It enters as a prior: samples of the joint posterior
from the spectrum are weighted by how well their log g agrees.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.polynomial import polyval

from ..parameters import PARAMETERS

__all__ = ["FEWEST", "absolute_magnitude", "combine", "from_magnitude"]


SOLAR_LOGG, SOLAR_TEFF = 4.438, 5772.0  # cgs; K
# Mann et al. (2015, ApJ 804, 64; erratum 2016, ApJ 819, 87), Table 1: radius [Rsun] of M_Ks, and with the factor
# 1 + f [Fe/H]; relative scatter.
_RADIUS, _RADIUS_SCATTER = (1.9515, -0.3520, 0.01680), 0.0289
_RADIUS_MH, _RADIUS_MH_FACTOR, _RADIUS_MH_SCATTER = (1.9305, -0.3466, 0.01647), 0.04458, 0.027
# Mann et al. (2019, ApJ 871, 63), Table 6: log10 mass [Msun] of M_Ks - 7.5, and with the factor 1 + f [Fe/H].
_MASS, _MASS_SCATTER = (-0.642, -0.208, -8.43e-4, 7.87e-3, 1.42e-4, -2.13e-4), 0.022
_MASS_MH, _MASS_MH_FACTOR = (-0.647, -0.207, -6.53e-4, 7.13e-3, 1.84e-4, -1.60e-4), -0.0035
BRIGHTEST, FAINTEST = 4.6, 9.8  # M_Ks where both relations hold
FEWEST = 50  # effective samples of a posterior that agree with the photometry


def absolute_magnitude(apparent, parallax, e_apparent=0.0, e_parallax=0.0):
    """Absolute magnitude of nearby stars, without extinction.

    Parameters
    ----------
    apparent, e_apparent : float or array
        Apparent magnitude and its error.
    parallax, e_parallax : float or array, mas

    Returns
    -------
    magnitude, error : float or array

    Examples
    --------
    >>> from dtl_core.estimates.photometry import absolute_magnitude
    >>> magnitude, error = absolute_magnitude(4.524, 546.98, 0.020, 0.04)  # GJ 699
    >>> print(f"{magnitude:.2f} +- {error:.2f}")
    8.21 +- 0.02
    """
    parallax = np.asarray(parallax, float)
    error = np.hypot(e_apparent, 5 / np.log(10) * np.asarray(e_parallax, float) / parallax)
    return apparent + 5 * np.log10(parallax / 100), error


def from_magnitude(magnitude, error=0.0, mh=None):
    """Radius, mass and log g of M dwarfs from the absolute magnitude in Ks, with the scatter of the relations.

    Parameters
    ----------
    magnitude, error : float or array
        M_Ks (2MASS), 4.6 to 9.8.
    mh : float or array, dex, optional
        [M/H], used as [Fe/H]. Without it, the relations for all metallicities are used.

    Returns
    -------
    dict of str to array
        ``radius`` and ``mass`` in solar units, ``logg`` (cgs), and ``e_`` of each; NaN beyond the relations.

    References
    ----------
    Mann et al. (2015, ApJ 804, 64; erratum 2016, ApJ 819, 87); Mann et al. (2019, ApJ 871, 63).

    Examples
    --------
    >>> from dtl_core.estimates.photometry import from_magnitude
    >>> found = from_magnitude(8.21, 0.02, mh=-0.4)
    >>> print(f"{found['radius']:.3f} Rsun, {found['mass']:.3f} Msun, log g {found['logg']:.2f}")
    0.192 Rsun, 0.162 Msun, log g 5.08
    """
    magnitude, error = np.asarray(magnitude, float), np.asarray(error, float)
    magnitude = np.where((magnitude >= BRIGHTEST) & (magnitude <= FAINTEST), magnitude, np.nan)

    def radius_of(m):
        if mh is None:
            return polyval(m, _RADIUS)
        return polyval(m, _RADIUS_MH) * (1 + _RADIUS_MH_FACTOR * np.asarray(mh))

    def mass_of(m):
        if mh is None:
            return 10 ** polyval(m - 7.5, _MASS)
        return 10 ** polyval(m - 7.5, _MASS_MH) * (1 + _MASS_MH_FACTOR * np.asarray(mh))

    def logg_of(m):
        return SOLAR_LOGG + np.log10(mass_of(m)) - 2 * np.log10(radius_of(m))

    scatter = _RADIUS_SCATTER if mh is None else _RADIUS_MH_SCATTER
    step, out = 0.01, {}
    for name, of, own in (
        ("radius", radius_of, scatter * radius_of(magnitude)),
        ("mass", mass_of, _MASS_SCATTER * mass_of(magnitude)),
        ("logg", logg_of, np.hypot(_MASS_SCATTER, 2 * scatter) / np.log(10)),
    ):
        slope = (of(magnitude + step) - of(magnitude - step)) / (2 * step)
        out |= {name: of(magnitude), f"e_{name}": np.hypot(own, slope * error) + 0 * magnitude}
    return out


def combine(samples, magnitude, error=0.0, levels=(0.68,)):
    """Combine the joint posterior from a spectrum with the log g that photometry gives.

    Each sample is weighted by the probability of its log g, given the magnitude and its [M/H].

    Parameters
    ----------
    samples : array of shape (n, 4)
        Of Teff, log g, [M/H], v sin i, from the spectrum alone.
    magnitude, error : float
        M_Ks.
    levels : sequence of float

    Returns
    -------
    dict or None
        ``median`` (4,), ``low`` and ``high`` (4, n_levels); ``radius``, ``mass`` and ``luminosity`` in solar units with
        ``e_`` of each; ``effective``, the effective number of samples: where it is below ``FEWEST``, spectrum and
        photometry contradict each other, and the medians mean little. None where the relations do not hold.
    """
    teff, logg, mh = (samples[:, PARAMETERS.index(name)] for name in ("teff", "logg", "mh"))
    known = from_magnitude(magnitude, error, mh)
    if not np.isfinite(known["logg"]).all():
        return None
    chi2 = ((logg - known["logg"]) / known["e_logg"]) ** 2
    weight = np.exp(-0.5 * (chi2 - chi2.min()))
    weight /= weight.sum()

    def quantile(level):
        return np.array([np.quantile(v, level, weights=weight, method="inverted_cdf") for v in samples.T])

    out = {"effective": float(1 / np.sum(weight**2)), "median": quantile(0.5)}
    for name, side in (("low", -0.5), ("high", 0.5)):
        out[name] = np.stack([quantile(0.5 + side * level) for level in levels], axis=1)
    known["luminosity"] = known["radius"] ** 2 * (teff / SOLAR_TEFF) ** 4
    known["e_luminosity"] = 2 * known["luminosity"] * known["e_radius"] / known["radius"]
    for name in ("radius", "mass", "luminosity"):
        mean = np.sum(weight * known[name])
        variance = np.sum(weight * (known[f"e_{name}"] ** 2 + (known[name] - mean) ** 2))
        out |= {name: float(mean), f"e_{name}": float(np.sqrt(variance))}
    return out
