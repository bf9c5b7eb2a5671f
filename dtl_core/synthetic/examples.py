"""Example spectra: simulated stars, written as files that a user might have."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import Table

from ..config import load_profile
from ..files import write_atomic
from ..parameters import PARAMETERS
from ..spectra import operators
from . import libraries, simulated_survey
from .line_corrections import load_corrections

__all__ = ["write_examples"]


SEED = 77  # of a survey that no model has seen
DRAW = 40  # of the corrections, among those that training does not use
REPLACED = ("line_strength", "missing_lines", "unknown_lines")  # errors of lines, instead of which lines are corrected
VELOCITY = (31.4, -17.2, 8.5)  # km/s, barycentric


def write_examples(folder, *, seed=SEED):
    """Write three simulated M dwarfs, a cool, a medium and a hot one, as ECSV.

    They have a radial velocity, a blaze, water lines, photon noise, and lines that were corrected by real stars, in a
    draw of the corrections that no model was trained on. They are not real stars.

    Parameters
    ----------
    folder : path
    seed : int
        Added to that of the benchmark survey.

    Returns
    -------
    paths : list of Path
    truth : DataFrame
        True labels: star, teff [K], logg, mh, vsini [km/s].
    """
    config = load_profile("demo", {f"survey.{name}": 0.0 for name in REPLACED})
    config = dataclasses.replace(config, survey=dataclasses.replace(config.survey, seed=config.survey.seed + seed))
    library = libraries.load_library(config.survey.library)
    truth, rows = simulated_survey.draw_truth(library, config)
    order = np.argsort(truth["teff"].to_numpy())
    chosen = order[np.round(np.array([0.1, 0.5, 0.9]) * (len(order) - 1)).astype(int)]
    truth, rows = truth.iloc[chosen].reset_index(drop=True), rows[chosen]
    opacity = load_corrections().opacity(library, rows, DRAW)
    light = simulated_survey.starlight(truth, rows, config, opacity=opacity)
    flux = simulated_survey.detected(light, truth, config)
    wavelength, paths = operators.window_grid(config.window), []
    for star, spectrum, velocity in zip(truth.itertuples(), flux, VELOCITY, strict=True):
        counts = spectrum * star.snr**2
        table = Table(
            {
                "wavelength": operators.doppler_shift(wavelength, velocity).round(5) * units.AA,
                "flux": counts.round(2),
                "uncertainty": np.sqrt(np.maximum(counts, 1)).round(2),
            }
        )
        table.meta = {
            "STAR": f"Example {star.karmn}",
            "INSTRUME": "simulated",
            "RESOLVING_POWER": config.window.resolving_power,
            "FRAME": "barycentric",
            "MEDIUM": "vacuum",
            "COMMENT": "a simulated star of dtl-mdwarfs, not a real one",
        }
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        paths.append(write_atomic(Path(folder) / f"example_{star.karmn}.ecsv", text.getvalue()))
    labels = truth[["karmn", *PARAMETERS]].rename(columns={"karmn": "star"})
    return paths, labels.assign(star="Example " + labels["star"])
