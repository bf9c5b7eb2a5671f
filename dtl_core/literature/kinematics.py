"""Space velocities, kinematic populations and their metallicities.

U points to the Galactic centre, V along the rotation, W to the north pole. Velocities are in km/s and heliocentric
unless noted. Populations: thick disc TD, transition TD-D, thin disc D, young disc YD.
"""

from __future__ import annotations

import importlib.util
import itertools

import astropy.units as u
import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord
from scipy import stats

from ..errors import ConfigError, DataError
from .checks import require_columns
from .ties import ks_test

__all__ = [
    "COMPONENTS",
    "POPULATIONS",
    "SOLAR_MOTION",
    "SOLAR_MOTIONS",
    "activity_fractions",
    "associations",
    "confusion",
    "draw_velocities",
    "luminosity_excess",
    "main_sequence_luminosity",
    "metallicity_by_population",
    "population",
    "population_probabilities",
    "populations_by_solar_motion",
    "solar_motion_sentences",
    "space_velocities",
    "space_velocities_with_errors",
]


POPULATIONS = ("YD", "D", "TD-D", "TD")
SOLAR_MOTIONS = {  # km/s towards U, V, W, relative to the local standard of rest; the first is the one adopted
    "Schönrich+ 2010": (11.1, 12.24, 7.25),  # Schoenrich, Binney & Dehnen (2010, MNRAS 403, 1829)
    "Coşkunoğlu+ 2011": (8.50, 13.38, 6.49),  # MNRAS 412, 1237
    "Francis & Anderson 2014": (14.1, 14.6, 6.9),  # arXiv:1311.2069
    "Hogg+ 2005": (10.1, 4.0, 6.7),  # ApJ 629, 268
    "Dehnen & Binney 1998": (10.00, 5.25, 7.17),  # MNRAS 298, 387
}
SOLAR_MOTION = next(iter(SOLAR_MOTIONS.values()))
COMPONENTS = {  # fraction of the stars near the Sun; dispersions in U, V, W and asymmetric drift, km/s
    "D": (0.94, (35.0, 20.0, 16.0), -15.0),
    "TD": (0.06, (67.0, 38.0, 35.0), -46.0),
    "H": (0.0015, (160.0, 90.0, 90.0), -220.0),
}  # Bensby, Feltzing & Lundstroem (2003, A&A 410, 527), Table 1
_YOUNG_DISC = ((-50.0, 20.0), (-30.0, 0.0), (-25.0, 10.0))  # U, V, W; Leggett (1992, ApJS 82, 351), our sign of U
_INPUTS = {
    "ra": u.deg,
    "dec": u.deg,
    "parallax": u.mas,
    "pm_ra_cosdec": u.mas / u.yr,
    "pm_dec": u.mas / u.yr,
    "rv": u.km / u.s,
}


def _plain(values, name):
    try:
        if isinstance(values, u.Quantity):
            values = values.to_value(_INPUTS[name])
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise DataError("not a number in the right unit", field=name, remedy=f"give {_INPUTS[name]}") from None


def _cartesian(ra, dec, parallax, pm_ra_cosdec, pm_dec, rv):
    star = SkyCoord(
        ra=ra * u.deg,
        dec=dec * u.deg,
        distance=1 / parallax * u.kpc,
        radial_velocity=rv * u.km / u.s,
        pm_ra_cosdec=pm_ra_cosdec * u.mas / u.yr,
        pm_dec=pm_dec * u.mas / u.yr,
    )
    return star.galactic.velocity.d_xyz.to_value(u.km / u.s)  # (3, n_stars)


