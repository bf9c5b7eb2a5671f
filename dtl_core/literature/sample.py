"""The stars shown in notebooks 05 and 06 and on the book's interactive pages.

These are the stars of the paper if the published tables are available, else those of the benchmark survey with their
true labels.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ..parameters import PARAMETERS
from . import catalogues, kinematics

__all__ = ["Literature", "MAIN", "Stars", "literature_sample", "star_sample", "survey_stars"]


_COMMON = ("Mar21", "Pass19 VIS", "Schw19", "Pass20")
MAIN = {  # the sources that the paper shows, by parameter
    "teff": (*_COMMON, "Bello23", "Interferometric"),
    "logg": _COMMON,
    "mh": (*_COMMON, "Bello23", "FGK+M"),
    "vsini": ("Pass20", "Rein18"),
}


class Literature(NamedTuple):
    """A catalogue and the sources that it is compared with.

    Attributes
    ----------
    published : bool
        Whether these are the published tables.
    catalogue : pandas.DataFrame
        Tidy.
    sources : dict of str to pandas.DataFrame
        Tidy frames by source.
    """

    published: bool
    catalogue: pd.DataFrame
    sources: dict

    def main(self, parameter):
        """Names of the sources that the paper shows for a parameter, or of all if these are not published tables."""
        return [name for name in MAIN[parameter] if name in self.sources] if self.published else list(self.sources)


class Stars(NamedTuple):
    """Properties of stars.

    Attributes
    ----------
    published : bool
        Whether these are the stars of the paper.
    frame : pandas.DataFrame
        See :func:`star_sample`.
    """

    published: bool
    frame: pd.DataFrame


def survey_stars(run):
    """Estimates and true labels of the stars of the benchmark survey.

    Luminosities follow from the true temperature and gravity, see
    :func:`dtl_core.literature.kinematics.main_sequence_luminosity`.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run

    Returns
    -------
    pandas.DataFrame
        A tidy catalogue with ``teff_true`` ..., luminosity [Lsun], population and active.
    """
    survey = catalogues.tidy(run.catalogue).merge(run.truth, on="karmn", suffixes=("", "_true"))
    luminosity = kinematics.main_sequence_luminosity(survey["teff_true"], survey["logg_true"])
    return survey.assign(luminosity=luminosity)


def literature_sample(run):
    """The published catalogue and all available literature tables, or else a run and the true labels of its survey.

    The true labels form two sources, inactive and active stars, with zero errors.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run

    Returns
    -------
    Literature

    Raises
    ------
    DataError
        A published table is damaged.
    """
    names = [name for name, source in catalogues.SOURCES.items() if catalogues.at_hand(source.file)]
    if catalogues.available() and set(_COMMON) <= set(names):
        return Literature(True, catalogues.read_published(), catalogues.read_sources(names))
    exact, active = run.truth.assign(**{f"e_{p}": 0.0 for p in PARAMETERS}), run.truth["active"]
    sources = {"True, inactive": exact[~active], "True, active": exact[active]}
    return Literature(False, catalogues.tidy(run.catalogue), sources)


def star_sample(run):
    """Stars with their parameters, luminosities, populations, activity and velocities.

    Velocities of the paper's stars are computed here; the published ones are ``U_published`` .... Those of simulated
    stars are drawn at random, each from the component in ``drawn``.

    Parameters
    ----------
    run : dtl_core.pipeline.results.Run

    Returns
    -------
    Stars
        The frame has karmn, parameters, luminosity [Lsun], population, active and U, V, W [km/s]; the paper's stars
        also errors of the parameters, e_U, e_V, e_W and all columns of
        :func:`dtl_core.literature.catalogues.read_stars`.

    Raises
    ------
    DataError
        A published table is damaged.
    """
    if catalogues.available(stars=True):
        stars = catalogues.read_stars()
        motion = kinematics.space_velocities_with_errors(stars)
        stars = stars.rename(columns={c: f"{c}_published" for c in ("U", "V", "W")})
        stars = pd.concat([stars, motion[[f"{e}{c}" for c in "UVW" for e in ("", "e_")]]], axis=1)
        names = {"lbol": "luminosity", "pop": "population", "ha_active": "active"}
        published = catalogues.read_published().drop(columns=["ra", "dec"])  # lacks the positions of five stars
        return Stars(True, published.merge(stars, on="karmn").rename(columns=names))
    survey = survey_stars(run)
    velocities, drawn = kinematics.draw_velocities(len(survey), run.config.survey.seed)
    true = {name: survey[f"{name}_true"] for name in PARAMETERS} | dict(zip("UVW", velocities, strict=True))
    of_estimates = [f"{e}_{name}" for name in PARAMETERS for e in "eE"]  # true labels have no errors
    return Stars(False, survey.drop(columns=of_estimates).assign(**true, drawn=drawn))
