"""Ours against published values of real stars: every real spectrum at hand through the shipped models.

Each exposure comes as it is, brought to a lower resolving power, and with noise added (fixed seeds); the windows that
were cut from some of the exposures come as well. The record of the package is replaced; files that are missing are
listed in it.

    python benchmarks/real_stars.py [--models MODELS] [--folder FOLDER]          some seconds
"""

import dataclasses

import click
import numpy as np
import pandas as pd

from dtl_core.errors import DataError
from dtl_core.estimates.calibration import LEVELS
from dtl_core.literature import real_stars
from dtl_core.models import loading, prediction
from dtl_core.models.specialist import STRANGE
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records
from dtl_core.preparing import chain

RESOLVING_POWER = 42_000.0
SNR = (60, 20)
DRAWS = 10  # of noise
SEED = 0
CODE = records.code_of_script(__file__)


def degraded(spectrum, resolving_power=RESOLVING_POWER):
    """A Spectrum at a lower resolving power; lost pixels are bridged before."""
    wave, flux = spectrum.wavelength, chain.bridge(spectrum.wavelength, spectrum.flux, spectrum.mask)
    flux = chain.match_resolution(wave, flux, spectrum.resolving_power, resolving_power)
    return dataclasses.replace(spectrum, flux=flux, resolving_power=resolving_power)


def noisy(spectrum, snr, seed):
    """A Spectrum with white noise added, so that its median signal-to-noise is ``snr``; None if it is lower anyway."""
    now = chain.signal_to_noise(spectrum)
    if not now > snr:
        return None
    sigma = np.median(spectrum.flux[~spectrum.mask]) * np.sqrt(snr**-2 - now**-2)
    flux = spectrum.flux + np.random.default_rng(seed).normal(0, sigma, len(spectrum.flux))
    return dataclasses.replace(spectrum, flux=flux, uncertainty=np.hypot(spectrum.uncertainty, sigma))


def variants(spectrum, cut, draws=DRAWS):
    """Yield (variant, draw, Spectrum), the spectrum as it is first; of a cut spectrum that one alone."""
    yield "cut" if cut else "exposure", 0, spectrum
    if cut:
        return
    yield f"R = {RESOLVING_POWER:.0f}", 0, degraded(spectrum)
    for snr in SNR:
        for draw in range(draws):
            changed = noisy(spectrum, snr, [SEED, snr, draw])
            if changed is not None:
                yield f"S/N = {snr}", draw, changed


def estimate(model, spectrum):
    """Estimates of a Spectrum with their intervals, flag, p-value and the residual of the fit: dict of plain values."""
    (found,), _ = prediction.examine(model, spectrum)
    model_flux = model.specialist_for(spectrum.resolving_power).reconstruct(found.found[None]).numpy()[0]
    row = {}
    for k, p in enumerate(PARAMETERS):
        row[p] = found.median[k]
        for level in (68, 90):
            place = LEVELS.index(level / 100)
            row[f"low{level}_{p}"], row[f"high{level}_{p}"] = found.low[k, place], found.high[k, place]
    row |= {"p_value": found.p, "strange": found.strange if found.p <= STRANGE else ""}
    row |= {"rms": float(np.sqrt(np.mean((found.flux - model_flux) ** 2))), "snr": found.report.snr}
    return row | {"velocity": found.report.radial_velocity, "warnings": "; ".join(found.warnings)}


def measure(model, stars=None, draws=DRAWS):
    """Figures of the record: the model, the stars that it has seen, missing files, and a line for each spectrum.

    Errors
    ------
    DataError : no real spectrum is on this machine, or the model has seen one of the stars.
    """
    rows, missing = [], []
    for star in (stars or real_stars.load_real_stars()).values():
        real_stars.check_unseen(star, model.seen)
        for entry in star.spectra:
            spectrum = real_stars.read_spectrum(star, entry)
            if spectrum is None:
                missing.append(entry.file)
                continue
            for variant, draw, changed in variants(spectrum, entry.cut, draws):
                about = {"star": star.name, "file": entry.file, "observed": entry.observed, "variant": variant}
                rows.append(about | {"draw": draw} | estimate(model, changed))
    if not rows:
        raise DataError("no real spectrum found", file="observed/", remedy="dtl data fetch hpf, or set DTL_DATA")
    table = pd.DataFrame(rows)
    about = {"models": model.name, "sha256": [one[:12] for one in loading.hashes(model.name)]}
    return about | {"seen": list(model.seen), "missing": missing, "lines": records.lines(table)}


@click.command()
@click.option("--models", default="shipped", help="As for dtl predict.")
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
def main(models, folder):
    """Estimate all real stars and write the record."""
    print(records.write("real_stars", measure(loading.load(models)), folder, code=CODE))


if __name__ == "__main__":
    main()
