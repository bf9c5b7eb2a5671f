"""Model atmospheres for any label, from a network trained on C3K/ATLAS12 structures.

The network is evaluated only at the labels of its training models, where it is at its best; the result is put
on a common depth scale, repaired where the training models are at fault, and interpolated between the labels.

A table holds, for each training label, two functions of log10 tau_Rosseland (`LOG_TAU`): T/Teff, and log10
RHOX (RHOX in g/cm2).  The pressure follows from hydrostatic equilibrium, P = g RHOX, in dyn/cm2.
"""

import functools
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.signal import savgol_filter

from .physics import USUAL, Physics
from .settings import LABEL_RANGES
from .workspace import Workspace, stop

# Depth points, log10 of the Rosseland optical depth.
LOG_TAU = np.arange(-5.0, 1.9001, 0.1)

# Labels of the training models used: Teff (K), log g (cgs), [M/H].
TABLE_TEFF = np.array([2500.0, 2800.0, 3000.0, 3200.0, 3500.0, 3750.0, 4000.0, 4250.0, 4500.0])
TABLE_LOGG = np.array([4.5, 5.0, 5.5])
TABLE_MH = np.array([-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75])

# Slope d(T/Teff) / d(log10 tau) of the upper layers of MARCS and PHOENIX models at 2800 K and at 3500 K.
_SLOPE_LOG_TAU = np.array([-5.0, -4.0, -3.0, -2.0, -1.5])
_SLOPE_2800 = np.array([0.050, 0.060, 0.078, 0.105, 0.13])
_SLOPE_3500 = np.array([0.020, 0.022, 0.035, 0.070, 0.10])

# The cool family of training models starts near log tau = -5, the other one well above.
_COOL_FAMILY_TOP = -5.5
# The cool family is isothermal at about 0.75 Teff high up; only layers cooler than this T/Teff are suspect.
_CAP_BELOW = 0.86


class Atmosphere(NamedTuple):
    """A model structure, from the surface down."""

    temperature: np.ndarray
    """K"""
    pressure: np.ndarray
    """Gas pressure, dyn/cm2."""
    rhox: np.ndarray
    """Column mass, g/cm2."""


def atmosphere(work: Workspace, teff: float, logg: float, mh: float, physics: Physics = USUAL) -> Atmosphere:
    """Model structure for a label: Teff (K), log g (cgs), [M/H]."""
    model = _structure(work, teff, logg, mh)
    return model._replace(temperature=model.temperature * physics.temperature_factor(LOG_TAU))


def _structure(work: Workspace, teff: float, logg: float, mh: float) -> Atmosphere:
    check_label(teff, logg, mh)
    if teff < TABLE_TEFF[0]:
        return _extrapolate_cool(work, teff, logg, mh)
    values = structure_table(work)
    for axis, points, value in ((2, TABLE_MH, mh), (1, TABLE_LOGG, logg), (0, TABLE_TEFF, teff)):
        values = PchipInterpolator(points, values, axis=axis)(value)
    ratio, log_rhox = values
    return Atmosphere(ratio * teff, 10 ** (log_rhox + logg), 10**log_rhox)


def check_label(teff: float, logg: float, mh: float) -> None:
    """Stop if a label lies outside the range that the structures support."""
    for (name, (low, high)), value in zip(LABEL_RANGES.items(), (teff, logg, mh), strict=True):
        if not low <= value <= high:
            stop(
                f"{name} = {value:g} has no model atmosphere",
                remedy=f"choose it between {low:g} and {high:g}",
            )


def _extrapolate_cool(work: Workspace, teff: float, logg: float, mh: float) -> Atmosphere:
    """Structure below the coolest training models: T/Teff of 2500 K, and log RHOX linear in Teff."""
    base, step = 2500.0, 200.0
    cool, warm = (_structure(work, value, logg, mh) for value in (base, base + step))
    log_rhox = np.log10(cool.rhox) + (teff - base) / step * np.log10(warm.rhox / cool.rhox)
    return Atmosphere(cool.temperature * teff / base, 10 ** (log_rhox + logg), 10**log_rhox)


# --------------------------------------------------------------------------------------------- table


@functools.lru_cache(maxsize=1)
def structure_table(work: Workspace) -> np.ndarray:
    """T/Teff and log10 RHOX at all training labels, shape (Teff, log g, [M/H], 2, depth)."""
    network = load_network(work.network)
    table = np.array(
        [[[training_structure(network, t, g, m) for m in TABLE_MH] for g in TABLE_LOGG] for t in TABLE_TEFF]
    )
    return repair_table(table)


def repair_table(table: np.ndarray) -> np.ndarray:
    """Replace the few training labels at which the network is wrong, using their neighbours."""
    table = table.copy()
    i_2500, i_3000, i_3200, i_3500 = (list(TABLE_TEFF).index(t) for t in (2500, 3000, 3200, 3500))
    good = list(TABLE_MH).index(0.25)
    for bad in (good + 1, good + 2):  # [M/H] = 0.5 and 0.75
        # 3200 K, log g = 5: the change from [M/H] = 0.25 is the mean of those at 3000 and 3500 K
        change = table[i_3000, 1, bad] - table[i_3000, 1, good] + table[i_3500, 1, bad] - table[i_3500, 1, good]
        table[i_3200, 1, bad] = table[i_3200, 1, good] + 0.5 * change
        # 2500 K, log g = 5.5: the change from [M/H] = 0.25 is that at log g = 5
        table[i_2500, 2, bad] = table[i_2500, 2, good] + table[i_2500, 1, bad] - table[i_2500, 1, good]

    # 3200 K, log g = 4.5: the network mixes two families with different depth scales there; take the linear
    # interpolation in Teff, plus what that interpolation misses at log g = 5
    weight = (3200 - 3000) / (3500 - 3000)
    linear = table[i_3000, :2] * (1 - weight) + table[i_3500, :2] * weight
    table[i_3200, 0] = linear[0] + (table[i_3200, 1] - linear[1])
    return table


