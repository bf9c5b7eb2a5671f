"""Adapt a model to an instrument with spectra of a survey, which need no labels: method ``combined`` of the benchmark.

    adapted = model.adapt("survey/")
    adapted.save("my_instrument")            then: dtl predict --models my_instrument FILES...

:class:`dtl_core.bridging.corrections.Combined` learns what all spectra of the survey have in common compared with
synthetic ones: lines that are too strong or too weak, the instrument, the atmosphere. Its errors are calibrated on
simulated surveys of as many stars, each adapted in the same way, so that errors common to a survey are included.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime

import numpy as np
import torch

from .. import machine
from .._version import __version__
from ..arguments import VELOCITY, a_flag, a_number, a_path, checked, instance
from ..bridging.corrections import Combined
from ..bridging.emulator import load_emulator
from ..bridging.fits import LeastSquares
from ..errors import ConfigError, DataError
from ..estimates import outliers
from ..parameters import ANCHOR_ERRORS, PARAMETERS
from ..preparing import chain
from ..reading.readers import READING
from ..reading.sources import read_many
from ..reading.star_tables import name_key, read_star_table, star_values
from ..spectra.spectrum import Spectrum
from ..synthetic.kinds import KINDS
from . import making
from .specialist import Specialist
from .specialists import Specialists

__all__ = ["FEWEST", "N_TWINS", "adapt", "read_anchors", "steps"]


FEWEST = 30  # spectra: in fewer, common features cannot be separated from individual ones
N_TWINS = 20  # simulated surveys, adapted in the same way, that calibrate the errors
OF_THE_BASE = ("training", "figures", "kinds", "corrected", "corrections")  # in its card, not true of the adapted model
MOST_TWINS = 100  # most stars in each of them
COLUMNS = {"teff": ("teff",), "logg": ("logg", "log g"), "mh": ("mh", "[m/h]", "feh", "[fe/h]"), "vsini": ("vsini",)}


UNITS = {"teff": "K", "vsini": "km/s"}


def steps(config):
    """Number of epochs of :func:`adapt`, for a progress bar."""
    return (1 + N_TWINS) * config.recommended.epochs


@checked(path=a_path)
def read_anchors(path):
    """Read known parameters of some stars of a survey.

    Parameters
    ----------
    path : path
        Table (ECSV, CSV, FITS, VOTable) with a column star and any of Teff, logg, [M/H], vsini.

    Returns
    -------
    dict of str to dict of str to float
        Star -> parameter -> value, without missing values and values that are not finite.

    Raises
    ------
    DataError
        The table cannot be read, or lacks the columns.
    """
    return read_star_table(path, COLUMNS, "at least one of Teff, logg, [M/H], vsini", UNITS)


def _rows(anchors, stars):
    """Convert anchors to parameter -> (rows, values), for the stars among the spectra."""
    place = {name_key(name): k for k, name in enumerate(stars)}
    known = {place[key]: v for name, v in anchors.items() if (key := name_key(name)) in place}
    if anchors and not known:
        remedy = f"use the names that the spectra have, such as {stars[0]}"
        raise DataError("none of the anchor stars is among the spectra", field="anchors", remedy=remedy)
    out = {}
    for parameter in PARAMETERS:
        rows = [row for row in sorted(known) if parameter in known[row]]
        if rows:
            out[parameter] = np.array(rows), np.array([known[row][parameter] for row in rows])
    return out


_ANCHORS = star_values(read_anchors, COLUMNS)
_BUDGET = {
    "seed": a_number(0, 2**31, whole=True, optional=False),
    "n_spectra": a_number(50, 10**6, whole=True, optional=False),
    "epochs": a_number(1, 10**5, whole=True),
}


@checked(model=instance(Specialists, remedy="give what dtl_core.load() gives"), anchors=_ANCHORS, strict=a_flag,
         coadd=a_flag, velocity=VELOCITY, progress=instance(callable, optional=True), **_BUDGET, **READING)  # fmt: skip
def adapt(
    model, spectra, *, anchors=None, strict=True, coadd=False, velocity=None, seed=0, n_spectra=4000, epochs=None,
    progress=None, **options,
):  # fmt: skip
    """Adapt a model to the instrument of a survey's spectra, which need no labels.

    Parameters
    ----------
    model : dtl_core.models.loading.Model
        Model to start from.
    spectra, strict, coadd, **options
        As for :func:`dtl_core.models.prediction.examine`, at least :data:`FEWEST` spectra. All are brought to the
        resolving power that the model has for the least resolved one.
    anchors : dict or path, optional
        Known parameters of some of the stars, as returned by :func:`read_anchors`. Without them, errors of the line
        list that all stars share remain in the metallicities.
    velocity : float, km/s, optional
        Known barycentric radial velocity of all stars.
    seed : int
    n_spectra : int
        Synthetic spectra that each network is trained on.
    epochs : int, optional
    progress : callable, optional
        Called once per epoch; see :func:`steps`.

    Returns
    -------
    dtl_core.models.loading.Model
        For one resolving power. Its p-values compare a spectrum with those given here; with fewer than 79 of them no
        p-value is as low as 0.05.

    Raises
    ------
    DataError
        There are too few spectra, or none of them is of an anchor star; or as for ``examine``.
    """
    spectra, _ = read_many(spectra, strict=strict, **options)
    spectra = chain.group_exposures(spectra) if coadd else spectra
    base = _base(model, spectra)
    flux, reports, failures = chain.prepare_many(spectra, base.config, strict=strict, velocity=velocity)
    if len(flux) < FEWEST:
        problem = f"only {len(flux)} of {len(spectra)} spectra can be used, {FEWEST} are needed"
        raise DataError(problem, field="adapt", remedy=failures[0][1])
    stars = torch.as_tensor(base.input(flux))
    anchors = _rows(anchors or {}, [report.star for report in reports])
    config = _config(base, seed, n_spectra)
    budget = {"epochs": epochs or config.recommended.epochs, "progress": progress}
    corrections = base.corrections
    if corrections is None and "corrections" in base.card:
        problem = f"the lines of the model {model.name} were corrected by another table than the package has"
        raise ConfigError(problem, field="models", remedy="adapt the models of the package, or build yours again")
    problem = making.training_problem(config, stars, **budget)
    problem = making.emulator_problem(config, problem, corrections)
    problem.trained[LeastSquares] = LeastSquares()
    problem.trained[LeastSquares].emulator = _emulator(base)  # not trained again
    method = problem.learned(Combined).adapt(dataclasses.replace(problem, anchors=anchors))
    arrays = _arrays(base, method)
    snr = np.array([report.snr for report in reports], float)
    snr = snr[np.isfinite(snr)]
    reference = _reference(base, problem, config, len(stars), snr, anchors, arrays, corrections)
    arrays |= making.as_arrays(reference, outliers.Detector(**method.measure(stars)))
    return type(model)([Specialist(arrays, _card(base, reports, anchors))], "adapted")


def _base(model, spectra):
    """The model for the lowest resolving power of the spectra, if it and they can be used."""
    if len(spectra) < FEWEST:
        problem = f"{len(spectra)} spectra are too few to adapt to, {FEWEST} are needed"
        why = "what fewer have in common cannot be told from what each of them is; predict without adapting"
        raise DataError(problem, field="adapt", remedy=why)
    first = [item if isinstance(item, Spectrum) else item[0] for item in spectra]
    base = model.specialist_for(min(spectrum.resolving_power for spectrum in first))
    if base.card["method"] not in ("randomised", "informed", "calibrated"):
        problem = f"the model {model.name} is of the method {base.card['method']}"
        raise ConfigError(problem, field="models", remedy="adapt the models of the package, or of dtl models build")
    return base


def _card(base, reports, anchors):
    return {k: v for k, v in base.card.items() if k not in OF_THE_BASE} | {
        "method": "combined",
        "members": 1,
        "made": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": __version__,
        "machine": machine.describe(),
        "real_stars": sorted({*base.seen, *(report.star for report in reports)}),
        "adapted_to": {"spectra": len(reports), "anchors": {name: len(rows) for name, (rows, _) in anchors.items()}},
    }


def _config(base, seed, n_spectra):
    """The configuration of a specialist with another number of synthetic spectra."""
    drawn = base.card["training"]["synthetic"] | {"n_spectra": n_spectra}
    plain = {name: tuple(v) if isinstance(v, list) else v for name, v in drawn.items()}
    synthetic = dataclasses.replace(base.config.synthetic, **plain)
    return dataclasses.replace(base.config, synthetic=synthetic, seed=seed)


def _emulator(base):
    weights = {name: torch.as_tensor(value) for name, value in base.weights("emulator.").items()}
    return load_emulator(weights, base.wavelength, base.config.synthetic.limb_darkening)


def _arrays(base, method):
    """Weights of an adapted method as those of a specialist; its offset is subtracted from the mean labels."""
    network = copy.deepcopy(method.network.model)
    network.label_mean -= torch.as_tensor(np.broadcast_to(method.zero, len(PARAMETERS)).copy(), dtype=torch.float32)
    arrays = making.rounded(network.state_dict(), "network0.")
    arrays |= making.rounded(method.emulator.state_dict(), "emulator.")
    return arrays | {"coarse": base.arrays["coarse"]}


def _reference(base, own, config, n, snr, anchors, arrays, corrections):
    """Reference stars: stars of simulated surveys, estimated by methods that were adapted to each survey.

    Every second survey has corrected lines, if there are corrections.
    """
    levels = tuple(np.percentile(snr, (5, 95))) if len(snr) else (100.0, 400.0)
    each, kinds = min(n, MOST_TWINS), list(KINDS.values())
    parts = []
    for number in range(N_TWINS):
        flux, truth, level, _ = making.simulated_stars(
            config, each, [2000 + number], snr=levels, kinds=[kinds[number % len(kinds)]],
            corrections=corrections, corrected=[number % 2 == 1],
        )  # fmt: skip
        rng = np.random.default_rng([config.seed, 43, number])
        stars, known = torch.as_tensor(base.input(flux)), {}
        for k, parameter in enumerate(PARAMETERS):
            if parameter in anchors:
                rows = rng.permutation(len(flux))[: len(anchors[parameter][0])]
                error = ANCHOR_ERRORS.get(parameter, 0.5)
                known[parameter] = rows, truth[rows, k] + rng.normal(0, error, len(rows))
        twin = own.learned(Combined).adapt(dataclasses.replace(own, stars=stars, anchors=known))
        free = np.ones(len(flux), bool)
        free[[row for rows, _ in known.values() for row in rows]] = False  # anchor stars are not used for calibration
        parts.append([twin.predict(stars)[free], twin.spread(stars)[free], truth[free], flux[free], level[free]])
    found, spread, truth, flux, level = (np.concatenate(column) for column in zip(*parts, strict=True))
    latent = Specialist(arrays, base.card | {"members": 1}).network.latent(base.input(flux))
    reference = {"found": found, "spread": spread, "truth": truth, "latent": latent, "snr": level}
    return reference | {"map": making.latent_map(latent, config.seed)}
