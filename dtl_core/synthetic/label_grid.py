"""Labels of the synthetic spectra: the grid, and which of its combinations are main-sequence stars."""

from __future__ import annotations

import numpy as np

from ..errors import DataError

__all__ = ["is_main_sequence", "label_grid", "main_sequence_logg", "survey_logg"]


# Label combinations of the paper (phoenix_labels.npy) and of is_main_sequence on the paper's grid: number in each, in
# both, in one only. The labels are not shipped; a test counts them where they are available.
CUT_AGREEMENT = {"paper": 1767, "rule": 1808, "both": 1717, "only_rule": 91, "only_paper": 50}


COOL = 3500.0  # K: relations and models of M dwarfs disagree more below it

# Of main_sequence_logg, in its order; a test fits them again to the published relations.
RELATION = (5.049, 0.453, 3110.0, 95.0, 665.0, -0.253)


def main_sequence_logg(teff, mh):
    r"""Surface gravity of a main-sequence M dwarf, from its mass and radius.

    .. math:: \log g = 5.049 - 0.453 \tanh \frac{T_\mathrm{eff} - 3110 - 95 \,\mathrm{[M/H]}}{665}
              - 0.253 \,\mathrm{[M/H]}

    Parameters
    ----------
    teff : array, K
    mh : array, dex

    Returns
    -------
    array, dex

    Notes
    -----
    Fitted (``RELATION``) to 2850-4000 K and [Fe/H] -0.6 to +0.5, where it agrees to 0.006 dex rms with three
    empirical relations: radius of Teff and [Fe/H] (Mann et al. 2015, erratum 2016, Table 1, 9.3 % in radius), M_Ks of
    this radius and [Fe/H] (same table), and mass of M_Ks and [Fe/H] (Mann et al. 2019). [M/H] is used as [Fe/H]. It is
    extrapolated to 2600-4500 K and [M/H] -1 to +0.6.

    At Teff and [M/H] that Mas-Buitrago et al. (2024) publish, log g of mass and radius (Schweitzer et al. 2019, 278
    stars) is higher than the relation by 0.08 dex below 3200 K, by 0.04 dex between 3200 and 3500 K and by 0.03 dex
    above in the mean, with rms 0.084 dex. The labels of the embedded survey do not follow it, but
    :func:`survey_logg`.

    Examples
    --------
    >>> from dtl_core.synthetic.label_grid import main_sequence_logg
    >>> round(float(main_sequence_logg(3300, 0.1)), 4)
    4.9037
    """
    level, height, middle, shift, width, slope = RELATION
    teff, mh = np.asarray(teff, float), np.asarray(mh, float)
    return level - height * np.tanh((teff - middle - shift * mh) / width) + slope * mh


def survey_logg(teff, mh):
    r"""Surface gravity of the simulated stars of the embedded survey, set B.

    .. math:: \log g = 4.78 - 0.105 t - 0.235 \,\mathrm{[M/H]}, \quad t = (T_\mathrm{eff} - 3500) / 500

    Describes the labels of set B (rms 0.05 dex) and the combinations that the paper keeps after its cut with PARSEC
    isochrones (rms 0.08 dex). It is too low for real stars below 3500 K (:func:`main_sequence_logg`). It tells how
    well log g of the simulated stars is known without any spectrum of gravity.

    Parameters
    ----------
    teff : array, K
    mh : array, dex

    Returns
    -------
    array, dex
    """
    return 4.78 - 0.105 * (np.asarray(teff) - 3500) / 500 - 0.235 * np.asarray(mh)


