"""Compare estimates of all available real spectra with published values, by models that have not seen the star.

    python benchmarks/real_stars.py left_out        the stars that correct the lines; about an hour
    python benchmarks/real_stars.py shipped         the other stars, by the shipped models; some seconds

For ``left_out``, a model is made without each of these stars, in turn, at the resolving power of HPF and as the shipped
ones are, though with fewer networks. It is kept in the folder of the runs until its code, settings or data change. The
systematic errors that the error bars of a star contain are learned from the other stars; those learned from all of them
become part of the models that are built afterwards.

Each exposure is used as it is, with noise added (fixed seeds), and for stars of the shipped models at lower resolving
power; the windows that were cut from some of the exposures are used as well. One part of the record of the package is
replaced; files that are missing are listed in it.
"""

import dataclasses
import hashlib
import json
import sys
import time
from pathlib import Path

import click
import line_corrections
import numpy as np
import pandas as pd

from dtl_core import machine
from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.estimates.calibration import LEVELS
from dtl_core.files import file_hash
from dtl_core.literature import real_stars
from dtl_core.models import loading, making, prediction, real_errors
from dtl_core.models.specialist import Specialist, read_specialist
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records
from dtl_core.pipeline.store import default_root
from dtl_core.preparing import chain
from dtl_core.public_data import registry

RESOLVING_POWER = 42_000.0
SNR = (60, 20)
DRAWS = 10  # of noise
SEED = 0
MEMBERS = 2  # networks of a model without a star
LEFT_OUT = line_corrections.STARS
CODE = records.code_of_script(__file__, "benchmarks.line_corrections")
MAKING = ("benchmarks.line_corrections", "dtl_core.models.making")


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


def variants(spectrum, cut, draws=DRAWS, lowest=0.0):
    """Yield (variant, draw, Spectrum): first the spectrum as it is; for a cut spectrum nothing else.

    A resolving power below ``lowest`` is left out.
    """
    yield "cut" if cut else "exposure", 0, spectrum
    if cut:
        return
    if lowest <= RESOLVING_POWER:
        yield f"R = {RESOLVING_POWER:.0f}", 0, degraded(spectrum)
    for snr in SNR:
        for draw in range(draws):
            changed = noisy(spectrum, snr, [SEED, snr, draw])
            if changed is not None:
                yield f"S/N = {snr}", draw, changed


def estimate(model, spectrum):
    """Estimates of a Spectrum with their intervals, flag, p-value and the residual of the fit: dict of plain values."""
    (found,), _ = prediction.examine(model, spectrum)
    model_flux = model.specialist_for(spectrum.resolving_power).reconstruct(found.found[None])[0]
    row = {}
    for k, p in enumerate(PARAMETERS):
        row[p] = found.median[k]
        for level in (68, 90):
            place = LEVELS.index(level / 100)
            row[f"low{level}_{p}"], row[f"high{level}_{p}"] = found.low[k, place], found.high[k, place]
    row |= {"p_value": found.p, "flag": found.flag.replace("strange", f"strange ({found.strange})")}
    row |= {"rms": float(np.sqrt(np.mean((found.flux - model_flux) ** 2))), "snr": found.report.snr}
    return row | {"velocity": found.report.radial_velocity, "warnings": "; ".join(found.warnings)}


def measure(model, stars=None, draws=DRAWS):
    """Estimate spectra with a model that has not seen their stars.

    Returns
    -------
    table : DataFrame
        One row per spectrum, as returned by :func:`estimate`.
    missing : list of str
        Files that are not on this machine.

    Raises
    ------
    DataError
        No real spectrum is on this machine, or the model has seen one of the stars.
    """
    rows, missing, lowest = [], [], min(one.resolving_power for one in model.specialists)
    for star in (stars or real_stars.load_real_stars()).values():
        real_stars.check_unseen(star, model.seen)
        for entry in star.spectra:
            spectrum = real_stars.read_spectrum(star, entry)
            if spectrum is None:
                missing.append(entry.file)
                continue
            for variant, draw, changed in variants(spectrum, entry.cut, draws, lowest):
                about = {"star": star.name, "file": entry.file, "observed": entry.observed, "variant": variant}
                rows.append(about | {"draw": draw} | estimate(model, changed))
    if not rows:
        raise DataError("no real spectrum found", file="observed/", remedy="dtl data fetch hpf, or set DTL_DATA")
    return pd.DataFrame(rows), missing


