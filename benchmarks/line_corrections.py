"""Learn corrections of the library's lines from quiet real stars of known parameters, store them and test them.

The stars are those of type M3.5 or so without rotation or activity. For the test each of them is left out in turn: its
published values are then unknown to the fit, which measures its parameters, but its spectrum is part of the fit. For
comparison the star is also measured with the lines of the library. The record ``line_corrections`` has the results, and
the embedded file the corrections that are learned from all of them.

    python benchmarks/line_corrections.py [--folder FOLDER]          some minutes
"""

import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd

from dtl_core.config import load_profile
from dtl_core.errors import DataError
from dtl_core.files import file_hash
from dtl_core.literature import real_stars
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import records
from dtl_core.preparing import chain
from dtl_core.spectra import operators
from dtl_core.synthetic import line_corrections
from dtl_core.synthetic.label_grid import main_sequence_logg
from dtl_core.synthetic.line_fit import BROAD, SHARED, FittedStar, fit_lines

STARS = ("GJ 699", "GJ 273", "G 9-40")  # quiet, slowly rotating, published Teff and [M/H]
RESOLVING_POWER = 53_000.0  # of HPF
VSINI = 1.0  # km/s: upper limits of 2 are published
DRAWS = 48
LABELS = PARAMETERS[:3]
# Assumed slopes of the added depth, as mean and deviation.
SLOPES = {"teff slope": (0.0, line_corrections.TEFF_SLOPE), "mh slope": (0.0, line_corrections.MH_SLOPE)}
CODE = records.code_of_script(__file__)


def config():
    """Settings of the window and its preparation at the resolving power of the spectra."""
    return load_profile("demo", {"window.resolving_power": RESOLVING_POWER})


def observed(star, settings, *, known=True):
    """The first full exposure of a star as the input of the fit; None if its file is not on this machine."""
    entry = next(entry for entry in star.spectra if not entry.cut)
    spectrum = real_stars.read_spectrum(star, entry)
    if spectrum is None:
        return None
    flux, report = chain.prepare(spectrum, settings)
    published = {p: real_stars.published_of(star, p) for p in LABELS if known}
    values = {p: one.values[0] for p, one in published.items() if one}  # of the source on the best scale
    labels, errors = ({p: getattr(one, name) for p, one in values.items()} for name in ("value", "error"))
    binned = operators.binned(flux[None], settings.window.step)[0]
    lost = telluric(spectrum, report.velocity, settings)
    return FittedStar(star.name, binned, report.snr, VSINI, labels, errors, lost)


def telluric(spectrum, velocity, settings):
    """Pixels of the fit (n_pixels,) that telluric lines or bad pixels touch."""
    grid = operators.window_grid(settings.window, margin=False)
    rest = operators.doppler_shift(spectrum.wavelength, -velocity)
    touched = np.interp(grid, rest, spectrum.telluric | spectrum.mask) > 0
    return operators.binned(touched[None].astype(float), settings.window.step)[0] > 0


def learn(names=STARS, left_out=None, *, lines=True, draws=0, progress=None):
    """Fit real stars; the published values of ``left_out`` are not used. Other arguments: as for ``fit_lines``.

    Raises
    ------
    DataError
        A spectrum is not on this machine.
    """
    stars, settings = real_stars.load_real_stars(), config()
    fitted = [observed(stars[name], settings, known=name != left_out) for name in names]
    if None in fitted:
        raise DataError("a spectrum is missing", file="observed/", remedy="dtl data fetch hpf, or set DTL_DATA")
    return fit_lines(fitted, settings, lines=lines, draws=draws, progress=progress)


def guess():
    """What the fit assumes of a star before it sees the spectrum: dict of the labels."""
    teff, mh = BROAD["teff"][0], BROAD["mh"][0]
    return {"teff": teff, "logg": float(main_sequence_logg(teff, mh)), "mh": mh}


def test(names=STARS):
    """Measure each star while its published values are unknown.

    Returns
    -------
    measured : DataFrame
        One row per star and parameter, as for :func:`dtl_core.literature.real_stars.left_out_summary`; also error
        (of ours), e_published and source.
    residuals : DataFrame
        One row per star: rms of its residual when left out, ``corrected`` and with the lines of the ``library``, and
        the evidence of the former fit.
    """
    rows, residuals, stars, prior = [], [], real_stars.load_real_stars(), guess()
    for name in names:
        begun = time.perf_counter()
        (_, corrected, evidence), (_, plain, _) = (learn(names, name, lines=lines) for lines in (True, False))
        own, plain = (found.set_index("star").loc[name] for found in (corrected, plain))
        residuals.append({"star": name, "corrected": own["rms"], "library": plain["rms"], "evidence": evidence})
        for p in LABELS:
            published = real_stars.published_of(stars[name], p)
            if published is None:
                continue
            row = {"star": name, "parameter": p, "ours": own[p], "error": own[f"e_{p}"], "library": plain[p]}
            row |= {"prior": prior[p], "published": published.value, "e_published": published.error}
            rows.append(row | {"source": published.source})
        print(pd.DataFrame(rows[-2:]).to_string(), f"{time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return pd.DataFrame(rows), pd.DataFrame(residuals)


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Of the record; the package's by default.")
@click.option("--file", type=click.Path(path_type=Path), default=line_corrections.FILE, help="To write.")
def main(folder, file):
    """Learn the corrections, test them, and write both."""
    corrections, found, evidence = learn(draws=DRAWS)
    print(corrections.save(file), file=sys.stderr)
    measured, residuals = test()
    summary = real_stars.left_out_summary(measured)
    values = {"sha256": file_hash(file), "stars": records.lines(found), "evidence": evidence}
    values |= {"resolving_power": RESOLVING_POWER, "vsini": VSINI, "broad": BROAD, "shared": SHARED | SLOPES}
    values |= {"left_out": records.lines(measured), "residuals": records.lines(residuals)}
    print(records.write("line_corrections", values | {"summary": records.lines(summary)}, folder, code=CODE))


if __name__ == "__main__":
    main()