def training_structure(network: list[dict], teff: float, logg: float, mh: float) -> tuple[np.ndarray, np.ndarray]:
    """T/Teff and log10 RHOX of one training label on the depth scale `LOG_TAU`."""
    rhox, temperature, opacity = network_structure(network, teff, logg, mh)
    log_tau = np.log10(rosseland_depth(rhox, opacity))
    # a short parabolic filter takes out the noise of the network from point to point
    temperature = savgol_filter(temperature, 7, 2)
    log_rhox = savgol_filter(np.log10(rhox), 7, 2)

    deeper = np.r_[True, log_tau[1:] > np.maximum.accumulate(log_tau)[:-1] + 1e-6]
    ratio = PchipInterpolator(log_tau[deeper], temperature[deeper] / teff, extrapolate=False)(LOG_TAU)
    log_rhox = PchipInterpolator(log_tau[deeper], log_rhox[deeper], extrapolate=False)(LOG_TAU)
    extend(ratio, log_rhox)
    if log_tau[0] > _COOL_FAMILY_TOP:
        remove_isothermal_cap(ratio, teff)
    return ratio, log_rhox


def rosseland_depth(rhox: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Rosseland optical depth from column mass (g/cm2) and opacity (cm2/g) by the trapezoidal rule."""
    steps = 0.5 * (opacity[1:] + opacity[:-1]) * np.diff(rhox)
    return rhox[0] * opacity[0] + np.r_[0, np.cumsum(steps)]


def extend(ratio: np.ndarray, log_rhox: np.ndarray) -> None:
    """Fill the depths that a training model does not reach, in place; they are NaN on entry.

    Downwards both quantities go on with the slope of the last 0.5 dex; upwards log RHOX goes on with the
    slope of the first 0.4 dex and T is constant.
    """
    inside = np.where(np.isfinite(ratio))[0]
    top, bottom = inside[0], inside[-1]
    for values in (ratio, log_rhox):
        slope = (values[bottom] - values[bottom - 5]) / 0.5
        values[bottom + 1 :] = values[bottom] + slope * (LOG_TAU[bottom + 1 :] - LOG_TAU[bottom])
    slope = (log_rhox[top + 4] - log_rhox[top]) / 0.4
    log_rhox[:top] = log_rhox[top] + slope * (LOG_TAU[:top] - LOG_TAU[top])
    ratio[:top] = ratio[top]


def upper_slope(teff: float, log_tau: float) -> float:
    """d(T/Teff) / d(log10 tau) of the upper layers, between 2800 and 3500 K linear in Teff."""
    fraction = np.clip((teff - 2800) / 700.0, 0, 1)
    return np.interp(log_tau, _SLOPE_LOG_TAU, _SLOPE_2800 * (1 - fraction) + _SLOPE_3500 * fraction)


def remove_isothermal_cap(ratio: np.ndarray, teff: float) -> None:
    """Let T fall outwards where the cool training family is capped at about 0.75 Teff, in place.

    From below, the cap begins where T/Teff is low and flatter than `upper_slope`; from there up T follows
    that slope.
    """
    slope = np.gradient(ratio, LOG_TAU)
    for k in range(len(LOG_TAU) - 1, 0, -1):
        if ratio[k] < _CAP_BELOW and slope[k] < upper_slope(teff, LOG_TAU[k]):
            break
    for j in range(k - 1, -1, -1):
        ratio[j] = ratio[j + 1] - 0.1 * upper_slope(teff, LOG_TAU[j] + 0.05)


# --------------------------------------------------------------------------------------------- network


def network_structure(network: list[dict], teff: float, logg: float, mh: float) -> list[np.ndarray]:
    """RHOX (g/cm2), T (K) and Rosseland opacity (cm2/g) of the network, [alpha/M] = 0.

    The network's output is log10 of each quantity.  Its own package takes exp instead, which cannot be
    right for these weights: then P differs from g RHOX.
    """
    label = np.array([teff, logg, mh, 0.0])
    columns = []
    for column in (0, 1, 4):  # in between are the pressure and the electron density
        weights = network[column]
        scaled = (label - weights["x_min"]) / (weights["x_max"] - weights["x_min"]) - 0.5
        hidden = _leaky(weights["w_array_0"].astype(float) @ scaled + weights["b_array_0"])
        hidden = _leaky(weights["w_array_1"].astype(float) @ hidden + weights["b_array_1"])
        columns.append(10 ** (weights["w_array_2"].astype(float) @ hidden + weights["b_array_2"]))
    return columns


def _leaky(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 0.01 * values)


def load_network(path: Path) -> list[dict]:
    """Weights of the network, one dictionary for each column of the structure."""
    with open(path, "rb") as file:
        return _WeightsUnpickler(file).load()


class _WeightsUnpickler(pickle.Unpickler):
    """Reads plain arrays only.

    The file names two helpers of the package dill, which is not needed for arrays: they look up numpy's
    function that makes an empty array.  Anything else in the file is refused, so that reading it runs no
    foreign code.
    """

    _ALLOWED = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("dill._dill", "_import_module"): lambda name: name,
        ("dill._dill", "_get_attr"): lambda module, name: {"_reconstruct": _empty_array}[name],
    }

    def find_class(self, module: str, name: str):
        """The allowed object of that name."""
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of weights")
        return self._ALLOWED[module, name]


def _empty_array(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    return np.ndarray(shape, dtype=code.decode())