def space_velocities(ra, dec, parallax, pm_ra_cosdec, pm_dec, rv, *, errors=None, lsr=False, solar_motion=SOLAR_MOTION):
    r"""Galactic space velocities :math:`(U, V, W)` of stars from their position, parallax, proper motion and velocity.

    :math:`(U, V, W)^T = R\,(v_r,\ k\mu_{\alpha*}/\varpi,\ k\mu_\delta/\varpi)^T`, :math:`k = 4.740` km/s yr, with
    :math:`R` from astropy's ICRS and Galactic frames. Errors are propagated to first order for uncorrelated inputs.

    Parameters
    ----------
    ra, dec : (n_stars,) array or Quantity, deg, ICRS
    parallax : (n_stars,) array or Quantity, mas
        Positive, or NaN if unknown.
    pm_ra_cosdec, pm_dec : (n_stars,) array or Quantity, mas/yr
    rv : (n_stars,) array or Quantity, km/s, barycentric
    errors : dict of str to array, optional
        1-sigma errors of any of ``parallax``, ``pm_ra_cosdec``, ``pm_dec`` and ``rv``.
    lsr : bool
        Add the solar motion, so that velocities are relative to the local standard of rest.
    solar_motion : (3,) sequence, km/s

    Returns
    -------
    velocities : (3, n_stars) array, km/s
        NaN where an input is NaN.
    velocity_errors : (3, n_stars) array, km/s
        Only with ``errors``.

    Raises
    ------
    DataError
        A parallax is not positive, or a unit is wrong.
    ConfigError
        ``errors`` has an unknown key.

    References
    ----------
    Johnson & Soderblom (1987, AJ 93, 864), whose matrices the tests compare with.

    Examples
    --------
    Barnard's star, with Gaia DR3 astrometry:

    >>> U, V, W = space_velocities(269.4485, 4.7394, 546.98, -801.55, 10362.39, -110.1)
    >>> print(f"{U:.1f} {V:.1f} {W:.1f}")
    -141.0 5.0 18.5
    """
    ra, dec, parallax, mu_ra, mu_dec, rv = np.broadcast_arrays(
        *(_plain(v, n) for v, n in zip((ra, dec, parallax, pm_ra_cosdec, pm_dec, rv), _INPUTS, strict=True))
    )
    if np.any(parallax <= 0):
        raise DataError("not positive", field="parallax", remedy="give mas, or leave stars without one out")
    shift = np.reshape(solar_motion if lsr else (0.0, 0.0, 0.0), (3,) + (1,) * ra.ndim)
    velocities = _cartesian(ra, dec, parallax, mu_ra, mu_dec, rv) + shift
    if errors is None:
        return velocities
    if unknown := sorted(set(errors) - {"parallax", "pm_ra_cosdec", "pm_dec", "rv"}):
        raise ConfigError("has no error here", field=unknown[0], remedy="give parallax, pm_ra_cosdec, pm_dec, rv")
    zero, one = np.zeros_like(ra), np.ones_like(ra)
    radial, east, north = (
        _cartesian(ra, dec, one, *unit) for unit in ((zero, zero, one), (one, zero, zero), (zero, one, zero))
    )
    slopes = {
        "rv": radial,
        "pm_ra_cosdec": east / parallax,
        "pm_dec": north / parallax,
        "parallax": -(east * mu_ra + north * mu_dec) / parallax**2,
    }
    variance = sum((slopes[name] * _plain(error, name)) ** 2 for name, error in errors.items())
    return velocities, np.sqrt(variance)


def space_velocities_with_errors(stars):
    """Heliocentric U, V, W and their 1-sigma errors for a table of stars, see :func:`space_velocities`.

    Parameters
    ----------
    stars : pandas.DataFrame
        karmn; ra, dec [deg]; plx, e_plx [mas]; pmra, e_pmra, pmdec, e_pmdec [mas/yr]; rv, e_rv [km/s].

    Returns
    -------
    pandas.DataFrame
        karmn, U, V, W, e_U, e_V, e_W [km/s]; NaN where an input is NaN.

    Raises
    ------
    DataError
        A missing column, or as for :func:`space_velocities`.
    """
    names = {"parallax": "plx", "pm_ra_cosdec": "pmra", "pm_dec": "pmdec", "rv": "rv"}
    columns = ("karmn", "ra", "dec", *names.values(), *(f"e_{name}" for name in names.values()))
    require_columns(stars, "stars", columns, "give values and errors")
    errors = {name: stars[f"e_{column}"].to_numpy(float) for name, column in names.items()}
    values = (stars[column].to_numpy(float) for column in ("ra", "dec", *names.values()))
    velocity, error = space_velocities(*values, errors=errors)
    columns = dict(zip(("U", "V", "W", "e_U", "e_V", "e_W"), (*velocity, *error), strict=True))
    return pd.DataFrame({"karmn": stars["karmn"].to_numpy()} | columns)


def _log_densities(U, V, W, fractions, lsr, solar_motion):
    u_lsr, v_lsr, w_lsr = (
        np.asarray(v, float) + (0 if lsr else sun) for v, sun in zip((U, V, W), solar_motion, strict=True)
    )
    out = {}
    for name, (fraction, (su, sv, sw), drift) in COMPONENTS.items():
        fraction = (fractions or {}).get(name, fraction)
        scaled = (u_lsr / su) ** 2 + ((v_lsr - drift) / sv) ** 2 + (w_lsr / sw) ** 2
        out[name] = np.log(fraction / (su * sv * sw)) - 1.5 * np.log(2 * np.pi) - scaled / 2
    return out