def is_main_sequence(teff, logg, mh):
    """Whether labels belong to a main-sequence star: a rule for the paper's cut with PARSEC isochrones.

    With t = (Teff - 3500 K) / 1000 K, m = [M/H], m' = min(m, 0.2), a label is kept if ::

        log g <= old       old = 4.864 - 0.089 u + 0.064 u^2 - 0.165 tanh((u + 0.142) / 0.478) - 0.137 m',
                           u = (1 - 0.096 m) t + 0.416 m
        log g >= old - s   s = 0.03 + 0.53 / (1 + exp((Teff - 2925 K + 245 K m) / 295 K))
        Teff >= T0         T0 = 2558 K - 570 K m' - 232 K exp(-(old - log g) / 0.09)

    and if it lies within half a step of the paper's outermost nodes: Teff 2325-4475 K, log g >= 4.7, [M/H] -1 to +0.6.

    Parameters
    ----------
    teff : array, K
    logg, mh : array, dex
        The three broadcast.

    Returns
    -------
    array of bool

    Notes
    -----
    We read ``old`` as the oldest isochrone, which shifts along Teff with [M/H] and is steepest where stars become fully
    convective; ``s`` as how far younger stars, still contracting, lie below it (for hot stars only by the tolerance,
    0.03); ``T0`` as the star of the lowest mass, 0.1 solar masses, which cools with age.

    The 19 coefficients were fitted to the label combinations published with the paper (Mas-Buitrago et al. 2024, A&A
    687, A205, after Passegger et al. 2020, A&A 642, A22), which gives neither ages nor the tolerance of its cut. On the
    paper's grid the rule keeps 1808 combinations: 1717 of the paper's 1767 and 91 others. It misses 50 (intersection
    over union 0.924). All but two of those 141 lie one step from the other set. Fitted to every second Teff, such a
    rule reaches 0.93 there and 0.905 on the Teff in between, one of 30 coefficients 0.945 and 0.906: more coefficients
    would fit noise.
    """
    teff, logg, mh = np.broadcast_arrays(np.asarray(teff, float), logg, mh)
    t, low_mh = (teff - 3500) / 1000, np.minimum(mh, 0.2)
    u = (1 - 0.096 * mh) * t + 0.416 * mh
    old = 4.864 - 0.089 * u + 0.064 * u**2 - 0.165 * np.tanh((u + 0.142) / 0.478) - 0.137 * low_mh
    spread = 0.03 + 0.53 / (1 + np.exp((teff - 2925 + 245 * mh) / 295))
    coolest = 2558 - 570 * low_mh - 232 * np.exp(-(old - logg) / 0.09)
    inside = (teff > 2312.5) & (teff < 4487.5) & (logg > 4.65) & (mh > -1.05) & (mh < 0.65)
    return inside & (logg <= old) & (logg >= old - spread) & (teff >= coolest)


def label_grid(config):
    """Main-sequence label combinations.

    Parameters
    ----------
    config : SyntheticConfig
        ``main_sequence = "paper"`` keeps what :func:`is_main_sequence` accepts, ``"band"`` the labels within
        ``main_sequence_width`` of :func:`main_sequence_logg`, or ``main_sequence_width_cool`` below 3500 K.

    Returns
    -------
    (n, 3) array
        Teff [K], log g, [M/H]; sorted.

    Raises
    ------
    DataError
        No combination is left.

    Examples
    --------
    >>> from dtl_core.config import SyntheticConfig
    >>> from dtl_core.synthetic.label_grid import label_grid
    >>> len(label_grid(SyntheticConfig()))
    1597
    """
    teff = np.arange(config.teff_min, config.teff_max + 1e-6, config.teff_step)
    mh = np.arange(round((config.mh_max - config.mh_min) / config.mh_step) + 1) * config.mh_step + config.mh_min
    logg = np.arange(round(1.0 / config.logg_step) + 1) * config.logg_step + 4.5
    grid = np.stack(np.meshgrid(teff, logg, mh, indexing="ij"), axis=-1).reshape(-1, 3).round(6)
    if config.main_sequence == "band":
        width = np.where(grid[:, 0] < COOL, config.main_sequence_width_cool, config.main_sequence_width)
        near = np.abs(grid[:, 1] - main_sequence_logg(grid[:, 0], grid[:, 2])) <= width
    else:
        near = is_main_sequence(*grid.T)
    if not near.any():
        field, remedy = "main_sequence_width", "widen it"
        if config.main_sequence != "band":
            field, remedy = "main_sequence", "widen the ranges of Teff and [M/H], take finer steps or the band"
        raise DataError("no combination is left", field=f"synthetic.{field}", remedy=remedy)
    return grid[near]
