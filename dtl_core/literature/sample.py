"""The stars that notebooks 05 and 06 and the book's interactive pages show.

They are the paper's where the published tables are at hand; else the benchmark survey stands in, with its true labels.

    literature_sample(run)    a catalogue and the sources that it is compared with
    star_sample(run)          one row a star: parameters, luminosity, population, activity, velocities
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
    """What is compared: is it published, a tidy catalogue, and tidy frames by the name of their source."""

    published: bool
    catalogue: pd.DataFrame
    sources: dict

    def main(self, parameter):
        """Names of the sources that the paper shows for a parameter; without its tables, of all there are."""
        return [n for n in MAIN[parameter] if n in self.sources] if self.published else list(self.sources)


class Stars(NamedTuple):
    """Stars with what is known besides their spectra: is it published, and the frame (see :func:`star_sample`)."""

    published: bool
    frame: pd.DataFrame


def survey_stars(run):
    """The stars of the benchmark survey as a run found them, beside their true labels.

    Luminosities [Lsun] follow from true temperature and gravity, see
    :func:`dtl_core.literature.kinematics.main_sequence_luminosity`.

    Returns: pandas.DataFrame, a tidy catalogue with ``teff_true`` ..., luminosity, population, active.
    """
    survey = catalogues.tidy(run.catalogue).merge(run.truth, on="karmn", suffixes=("", "_true"))
    luminosity = kinematics.main_sequence_luminosity(survey["teff_true"], survey["logg_true"])
    return survey.assign(luminosity=luminosity)


def literature_sample(run):
    """The published catalogue and every literature table at hand, or a run and the true labels of its survey.

    True labels have no errors: theirs are zero; they are two sources, inactive and active stars.

    Errors: DataError, a published table is damaged.
    """
    found = [n for n, source in catalogues.SOURCES.items() if catalogues.at_hand(source.file)]
    if catalogues.available() and set(_COMMON) <= set(found):
        return Literature(True, catalogues.read_published(), {n: catalogues.read_literature(n) for n in found})
    exact, active = run.truth.assign(**{f"e_{p}": 0.0 for p in PARAMETERS}), run.truth["active"]
    sources = {"True, inactive": exact[~active], "True, active": exact[active]}
    return Literature(False, catalogues.tidy(run.catalogue), sources)


def star_sample(run):
    """One row a star: karmn, parameters with errors, luminosity [Lsun], population, active; U, V, W [km/s].

    The paper's stars have all columns of :func:`dtl_core.literature.catalogues.read_stars` besides, and e_U, e_V, e_W;
    their velocities are computed here, the published ones are ``U_published`` .... Those of simulated stars are drawn
    at random, each from the component in ``drawn``.

    Errors: DataError, a published table is damaged.
    """
    if catalogues.available(stars=True):
        stars = catalogues.read_stars()
        motion = kinematics.space_velocities_with_errors(stars)
        stars = stars.rename(columns={c: f"{c}_published" for c in ("U", "V", "W")})
        stars = pd.concat([stars, motion[[f"{e}{c}" for c in "UVW" for e in ("", "e_")]]], axis=1)
        names = {"lbol": "luminosity", "pop": "population", "ha_active": "active"}
        published = catalogues.read_published().drop(columns=["ra", "dec"])  # which lacks the positions of five stars
        return Stars(True, published.merge(stars, on="karmn").rename(columns=names))
    survey = survey_stars(run)
    velocities, drawn = kinematics.draw_velocities(len(survey), run.config.survey.seed)
    true = {name: survey[f"{name}_true"] for name in PARAMETERS} | dict(zip("UVW", velocities, strict=True))
    return Stars(False, survey.assign(**true, drawn=drawn))