def population_probabilities(U, V, W, *, fractions=None, lsr=False, solar_motion=SOLAR_MOTION):
    r"""Probabilities that a star of given velocity belongs to the thin disc, the thick disc or the halo.

    .. math:: f_i = \frac{X_i}{(2\pi)^{3/2}\sigma_U\sigma_V\sigma_W}
              \exp\left(-\frac{U^2}{2\sigma_U^2} - \frac{(V - V_{asym})^2}{2\sigma_V^2} - \frac{W^2}{2\sigma_W^2}\right)

    with velocities relative to the local standard of rest; :math:`TD/D = f_{TD}/f_D`.

    Parameters
    ----------
    U, V, W : (n_stars,) array, km/s
    fractions : dict of str to float, optional
        Local fractions of ``D``, ``TD`` or ``H`` that replace Bensby's 0.94, 0.06, 0.0015.
    lsr : bool
        Whether the velocities are relative to the local standard of rest instead of heliocentric.
    solar_motion : (3,) sequence, km/s

    Returns
    -------
    dict of str to (n_stars,) array
        D, TD and H, which add up to 1, and the ratio td_d.

    References
    ----------
    Bensby et al. (2003, A&A 410, 527), equations 1 and 3.
    """
    log = _log_densities(U, V, W, fractions, lsr, solar_motion)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.logaddexp.reduce(list(log.values()), axis=0)
        ratio = np.exp(log["TD"] - log["D"])
    return {name: np.exp(value - total) for name, value in log.items()} | {"td_d": ratio}


def population(U, V, W, *, limits=(0.1, 10.0), **kwargs):
    """The kinematic population of each star: TD, TD-D, D or YD.

    Stars with TD/D above the upper limit are thick disc, those below the lower limit thin disc, and those in between
    transition. Thin-disc stars inside Leggett's box (-50 < U < 20, -30 < V < 0, -25 < W < 10 km/s, heliocentric) are
    young disc.

    Parameters
    ----------
    U, V, W : (n_stars,) array, km/s
    limits : (float, float)
        Lower and upper limit of TD/D.
    **kwargs
        As for :func:`population_probabilities`.

    Returns
    -------
    (n_stars,) array of str
        Empty where a velocity is NaN.

    References
    ----------
    Bensby et al. (2003, A&A 410, 527); Leggett (1992, ApJS 82, 351).

    Examples
    --------
    >>> population([-141.0, 10.0], [5.0, -15.0], [18.5, -5.0]).tolist()
    ['TD-D', 'YD']
    """
    ratio = np.asarray(population_probabilities(U, V, W, **kwargs)["td_d"])
    sun = kwargs.get("solar_motion", SOLAR_MOTION) if kwargs.get("lsr") else (0.0, 0.0, 0.0)
    inside = [
        (np.asarray(v) - s > low) & (np.asarray(v) - s < high)
        for v, s, (low, high) in zip((U, V, W), sun, _YOUNG_DISC, strict=True)
    ]
    thin = np.where(np.all(inside, axis=0), "YD", "D")
    labels = np.where(ratio > limits[1], "TD", np.where(ratio < limits[0], thin, "TD-D"))
    return np.where(np.isnan(ratio), "", labels)