def key_of(stars, settings):
    """Short hash of what a model depends on: code, settings, and the spectra and published values of its stars."""
    inputs = [records.digest(MAKING), sorted(settings.items()), file_hash(real_stars.FILE)]
    for name in stars:
        entry = next(entry for entry in real_stars.load_real_stars()[name].spectra if not entry.cut)
        path = registry.find(entry.file)
        inputs.append([name, path and file_hash(path)])
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]


def without(name, settings=None, folder=None):
    """A model that is made without a star, without systematic errors: a Specialist.

    Arguments: star; settings; folder, where it is kept.
    """
    others, settings = [star for star in LEFT_OUT if star != name], {"models.members": MEMBERS} | (settings or {})
    path = Path(folder) / f"{name.replace(' ', '_')}-{key_of(others, settings)}.safetensors" if folder else None
    if path and path.is_file():
        return read_specialist(path)
    corrections, _, _ = line_corrections.learn(others, draws=line_corrections.DRAWS)
    config = load_profile("demo", settings)
    one = making.make_specialist(config, line_corrections.RESOLVING_POWER, corrections=corrections, tested=False)
    return read_specialist(one.save(path)) if path else one


def with_systematics(one, systematics):
    """A Specialist whose error bars contain systematic errors."""
    return Specialist(one.arrays, one.card | {"systematics": systematics})


def left_out(names=LEFT_OUT, settings=None, draws=DRAWS, folder=None):
    """Figures of the part ``left_out``: estimates of each star without it, and the systematic errors of all of them.

    Arguments: stars; settings and folder, as for :func:`without`; draws of noise.
    """
    stars, models, tables = real_stars.load_real_stars(), {}, {}
    for name in names:
        begun = time.perf_counter()
        models[name] = without(name, settings, folder)
        tables[name], missing = measure(loading.Model([models[name]], "left out"), {name: stars[name]}, 0)
        if missing:
            raise DataError("a spectrum is missing", file=missing[0], remedy="dtl data fetch hpf, or set DTL_DATA")
        print(tables[name].to_string(), f"{time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)

    def learned(among):
        known = pd.concat([tables[name] for name in among])
        changes = real_stars.variation(known[known["variant"].isin(["exposure", "cut"])])
        judged = known[known["variant"] == "exposure"].drop_duplicates("star")
        return real_errors.learn_systematics(real_stars.compare(judged), real_errors.instrument_errors(changes))

    final = []
    for name in names:
        one = with_systematics(models[name], learned([other for other in names if other != name]))
        table, _ = measure(loading.Model([one], "left out"), {name: stars[name]}, draws)
        final.append(table.assign(model=f"without {name}"))
    about = {"networks": models[names[0]].card["members"], "resolving_power": line_corrections.RESOLVING_POWER}
    return about | {"systematics": learned(names), "lines": records.lines(pd.concat(final))}


def shipped(models="shipped"):
    """Figures of the part ``shipped``: estimates of the stars that the models have not seen."""
    model = loading.load(models)
    seen = set(model.seen)
    stars = {name: star for name, star in real_stars.load_real_stars().items() if name not in seen}
    table, missing = measure(model, stars)
    about = {"models": model.name, "sha256": [one[:12] for one in loading.hashes(models)], "seen": sorted(seen)}
    return about | {"missing": missing, "lines": records.lines(table.assign(model=model.name))}


@click.command()
@click.argument("part", type=click.Choice(["left_out", "shipped"]))
@click.option("--models", default="shipped", help="As for dtl predict, for the part of this name.")
@click.option("--results", type=click.Path(path_type=Path), help="Folder of the runs.")
@click.option("--folder", type=click.Path(), help="Of the record; the package's by default.")
def main(part, models, results, folder):
    """Estimate real stars and write a part of the record."""
    machine.one_thread()
    kept = Path(results or default_root()) / "benchmarks" / "real_stars"
    values = left_out(folder=kept) if part == "left_out" else shipped(models)
    print(records.add("real_stars", part, values, folder=folder, code=CODE))


if __name__ == "__main__":
    main()
