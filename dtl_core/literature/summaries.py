"""Tables that summarise the stars of notebook 06, one function for each section.

All take stars as :func:`dtl_core.literature.sample.star_sample` returns them, the paper's or simulated ones. For the
paper's stars, ``benchmarks/published_sample.py`` records the tables under the names of these functions, so that the
notebook can show them where the published tables are missing. They have counts, medians and tests, and no row of a
published table.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import isochrones, kinematics

__all__ = [
    "activity",
    "associations",
    "colours",
    "confusion",
    "excess",
    "gravities",
    "luminosities",
    "metallicities",
    "metallicity_tests",
    "solar_motions",
    "velocities",
    "young_and_poor",
]


OVERLUMINOUS = 0.3  # dex above the main sequence
LOWEST_LOGG = 4.7  # of the paper's training labels
FEWEST = 5  # stars in a bin of temperature
_SPEEDS = (0, 3, 4, 6, 10, 100)  # v sin i, km/s
_TEMPERATURES = (2500, 3200, 3400, 3600, 3800, 4500)  # K
_VELOCITIES = ["U", "V", "W"]


def gravities(stars):
    """Compare log g with the main-sequence relation of :func:`dtl_core.literature.isochrones.sequence`.

    Parameters
    ----------
    stars : pandas.DataFrame
        teff [K], logg [cgs], mh [dex].

    Returns
    -------
    pandas.DataFrame
        One row: N; compared, the stars in the range of the relation; median and std of log g minus the relation [dex];
        below_4.7, the stars with a lower log g.
    """
    inside = stars[stars["teff"].between(2700, 4100) & stars["mh"].between(-0.6, 0.5)]
    difference = inside["logg"].to_numpy() - isochrones.sequence(inside["teff"], inside["mh"])["logg"]
    found = {"N": len(stars), "compared": len(inside), "median": difference.median(), "std": difference.std()}
    return pd.DataFrame([found | {f"below_{LOWEST_LOGG}": int((stars["logg"] < LOWEST_LOGG).sum())}])


def excess(stars):
    """Height above the sequence of the inactive thin disc, see ``kinematics.luminosity_excess``.

    Parameters
    ----------
    stars : pandas.DataFrame
        teff [K], luminosity [Lsun], active (bool), population.

    Returns
    -------
    (n_stars,) array, dex
    """
    thin = ~stars["active"] & (stars["population"] == "D")
    return kinematics.luminosity_excess(stars["teff"], stars["luminosity"], thin)


def luminosities(stars):
    """Summarise :func:`excess` for all stars, each population, and active stars.

    Parameters
    ----------
    stars : pandas.DataFrame
        As for :func:`excess`.

    Returns
    -------
    pandas.DataFrame
        group; N; median, std, min and max [dex]; overluminous, the stars more than 0.3 dex above the
        sequence. Groups without stars are left out.
    """
    groups = {name: stars["population"] == name for name in kinematics.POPULATIONS}
    groups = {"all": stars["population"].notna()} | groups | {"active": stars["active"]}
    height, rows = pd.Series(excess(stars), stars.index), []
    for name, group in groups.items():
        if group.any():
            values = height[group].agg(["median", "std", "min", "max"])
            high = int((height[group] > OVERLUMINOUS).sum())
            rows.append({"group": name, "N": int(group.sum())} | values.to_dict() | {"overluminous": high})
    return pd.DataFrame(rows)


def activity(stars):
    """The fraction of active stars by spectral type and v sin i, see ``kinematics.activity_fractions``.

    Parameters
    ----------
    stars : pandas.DataFrame
        active (bool), vsini [km/s], and spt_num, 70 for M0, or else teff [K], which is then used instead of it.

    Returns
    -------
    pandas.DataFrame
        quantity, its name and unit, and the columns of :func:`dtl_core.literature.kinematics.activity_fractions`.
    """
    if "spt_num" in stars:
        types = [f"M{subtype}" for subtype in range(6)]
        first = {"spectral type": (stars["spt_num"] - 70, range(7), types)}
    else:
        first = {"temperature [K]": (stars["teff"], _TEMPERATURES)}
    quantities = first | {"v sin i [km/s]": (stars["vsini"], _SPEEDS)}
    tables = {name: kinematics.activity_fractions(stars["active"], *bins) for name, bins in quantities.items()}
    return pd.concat(tables, names=["quantity"]).reset_index("quantity").reset_index(drop=True)


def velocities(stars):
    """Summarise U, V and W.

    Parameters
    ----------
    stars : pandas.DataFrame
        U, V, W and, if known, e_U, e_V, e_W [km/s].

    Returns
    -------
    pandas.DataFrame
        velocity, N, mean, median, std, min, max, and median_error, NaN if unknown [km/s].
    """
    table = stars[_VELOCITIES].agg(["count", "mean", "median", "std", "min", "max"]).T.rename(columns={"count": "N"})
    errors = [stars[f"e_{name}"].median() if f"e_{name}" in stars else np.nan for name in _VELOCITIES]
    return table.assign(median_error=errors).astype({"N": int}).rename_axis("velocity").reset_index()


def confusion(stars):
    """Compare populations computed from the velocities with published labels, or with those of the simulation.

    Parameters
    ----------
    stars : pandas.DataFrame
        U, V, W [km/s]; population or, for simulated stars, drawn.

    Returns
    -------
    pandas.DataFrame
        computed, the population, and counts in the columns of :func:`dtl_core.literature.kinematics.confusion`.
    """
    label = kinematics.population(*stars[_VELOCITIES].to_numpy().T)
    table = kinematics.confusion(label, stars["drawn" if "drawn" in stars else "population"])
    return table.rename_axis(index="computed", columns=None).reset_index()


def metallicities(stars):
    """Statistics of [M/H] in each population, see :func:`dtl_core.literature.kinematics.metallicity_by_population`.

    Parameters
    ----------
    stars : pandas.DataFrame
        mh [dex], population.

    Returns
    -------
    pandas.DataFrame
    """
    return kinematics.metallicity_by_population(stars["mh"], stars["population"])[0]


def metallicity_tests(stars):
    """Tests of every pair of populations, the other result of the function that :func:`metallicities` calls.

    Parameters
    ----------
    stars : pandas.DataFrame
        mh [dex], population.

    Returns
    -------
    pandas.DataFrame
    """
    return kinematics.metallicity_by_population(stars["mh"], stars["population"])[1]


def solar_motions(stars):
    """Populations for several motions of the Sun, see ``kinematics.populations_by_solar_motion``.

    Parameters
    ----------
    stars : pandas.DataFrame
        U, V, W [km/s], mh [dex].

    Returns
    -------
    pandas.DataFrame
        solar_motion, and the columns of :func:`dtl_core.literature.kinematics.populations_by_solar_motion`.
    """
    table = kinematics.populations_by_solar_motion(*stars[_VELOCITIES].to_numpy().T, stars["mh"])
    return table.rename_axis("solar_motion").reset_index()


def associations(members):
    """Count the members of young associations.

    Parameters
    ----------
    members : pandas.DataFrame
        From :func:`dtl_core.literature.kinematics.associations`.

    Returns
    -------
    pandas.DataFrame
        association, N and above_95, the members with more than 80 and 95 % probability; last, the stars that only the
        literature calls young.
    """
    probable = members["probability"] > 0.8
    name = members["association"].where(probable, "literature only")
    counts = members.assign(above_95=members["probability"] > 0.95).groupby(name)["above_95"].agg(["size", "sum"])
    order = sorted(counts.index, key=lambda one: (one == "literature only", one))
    return counts.set_axis(["N", "above_95"], axis=1).loc[order].reset_index()


def young_and_poor(stars, members):
    """Medians of the young and of the subdwarf-like stars.

    Parameters
    ----------
    stars : pandas.DataFrame
        The paper's, with karmn, subdwarf_like (bool), and as for :func:`excess`.
    members : pandas.DataFrame
        From :func:`dtl_core.literature.kinematics.associations`.

    Returns
    -------
    pandas.DataFrame
        group, N, active (their number), and medians of teff [K], mh [dex], vsini [km/s] and excess [dex].
    """
    stars = stars.assign(excess=excess(stars))
    groups = {"young": stars["karmn"].isin(members["karmn"]), "subdwarf-like": stars["subdwarf_like"]}
    rows = {name: stars.loc[group, ["teff", "mh", "vsini", "excess"]].median() for name, group in groups.items()}
    counts = {name: [int(group.sum()), int(stars["active"][group].sum())] for name, group in groups.items()}
    counts = pd.DataFrame.from_dict(counts, orient="index", columns=["N", "active"])
    return counts.join(pd.DataFrame(rows).T).rename_axis("group").reset_index()


def colours(stars, width=100.0):
    """Median colours in bins of temperature.

    Parameters
    ----------
    stars : pandas.DataFrame
        The paper's: teff [K], and bp_mag, rp_mag, g_mag and j_mag.
    width : float, K
        Of the bins.

    Returns
    -------
    pandas.DataFrame
        low and high, the ends of the bin, and the median teff [K]; N; medians bp_rp and g_j, and their scatter, half
        the range of the middle 68 % [mag]. Bins of fewer than five stars with these colours are left out.
    """
    known = pd.DataFrame({"teff": stars["teff"], "low": stars["teff"] // width * width})
    known["bp_rp"], known["g_j"] = stars["bp_mag"] - stars["rp_mag"], stars["g_mag"] - stars["j_mag"]
    bins = known.dropna().groupby("low")
    table = bins.median().assign(N=bins.size())
    for name in ("bp_rp", "g_j"):
        table[f"scatter_{name}"] = (bins[name].quantile(0.84) - bins[name].quantile(0.16)) / 2
    table = table[table["N"] >= FEWEST].reset_index()
    table.insert(1, "high", table["low"] + width)
    return table