def populations_by_solar_motion(U, V, W, mh, motions=None):
    """How populations and their metallicities depend on the adopted motion of the Sun.

    Parameters
    ----------
    U, V, W : (n_stars,) array, km/s, heliocentric
    mh : (n_stars,) array, dex
    motions : dict of str to (float, float, float), optional
        Solar motions [km/s]; by default ``SOLAR_MOTIONS``. Stars are compared with the first one.

    Returns
    -------
    pandas.DataFrame
        By solar motion: number of stars in each of ``POPULATIONS``; changed, stars with another label than with the
        first motion, and changed_thick, those that enter or leave the thick disc; median_D and median_TD of [M/H], NaN
        without stars; p of :func:`dtl_core.literature.ties.ks_test` of the two, NaN without stars.
    """
    rows, first = {}, None
    for name, motion in (motions or SOLAR_MOTIONS).items():
        labels = population(U, V, W, solar_motion=motion)
        first = labels if first is None else first
        summary, tests = metallicity_by_population(mh, labels)
        medians, p = summary.set_index("pop")["median"], tests.set_index(["pop1", "pop2"])["p"]
        rows[name] = {pop: int((labels == pop).sum()) for pop in POPULATIONS} | {
            "changed": int((labels != first).sum()),
            "changed_thick": int(((labels == "TD") != (first == "TD")).sum()),
            "median_D": medians.get("D", np.nan),
            "median_TD": medians.get("TD", np.nan),
            "p": p.get(("D", "TD"), np.nan),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def solar_motion_sentences(table):
    """Describe in words how much depends on the solar motion.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`populations_by_solar_motion`.

    Returns
    -------
    labels, metallicities : str
        How many stars change their population, and whether thick and thin disc differ in [M/H] with every motion.
    """
    most, n_stars = table[["changed", "changed_thick"]].max(), int(table[list(POPULATIONS)].iloc[0].sum())
    labels = f"With another solar motion, up to {most['changed']} of {n_stars} stars change their population,"
    labels += f" {most['changed_thick']} of them into or out of the thick disc."
    poorer, low, high = int((table["median_TD"] < table["median_D"]).sum()), table["p"].min(), table["p"].max()
    metallicities = (
        f"The thick disc has the lower median [M/H] with {poorer} of {len(table)} solar motions; p is {low:.2g} to "
        f"{high:.2g}, "
    )
    return labels, metallicities + ("on either side of 0.05." if low < 0.05 <= high else "on one side of 0.05.")


def confusion(labels, reference, order=POPULATIONS):
    """Count the stars with each pair of labels.

    Parameters
    ----------
    labels, reference : (n_stars,) array of str
        Stars with an empty label are left out.
    order : sequence of str
        Labels that come first; others follow in alphabetical order.

    Returns
    -------
    pandas.DataFrame
        Counts; rows are ``labels``, columns ``reference``.
    """
    pairs = pd.DataFrame({"here": np.asarray(labels, str), "reference": np.asarray(reference, str)})
    pairs = pairs[(pairs != "").all(axis=1)]
    table = pd.crosstab(pairs["here"], pairs["reference"])
    rows, columns = ([n for n in order if n in axis] + sorted(set(axis) - set(order)) for axis in table.axes)
    return table.reindex(index=rows, columns=columns)


def activity_fractions(active, values, edges, names=None):
    r"""The fraction of active stars in bins of another quantity, with Wilson's interval at 68.3 %.

    .. math:: p_\pm = \frac{k + z^2/2}{N + z^2} \pm \frac{z}{N + z^2}\sqrt{\frac{k (N - k)}{N} + \frac{z^2}{4}},
              \quad z = 1

    Parameters
    ----------
    active : (n_stars,) array of bool
    values : (n_stars,) array
        E.g. spectral subtypes; NaN are left out.
    edges : (n_bins + 1,) array
        Ascending; a bin holds low <= value < high.
    names : (n_bins,) sequence of str, optional

    Returns
    -------
    pandas.DataFrame
        bin, low, high, N, active (counts), fraction, lower, upper (ends of the interval); the last three are NaN for
        empty bins.

    Raises
    ------
    ConfigError
        Edges are not ascending, or their number does not fit ``names``.

    References
    ----------
    Wilson (1927, J. Am. Stat. Assoc. 22, 209).
    """
    active, values, edges = np.asarray(active, bool), np.asarray(values, float), np.asarray(edges, float)
    if np.any(np.diff(edges) <= 0) or len(edges) < 2 or (names is not None and len(names) != len(edges) - 1):
        raise ConfigError("are not ascending, or not one more than the names", field="edges", remedy="correct them")
    rows = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (values >= low) & (values < high)
        total, k = int(inside.sum()), int((inside & active).sum())
        row = {"bin": names[i] if names else f"{low:g}-{high:g}", "low": low, "high": high, "N": total, "active": k}
        middle, half = (k + 0.5) / (total + 1), np.sqrt(k * (total - k) / max(total, 1) + 0.25) / (total + 1)
        values_of_bin = (k / total, max(middle - half, 0.0), min(middle + half, 1.0)) if total else (np.nan,) * 3
        rows.append(row | dict(zip(("fraction", "lower", "upper"), values_of_bin, strict=True)))
    return pd.DataFrame(rows)


def _run_banyan(stars, banyan):
    """Run BANYAN Sigma for all stars, in one call per set of observables."""
    given = dict(ra="ra", dec="dec", pmra="pmra", pmdec="pmdec", epmra="e_pmra", epmdec="e_pmdec")
    more = {"use_plx": dict(plx="plx", eplx="e_plx"), "use_rv": dict(rv="rv", erv="e_rv")}
    known = pd.DataFrame({use: stars[list(names.values())].notna().all(axis=1) for use, names in more.items()})
    out = pd.DataFrame({"association": "", "probability": np.nan}, index=stars.index)
    for flags, group in stars.groupby([known["use_plx"], known["use_rv"]]):
        used = [use for use, flag in zip(more, flags, strict=True) if flag]
        names = given | {key: column for use in used for key, column in more[use].items()}
        inputs = {key: group[column].to_numpy(float) for key, column in names.items()}
        found = banyan.membership_probability(**inputs, **dict.fromkeys(used, True))
        out.loc[group.index, "association"] = found[("Global", "BEST_YA")].to_numpy()
        out.loc[group.index, "probability"] = found[("Global", "YA_PROB")].to_numpy(float)
    return out


def associations(stars, *, threshold=0.8, compute=None):
    """Members of young associations: by BANYAN Sigma, and the stars that Schweitzer et al. (2019) call young.

    Parameters
    ----------
    stars : pandas.DataFrame
        karmn, banyan_best_ya, banyan_best_ya_prob, ymg_ix and schw19_young_extra (bool), see
        :func:`dtl_core.literature.catalogues.read_stars`; to compute, also astrometry with errors.
    threshold : float
        Least probability of a member.
    compute : bool, optional
        Whether to run the package ``banyan_sigma``; by default if it is installed.

    Returns
    -------
    members : pandas.DataFrame
        karmn, association, probability, ymg_ix (groups in the literature) and schw19, by decreasing probability.
    source : str
        ``BANYAN Sigma, run here`` or ``published memberships``. Published probabilities are those of the named
        association; those computed here are for any association, which is slightly higher.

    Raises
    ------
    ConfigError
        ``compute`` is true, but the package is not installed.
    DataError
        A missing column.

    References
    ----------
    Gagne et al. (2018, ApJ 856, 23); Schweitzer et al. (2019, A&A 625, A68).
    """
    columns = ("karmn", "banyan_best_ya", "banyan_best_ya_prob", "ymg_ix", "schw19_young_extra")
    require_columns(stars, "stars", columns, "take catalogues.read_stars()")
    best = stars[["banyan_best_ya", "banyan_best_ya_prob"]].set_axis(["association", "probability"], axis=1)
    source = "published memberships"
    if compute or (compute is None and importlib.util.find_spec("banyan_sigma")):
        try:
            banyan = importlib.import_module("banyan_sigma")
        except ImportError:
            remedy = "pip install it, or compute=False"
            raise ConfigError("is not installed", field="banyan_sigma", remedy=remedy) from None
        best, source = _run_banyan(stars, banyan), "BANYAN Sigma, run here"
    table = pd.DataFrame(
        {"karmn": stars["karmn"]}
        | {name: best[name] for name in best}
        | {"ymg_ix": stars["ymg_ix"], "schw19": stars["schw19_young_extra"].astype(bool)}
    )
    table = table[(table["probability"] > threshold) | table["schw19"]]
    return table.sort_values("probability", ascending=False, ignore_index=True), source


def draw_velocities(n_stars, seed=0, fractions=None):
    """Draw heliocentric velocities of a simulated sample from the Gaussians of ``COMPONENTS``.

    Parameters
    ----------
    n_stars : int
    seed : int
    fractions : dict of str to float, optional
        Local fractions of ``D``, ``TD`` or ``H``; they are scaled to add up to 1.

    Returns
    -------
    velocities : (3, n_stars) array, km/s
    components : (n_stars,) array of str
        D, TD or H.
    """
    rng = np.random.default_rng(seed)
    weights = np.array([(fractions or {}).get(name, value[0]) for name, value in COMPONENTS.items()])
    names = rng.choice(list(COMPONENTS), size=n_stars, p=weights / weights.sum())
    sigma = np.array([COMPONENTS[name][1] for name in names]).reshape(-1, 3)
    drift = np.array([(0.0, COMPONENTS[name][2], 0.0) for name in names]).reshape(-1, 3)
    return (drift + sigma * rng.standard_normal((n_stars, 3)) - SOLAR_MOTION).T, names


def metallicity_by_population(mh, pop, order=POPULATIONS):
    """Statistics of [M/H] in each population, and two-sample Kolmogorov-Smirnov tests of every pair.

    Parameters
    ----------
    mh : (n_stars,) array, dex
        NaN are left out.
    pop : (n_stars,) array of str
    order : sequence of str
        Populations to use, in this order; those without stars are left out.

    Returns
    -------
    summary : pandas.DataFrame
        pop, N, mean, median, std (N - 1), q16, q84, min, max.
    tests : pandas.DataFrame
        pop1, pop2; KS_D and p of :func:`dtl_core.literature.ties.ks_test`, exact for equal values too; p_untied, which
        ``scipy.stats.ks_2samp`` gives, and the paper: too large if values are equal.
    """
    mh, pop = np.asarray(mh, float), np.asarray(pop, str)
    groups = {name: mh[(pop == name) & np.isfinite(mh)] for name in order}
    groups = {name: values for name, values in groups.items() if len(values)}
    summary = [
        {
            "pop": name,
            "N": len(x),
            "mean": x.mean(),
            "median": np.median(x),
            "std": x.std(ddof=1) if len(x) > 1 else np.nan,
            "q16": np.quantile(x, 0.16),
            "q84": np.quantile(x, 0.84),
            "min": x.min(),
            "max": x.max(),
        }
        for name, x in groups.items()
    ]
    tests = []
    for one, two in itertools.combinations(groups, 2):
        distance, p = ks_test(groups[one], groups[two])
        untied = float(stats.ks_2samp(groups[one], groups[two]).pvalue)
        tests.append({"pop1": one, "pop2": two, "KS_D": distance, "p": p, "p_untied": untied})
    return (
        pd.DataFrame(summary, columns=["pop", "N", "mean", "median", "std", "q16", "q84", "min", "max"]),
        pd.DataFrame(tests, columns=["pop1", "pop2", "KS_D", "p", "p_untied"]),
    )


def main_sequence_luminosity(teff, logg):
    r"""Luminosity of a main-sequence M dwarf from its temperature and gravity alone.

    :math:`M \simeq R` in solar units, so :math:`R/R_\odot = 10^{4.438 - \log g}` and
    :math:`L/L_\odot = (R/R_\odot)^2 (T_{\rm eff}/5772\,{\rm K})^4`.

    An approximation for simulated stars, not valid for young or evolved ones: M/R is 0.98 +- 0.07 for the 280 CARMENES
    stars with measured mass and radius, and L is 0.02 dex too high in the mean with a scatter of 0.08 dex.

    Parameters
    ----------
    teff : (n_stars,) array, K
    logg : (n_stars,) array, cgs

    Returns
    -------
    (n_stars,) array, Lsun

    Examples
    --------
    >>> main_sequence_luminosity([3200, 3800], [5.0, 4.7]).round(4)
    array([0.0071, 0.0562])
    """
    radius = 10 ** (4.438 - np.asarray(logg, float))
    return radius**2 * (np.asarray(teff, float) / 5772.0) ** 4


def luminosity_excess(teff, luminosity, reference):
    r"""Height of stars above the main sequence of a reference sample: :math:`\Delta\log L` at the same temperature.

    The sequence is a quadratic in log Teff, fitted three times to the reference stars within 3 MAD-sigma.

    Parameters
    ----------
    teff, luminosity : (n_stars,) array, K, Lsun
    reference : (n_stars,) array of bool
        Stars that define the sequence.

    Returns
    -------
    (n_stars,) array, dex
        Positive above the sequence; NaN where an input is NaN.

    Raises
    ------
    DataError
        Fewer than 5 reference stars have both values.
    """
    x, y = np.log10(np.asarray(teff, float) / 3500), np.log10(np.asarray(luminosity, float))
    keep = np.asarray(reference, bool) & np.isfinite(x) & np.isfinite(y)
    for _ in range(3):
        if keep.sum() < 5:
            raise DataError(f"only {keep.sum()} reference stars", field="reference", remedy="give at least 5")
        excess = y - np.polyval(np.polyfit(x[keep], y[keep], 2), x)
        spread = 1.4826 * np.median(np.abs(excess[keep]))
        keep &= np.abs(np.nan_to_num(excess, nan=np.inf)) <= 3 * spread + 1e-12
    return excess
