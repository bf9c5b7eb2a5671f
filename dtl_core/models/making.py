"""Train and calibrate models such as those of the package.

    specialist = make_specialist(load_profile("demo"), 53_000)
    specialist.save("my_models/R053000.safetensors")

The networks are trained on synthetic spectra of physics drawn at random, in equal parts with the lines of the library
and with lines corrected by real stars (see :mod:`dtl_core.synthetic.line_corrections`). Their weights and those of the
emulator are rounded to half precision.
Simulated stars of other surveys, with every kind of gap in turn, calibrate errors and p-values; the figures of the card
are measured on other surveys, whose stars are not among those of the calibration, and for each kind of gap also with a
calibration without this kind.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools

import numpy as np
import torch

from .. import machine
from .._version import __version__
from ..bridging.emulator import DERIVED
from ..bridging.fits import LeastSquares
from ..bridging.flux_networks import Informed
from ..bridging.problem import Problem
from ..bridging.randomiser import Randomiser
from ..config import override
from ..errors import ConfigError
from ..estimates import gravity, outliers
from ..estimates.calibration import LEVELS
from ..estimates.gap import map_of
from ..parameters import PARAMETERS
from ..preparing.chain import prepare_many
from ..spectra import operators
from ..spectra.operators import doppler_shift, window_grid
from ..spectra.spectrum import Spectrum
from ..synthetic import generation, libraries, line_corrections, simulated_survey
from ..synthetic.kinds import KINDS
from .calibrated import Calibrated
from .ensemble import Ensemble
from .specialist import CORRECTED, FORMAT, REFERENCE, Specialist, settings_of

__all__ = [
    "as_arrays",
    "corrections_of",
    "emulator_problem",
    "latent_map",
    "make_specialist",
    "paper_specialist",
    "rounded",
    "score",
    "score_unknown",
    "silent",
    "simulated_stars",
    "steps",
    "training_problem",
    "weight_of_kinds",
]


N_COARSE = 600  # emulated spectra; a fit starts from the best of them
N_SURVEYS = 4 * len(KINDS)  # of the reference stars: many, because stars of one survey share errors
CALIBRATION, REPORT = 0, 1  # halves of each library
SURVEYS_OF_A_KIND = 4  # surveys that a kind of gap is tested on
MOST_STARS = 286  # of a library of stars
FASTEST = 40.0  # km/s, radial velocity of a simulated star
SHARPER = 1.3  # largest ratio of the reference stars' original resolving power to the model's
TRAINING_SHARE = 0.75  # of the draws of the corrections; simulated stars use the others
TEST_SEEDS = tuple(range(1, 21))  # of the surveys for the figures of the card
TEST_SNR = ((100, 400), (40, 100), (20, 40))  # per detector pixel; the first is that of the benchmark survey


def steps(config):
    """Approximate number of epochs of :func:`make_specialist`, for a progress bar."""
    return config.models.members * config.models.epochs + config.models.emulator_epochs


def corrections_of(config):
    """Corrections of the lines of a configuration's library: None unless it is the embedded one."""
    return line_corrections.load_corrections() if config.synthetic.library == CORRECTED else None


def _split(corrections):
    """Draws of the corrections for training, and for simulated stars."""
    first = 1 + round(TRAINING_SHARE * corrections.n_draws)
    return range(1, first), range(first, 1 + corrections.n_draws)


