"""Foreign effects: properties of real spectra that neither the models nor the survey's usual effects have.

They test methods, which were chosen on the benchmark survey, against errors that they were not prepared for. Each has a
strength in ``ForeignConfig``: 0, the default, is off, and 1 is the strength of :data:`STRENGTHS`, which follows what
real spectra show and was fixed before any method was measured with it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["STRENGTHS", "Strength"]


class Strength(NamedTuple):
    """A foreign effect at strength 1.

    Attributes
    ----------
    amounts : dict of str -> float or (float, float)
        Pairs are the ends of a uniform distribution, drawn for each star.
    sources : tuple of str
        Keys of the book's bibliography.
    basis : str
        What the sources say, and what is our choice.
    """

    amounts: dict
    sources: tuple[str, ...]
    basis: str


STRENGTHS = {
    "molecular_opacity": Strength(
        {"common": 0.15, "scatter": 0.05},  # dex of opacity, of all stars (either sign) and star by star
        ("wende2010", "veyette2016"),
        "Lines of FeH need factors on their Einstein A; [C/Fe] and [O/Fe] vary by 0.2 dex, and TiO with them. The "
        "scale is our choice within these.",
    ),
    "opacity": Strength(
        {"common": 0.10, "scatter": 0.03},  # dex of opacity
        ("passegger2022",),
        "Methods disagree by 0.1 to 0.3 dex in [M/H] for the same star: 0.1 dex in the opacity of all lines.",
    ),
    "nlte": Strength(
        {"slope": 0.10, "scatter": 0.03},  # dex of opacity per 500 K, and star by star
        ("hauschildt1997", "olander2021", "mallinson2024"),
        "Departures from LTE of Ti I reach 0.4 dex over a grid of late-type stars and are large in M dwarfs: +-0.14 "
        "dex between 2900 and 4300 K is our choice, of either sign for each species.",
    ),
    "zeeman": Strength(
        {"active": (2.0, 5.0), "inactive": (0.05, 1.15), "lande": 1.2},  # kG, kG and the mean effective Lande factor
        ("shulyak2019", "reiners2022", "cristofari2023", "kochukhov2021"),
        "Mean fields are some kG in active stars, and 0.05 to 1.15 kG in weakly and moderately active ones.",
    ),
    "lsf_wings": Strength(
        {"share": (0.05, 0.10), "half_width": 0.3},  # share of the light, and half width at half maximum in A
        ("schmidt2024",),
        "Profiles of echelle spectrographs are not Gaussian; 5 to 10 % of the light in a pedestal of six "
        "resolution elements is our choice.",
    ),
    "scattered_light": Strength(
        {"level": (0.01, 0.05)},  # of the continuum
        ("esolisca",),
        "Typical values of spectrographs are around a few per cent.",
    ),
    "wavelength_scale": Strength(
        {"common": 300.0, "scatter": 150.0, "period": (40.0, 100.0)},  # m/s, m/s and A
        ("whitmore2010",),
        "Distortions within an order of 100 to more than 200 m/s in UVES, which are smaller than those of HIRES: "
        "300 m/s is our choice.",
    ),
    "spots": Strength(
        {"active": (0.2, 0.5), "inactive": (0.0, 0.05), "ratio": (0.75, 0.93)},  # filling factors, Teff over Teff
        ("berdyugina2005", "jackson2013", "barnes2015"),
        "Very active M dwarfs: filling factors of 0.4 +- 0.1 and spots of 0.7 +- 0.05 times the photosphere's Teff; "
        "mid and late ones: a few per cent and 200 to 300 K. The contrast grows with Teff.",
    ),
    "companion": Strength(
        # share of the stars, ratio of fluxes, km/s, K, km/s and dex
        {"share": 0.4, "ratio": (0.02, 0.15), "apart": (5.0, 60.0), "teff": (2900.0, 3300.0), "vsini": (2.0, 10.0),
         "logg": 5.0},
        ("baroch2018", "cifuentes2025"),
        "Four in ten M dwarfs are in multiple systems, and one in 38 has double lines: the share is an upper limit, "
        "for companions within the aperture that are too faint to be noticed.",
    ),
    "telluric_residuals": Strength(
        {"lines": 24, "residual": 0.02},  # rms at the centre of the strongest lines, of the continuum
        ("smette2015",),
        "Residuals of corrected lines are often below 2 % of the continuum.",
    ),
    "other_continuum": Strength(
        {"bend": 0.03, "cubic": 0.03, "fringes": (0.005, 0.015), "period": (4.3, 11.8)},  # rms, rms, amplitude and A
        ("esofringes",),
        "Fringes are 10 % and more in the flat fields of a thinned detector at 8600 A; a tenth of them is left over. "
        "Periods are those of 90-250 microns of silicon. Curvature of three times the survey's is our choice.",
    ),
}  # fmt: skip