def simulated_stars(
    config, n_stars, seeds, *, snr=None, sharper=1.0, kinds=({},), half=None, corrections=None, corrected=None
):
    """Simulate stars of several surveys in equal parts, each survey with its own errors of the line list.

    The spectra have a radial velocity, and are prepared as those of a user are.

    Parameters
    ----------
    config : Config
        For resolving power and window.
    n_stars : int
        Number of stars of all surveys together.
    seeds : sequence of int
        Seeds of the surveys, added to the configured one.
    snr : (float, float), optional
        Lowest and highest S/N per detector pixel, log-uniform; by default that of the benchmark survey.
    sharper : float
        Every second survey has a higher resolving power, up to this many times the configured one, and is then
        broadened as real spectra are, so that the noise of neighbouring pixels is correlated.
    kinds : sequence of dict
        Kinds of gap, as settings that differ from the configured ones; the surveys take them in turn.
    half : {0, 1}, optional
        Which half of each library the stars come from, see :func:`~dtl_core.synthetic.simulated_survey.halves`; by
        default both.
    corrections : LineCorrections, optional
        Corrections of the lines of some surveys, in draws that training does not use.
    corrected : sequence of bool, optional
        Which surveys these are; by default every third and fourth of four.

    Returns
    -------
    flux : ndarray of float32, (n, n_pixels)
    labels : (n, 4)
    snr : (n,)
        As measured.
    survey : (n,)
        Number of the survey of each star, from 0.

    Raises
    ------
    ConfigError
        A survey would need more stars than its library has.
    """
    parts, each, grid = [], -(-n_stars // len(seeds)), window_grid(config.window)
    power = config.window.resolving_power
    for number, seed in enumerate(seeds):
        changes = {"n_stars": MOST_STARS, "seed": config.survey.seed + seed}
        survey = dataclasses.replace(override(config, kinds[number % len(kinds)]).survey, **changes)
        native = power * (sharper ** (number / max(1, len(seeds) - 1)) if number % 2 else 1.0)
        window = dataclasses.replace(config.window, resolving_power=float(native))
        own = dataclasses.replace(config, survey=survey, window=window)
        library = libraries.load_library(survey.library)
        truth, rows = simulated_survey.draw_truth(library, own)
        rng = np.random.default_rng([survey.seed, 41])
        among = np.arange(len(rows)) if half is None else simulated_survey.halves(len(rows))[half]
        if len(among) < each:
            problem = f"{each} stars of one survey, which has {len(among)}"
            raise ConfigError(problem, field="n_stars", remedy="ask for fewer, or give more seeds")
        among = np.sort(rng.permutation(among)[:each])
        truth, rows = truth.iloc[among].reset_index(drop=True), rows[among]
        if snr is not None:
            truth["snr"] = np.exp(rng.uniform(*np.log(snr), len(truth)))
        opacity = 1.0
        if corrections is not None and ((number // 2) % 2 if corrected is None else corrected[number]):
            drawn = _split(corrections)[1]
            opacity = corrections.opacity(library, rows, drawn[seed % len(drawn)])
        light = simulated_survey.starlight(truth, rows, own, opacity=opacity)
        light = simulated_survey.detected(light, truth, own)
        velocity = rng.uniform(-FASTEST, FASTEST, len(truth))
        error = simulated_survey.photon_noise(light, truth)
        spectra = [
            Spectrum(name, doppler_shift(grid, v), *pair, resolving_power=native, frame="barycentric")
            for name, v, *pair in zip(truth["karmn"], velocity, light, error, strict=True)
        ]
        flux, reports, _ = prepare_many(spectra, config, strict=False)
        used = truth["karmn"].isin([report.star for report in reports])  # noise may hide the velocity
        labels = truth.loc[used, list(PARAMETERS)].to_numpy()
        parts.append((flux, labels, np.array([report.snr for report in reports]), np.full(len(flux), number)))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def training_problem(config, stars=None, *, corrections=None, **budget):
    """Input of a domain-adaptation method that is trained on all synthetic spectra of a configuration.

    Parameters
    ----------
    config : Config
        For window and synthetic spectra.
    stars : (n, n_pixels), optional
        Binned observed spectra.
    corrections : LineCorrections, optional
        Spectra of other physics have corrected lines in the second half of the draws.
    **budget
        For :class:`dtl_core.bridging.problem.Problem`.

    Returns
    -------
    Problem
    """
    step, (flux, labels) = config.window.step, generation.synthetic_set(config)
    wavelength = operators.binned(window_grid(config.window, margin=False), step)
    flux = torch.as_tensor(operators.binned(flux, step), dtype=torch.float32)
    budget["other_physics"] = functools.cache(lambda: torch.as_tensor(_other_physics(config, labels, corrections)))
    return _problem(config, wavelength, flux, torch.as_tensor(labels, dtype=torch.float32), stars, **budget)


def emulator_problem(config, own, corrections):
    """Return a problem with the spectra that an emulator learns: with corrected lines, if there are corrections.

    Parameters
    ----------
    config : Config
    own : Problem
        Result of :func:`training_problem`.
    corrections : LineCorrections or None

    Returns
    -------
    Problem
    """
    if corrections is None:
        return own
    labels = generation.synthetic_set(config)[1]
    return dataclasses.replace(
        own, flux=torch.as_tensor(line_corrections.corrected_spectra(config, labels, corrections)), trained={}
    )


def _other_physics(config, labels, corrections):
    """Spectra (n_draws, n, n_pixels) of physics drawn at random, half of the draws with corrected lines."""
    spectra = generation.physics_set(config, labels)
    if corrections is None:
        return spectra
    options = {"draws": len(spectra), "rng": np.random.default_rng([config.seed, 3])}
    chosen = _split(corrections)[0]
    return np.concatenate(
        [spectra, line_corrections.corrected_set(config, labels, corrections, shared_draws=chosen, **options)]
    )


def _problem(config, wavelength, flux, labels, stars=None, **budget):
    everything, settings = np.arange(len(flux)), config.recommended
    return Problem(
        wavelength,
        flux,
        labels,
        everything,
        everything[:0],
        flux[:0] if stars is None else stars,
        config.window.resolving_power,
        seed=config.seed,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        **budget,
    )


def rounded(tensors, prefix):
    """Arrays of a state by name: weights in half precision, statistics of data in single precision."""
    out = {}
    for name, value in tensors.items():
        if name not in DERIVED:
            half = name.endswith((".weight", ".bias", ".matrix"))
            out[prefix + name] = value.numpy().astype(np.float16 if half else np.float32)
    return out


def make_specialist(config, resolving_power, *, corrections=None, systematics=None, tested=True, progress=None):
    """Train and calibrate a model for one resolving power from scratch.

    Parameters
    ----------
    config : Config
        Its groups ``models``, ``synthetic``, ``window``, ``continuum``, ``chain`` and ``seed`` matter.
    resolving_power : float
        Resolving power of the input.
    corrections : LineCorrections, optional
        Corrections of the library's lines; by default those of :func:`corrections_of`. The real stars that they were
        learned from count as seen by the model.
    systematics : dict, optional
        Systematic errors of real stars, as returned by :func:`dtl_core.models.real_errors.learn_systematics`; by
        default none. They hold for the corrections of :func:`corrections_of`, and are left out with other corrections.
    tested : bool
        Whether to test it on simulated stars, which takes as long as its training.
    progress : callable, optional
        Called once per epoch; see :func:`steps`.

    Returns
    -------
    Specialist
        Its card holds the figures of :func:`score` for each of ``TEST_SNR``, and with corrected lines (``corrected``)
        for the first.
    """
    settings = config.models
    window = dataclasses.replace(config.window, resolving_power=float(resolving_power))
    drawn = dataclasses.replace(config.synthetic, n_spectra=settings.n_spectra)
    config = dataclasses.replace(config, window=window, synthetic=drawn)
    budget = {"epochs": settings.epochs, "emulator_epochs": settings.emulator_epochs}
    corrections = corrections_of(config) if corrections is None else corrections
    own = training_problem(config, corrections=corrections, progress=progress, **budget)
    arrays = {}
    for member in range(settings.members):
        method = Informed() if corrections is None else Calibrated()
        method.randomiser = Randomiser(noise=settings.noise)
        method.learn(dataclasses.replace(own, seed=1000 * config.seed + member))
        arrays |= rounded(method.model.state_dict(), f"network{member}.")
    about = {"method": "informed", "members": settings.members}
    if corrections is not None:
        about |= {"method": "calibrated", "real_stars": sorted(corrections.meta["stars"])}
        about["corrections"] = corrections.meta | {"sha256": corrections.sha256}
        known = corrections_of(config)
        about["systematics"] = (systematics or {}) if known and known.sha256 == corrections.sha256 else {}
    return _finished(arrays, about, own, config, corrections, tested)


def paper_specialist(run, *, progress=None):
    """Convert the paper's ensemble of a finished run to a model with calibrated errors.

    The autoencoders are those before fine-tuning, which was for the spectra of the run.

    Parameters
    ----------
    run : Run
        Up to the catalogue.
    progress : callable, optional
        Called once per epoch of the emulator.

    Returns
    -------
    Specialist
    """
    config, flux = run.config, run.synthetic["flux"]
    rows = np.random.default_rng([config.seed, 44]).permutation(len(flux))[: config.models.n_spectra]
    flux, labels = (torch.as_tensor(run.synthetic[name][rows], dtype=torch.float32) for name in ("flux", "labels"))
    own = _problem(
        config, run.wavelength, flux, labels, emulator_epochs=config.models.emulator_epochs, progress=progress
    )
    weights, members = Ensemble(run, "direct").arrays()
    about = {"method": "paper", "members": len(members), "autoencoders": members, "profile": config.profile}
    return _finished(rounded(weights, "ensemble."), about, own, config)


def _finished(arrays, about, own, config, corrections=None, tested=True):
    """Complete a specialist: add the emulator, the reference stars and the card to its networks."""
    fit = LeastSquares()
    fit.learn(emulator_problem(config, own, corrections))
    arrays |= rounded(fit.emulator.state_dict(), "emulator.")
    rng, labels = np.random.default_rng([config.seed, 42]), own.labels
    arrays["coarse"] = labels.numpy()[rng.permutation(len(labels))[:N_COARSE]]
    drawn = config.synthetic
    card = about | {
        "format": FORMAT,
        "settings": settings_of(config),
        "made": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": __version__,
        "training": dataclasses.asdict(config.models) | {"synthetic": dataclasses.asdict(drawn), "seed": config.seed},
        "library": drawn.library,
        "labels": dict(zip(PARAMETERS, torch.stack([labels.amin(0), labels.amax(0)], 1).tolist(), strict=True)),
        "machine": machine.describe(),
    }
    if drawn.library != "phoenix":
        card["library_sha256"] = libraries.library_hash(drawn.library)
    specialist = Specialist(arrays, card)
    specialist = Specialist(arrays | _calibration(specialist, config, corrections), card)
    if not tested:
        return specialist
    card["figures"] = {f"{low}-{high}": score(specialist, config, snr=(low, high)) for low, high in TEST_SNR}
    if corrections is not None:
        card["corrected"] = score(specialist, config, snr=TEST_SNR[0], corrections=corrections)
    card["kinds"] = {name: score_unknown(specialist, config, name) for name in KINDS}
    return specialist


def _calibration(specialist, config, corrections):
    """Estimates of simulated stars of known truth, as arrays of the specialist's file."""
    settings = config.models
    seeds = [1000 + number for number in range(N_SURVEYS)]
    snr = (settings.lowest_snr, settings.highest_snr)
    options = {"snr": snr, "sharper": SHARPER, "kinds": list(KINDS.values()), "half": CALIBRATION}
    options["corrections"] = corrections
    flux, truth, level, survey = simulated_stars(config, settings.reference_stars, seeds, **options)
    binned, kind = specialist.input(flux), survey % len(KINDS)
    found, spread = specialist.network.both(binned)
    measured = specialist.measure(binned, found, spread)
    reference = {"found": found, "spread": spread, "truth": truth, "latent": measured["latent"], "snr": level}
    reference |= {"kind": kind, "kind_weight": weight_of_kinds((truth - found) / spread, kind)}
    reference["map"] = latent_map(measured["latent"], config.seed)
    return as_arrays(reference, outliers.Detector(**measured))


def weight_of_kinds(scores, kind):
    """Weight of reference stars in the calibration: kinds of gap with larger errors count more.

    With equal weights, error bars would contain too few true values for kinds with large errors, and too many for the
    others; a bar that is too short does more harm than one that is too long.

    Parameters
    ----------
    scores : (n, 4)
        Errors of the estimates, in units of the predicted ones.
    kind : (n,)

    Returns
    -------
    (n,)
        Mean square score of the kind, averaged over the parameters, over that of all kinds; at most 4, at least 1/4.
    """
    square = np.mean(scores**2 / np.mean(scores**2, axis=0), axis=1)
    mean = {each: square[kind == each].mean() for each in np.unique(kind)}
    return np.clip([mean[each] for each in kind], 0.25, 4.0)


def as_arrays(reference, detector):
    """Reference stars and the state of a detector, as arrays of a specialist's file."""
    arrays = {f"reference.{name}": value for name, value in reference.items()}
    arrays |= {f"detector.{name}": value for name, value in detector.state().items()}
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def latent_map(latent, seed):
    """UMAP of the reference stars' features: (n, 2), for figures only."""
    threads = torch.get_num_threads()
    standard = (latent - latent.mean(0)) / (latent.std(0) + 1e-6)
    place = map_of(standard, n_neighbors=15, min_dist=0.1, seed=seed)
    torch.set_num_threads(threads)  # numba changes this number, and with it the last digits of what follows
    return place


def score(specialist, config, *, seeds=TEST_SEEDS, snr=None, n_stars=None, kinds=({},), corrections=None):
    """Test a model on simulated surveys that it was neither trained nor calibrated on.

    The stars are of the half of each library that the calibration does not use.

    Parameters
    ----------
    specialist : Specialist
    config : Config
    seeds, snr, kinds, corrections
        As for :func:`simulated_stars`.
    n_stars : int, optional
        By default ``models.test_stars``.

    Returns
    -------
    dict
        Parameter -> dict of rmse, bias, and share of true values inside the 68 and 90 % intervals; ``false_flags``, the
        share of these stars with p <= 0.05; ``n_stars``; ``relation`` and ``survey_relation``, rmse [dex] of
        log g by the relations in :mod:`dtl_core.estimates.gravity` at the estimated Teff and [M/H].
    """
    n_stars = n_stars or config.models.test_stars
    options = {"snr": snr, "kinds": kinds, "half": REPORT, "corrections": corrections}
    flux, truth, level, _ = simulated_stars(config, n_stars, seeds, **options)
    found = specialist.estimate(flux, level)
    out = {"n_stars": len(truth), "false_flags": float(np.mean(found["p"] <= 0.05))}
    out |= gravity.relation_errors(found["median"], truth[:, PARAMETERS.index("logg")])
    for k, name in enumerate(PARAMETERS):
        error = found["median"][:, k] - truth[:, k]
        own = {"rmse": float(np.sqrt(np.mean(error**2))), "bias": float(error.mean())}
        for level in (0.68, 0.90):
            n = LEVELS.index(level)
            inside = (truth[:, k] >= found["low"][:, k, n]) & (truth[:, k] <= found["high"][:, k, n])
            own[f"inside_{round(100 * level)}"] = float(inside.mean())
        out[name] = own
    return out


def silent(figures):
    """Parameters that fail silently: few true values inside the error bars, and few spectra called strange.

    Parameters
    ----------
    figures : dict
        As returned by :func:`score`.

    Returns
    -------
    list of str
        Parameters of which the 68 % intervals hold less than half of the true values, if less than half of the spectra
        have p <= 0.05.
    """
    flagged = figures["false_flags"] >= 0.5
    return [name for name in PARAMETERS if figures[name]["inside_68"] < 0.5 and not flagged]


def score_unknown(specialist, config, kind):
    """Test a model on one kind of gap, with a calibration that leaves this kind out.

    Parameters
    ----------
    specialist : Specialist
    config : Config
    kind : str
        A key of :data:`~dtl_core.synthetic.kinds.KINDS`.

    Returns
    -------
    dict
        As returned by :func:`score`, for the S/N of the benchmark survey.
    """
    known = {name: specialist.arrays[f"reference.{name}"] for name in (*REFERENCE, "kind_weight", "kind")}
    others = known["kind"] != list(KINDS).index(kind)
    arrays = {f"reference.{name}": values[others] for name, values in known.items()}
    state = specialist.detector.without(~others).state()
    arrays |= {f"detector.{name}": np.asarray(value, np.float32) for name, value in state.items()}
    other = Specialist(specialist.arrays | arrays, specialist.card)
    n_stars = max(SURVEYS_OF_A_KIND, config.models.test_stars // 12)
    seeds = [3000 + SURVEYS_OF_A_KIND * list(KINDS).index(kind) + k for k in range(SURVEYS_OF_A_KIND)]
    return score(other, config, seeds=seeds, n_stars=n_stars, kinds=(KINDS[kind],))
