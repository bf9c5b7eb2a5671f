"""A model for one resolving power: its file, its networks, its calibrated estimates and its warnings."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arguments import a_path, checked
from ..arrays import part_of
from ..bridging.label_fits import fit_labels, grid_labels
from ..bridging.spectrum_model import TrainedEmulator
from ..bridging.trained_networks import TrainedFluxNet
from ..config import load_profile
from ..errors import ConfigError, DataError
from ..estimates import gravity, outliers, systematics
from ..estimates.calibration import group_edges, groups_of, intervals, joint_samples
from ..extras import import_extra
from ..files import write_atomic
from ..parameters import PARAMETER_COLUMNS, PARAMETERS
from ..preparing import chain
from ..reading.star_tables import name_key
from ..spectra import operators
from ..spectra.operators import C_KMS, window_grid
from ..synthetic.line_corrections import load_corrections

__all__ = ["Examination", "Specialist", "read_specialist", "settings_of"]


FORMAT = 1  # of the files
CORRECTED = "grid_a"  # the library whose lines are corrected by real stars
REFERENCE = ("found", "spread", "truth", "latent", "map", "snr")  # arrays of the reference stars that all models have
BATCH = 256  # spectra that the networks see together
SNR_EDGES = (40.0, 100.0)  # between the classes of reference stars that a star is compared with
FEWEST_OF_A_CLASS = 60
EDGE = 0.02  # share of a parameter's range in which an estimate may be an extrapolation
STRANGE = 0.05  # p below which a spectrum is called strange
# K, between the mean Teff of M5.5 and of M6 dwarfs (Pecaut & Mamajek 2013, ApJS 208, 9; their table of 2022): no cooler
# real star has tested the lines of the library.
COOLEST = 2870.0
# km/s: M dwarfs that rotate faster are active, and their magnetic fields change the lines (Reiners et al. 2022, A&A
# 662, A41). The error bars were learned from quiet stars.
FASTEST = 5.0


def settings_of(config):
    """Settings that a specialist depends on: dotted names -> plain values."""
    plain = {}
    for group in ("window", "continuum", "chain", "estimate"):
        plain |= {f"{group}.{name}": value for name, value in dataclasses.asdict(getattr(config, group)).items()}
    for name in PARAMETERS:
        net = getattr(config.regression, name)
        plain |= {f"regression.{name}.filters": net.filters, f"regression.{name}.units": net.units}
    plain |= {f"autoencoder.{name}": getattr(config.autoencoder, name) for name in ("bottleneck", "flux_ceiling")}
    return plain | {"synthetic.limb_darkening": config.synthetic.limb_darkening}


class _Networks:
    """Several networks on fluxes, used as one: mean and standard error."""

    def __init__(self, networks):
        self.networks = networks

    def latent(self, flux):
        """(n, n_features), those of the first network."""
        return self.networks[0].features(flux)

    def both(self, flux):
        """Labels and errors, (n, 4) each: predicted error and scatter between networks, added in quadrature."""
        batches = [flux[start : start + BATCH] for start in range(0, max(len(flux), 1), BATCH)]
        parts = [[net(batch) for batch in batches] for net in self.networks]
        labels, errors = (np.stack([np.concatenate([p[k] for p in net]) for net in parts]) for k in (0, 1))
        return labels.mean(0), np.sqrt((errors**2).mean(0) + labels.var(0))


class Specialist:
    """A model for one resolving power.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Weights and reference stars, as in its file.
    card : dict
        How it was made, when, and its errors on test surveys; see :mod:`dtl_core.models.making`.

    Attributes
    ----------
    config : Config
        With the settings that its input depends on.
    wavelength : (n_pixels,), Angstrom
        Wavelengths of its input, which is binned to about 0.03 Angstrom.
    reference : dict of str to ndarray
        ``found``, ``spread``, ``truth`` (n, 4), ``latent`` (n, n_features), ``map`` (n, 2), ``snr`` (n,) of simulated
        stars; of models that met several kinds of gap also ``kind`` and ``kind_weight`` (n,).
    """

    def __init__(self, arrays, card):
        self.arrays, self.card = arrays, card
        self.config = config = load_profile("demo", card["settings"])
        self.wavelength = self._binned(window_grid(self.config.window, margin=False))
        self.network = self._networks()
        self.emulator = TrainedEmulator(self.weights("emulator."), self.wavelength, config.synthetic.limb_darkening)
        self.low, self.high = self.emulator.low, self.emulator.high
        if "reference.found" in arrays:
            self.reference = part_of(arrays, "reference.")
            self.detector = outliers.Detector.from_state(part_of(arrays, "detector."))

    @property
    def resolving_power(self):
        """Resolving power of its input."""
        return self.config.window.resolving_power

    @property
    def seen(self):
        """Names of the real stars that it was trained, adapted or calibrated on, and which therefore do not test it."""
        return tuple(self.card.get("real_stars", ()))

    def has_seen(self, name):
        """Whether a star is among :attr:`seen`, by the name that it has there."""
        return name_key(name) in {name_key(one) for one in self.seen}

    def _binned(self, values):
        """Bin to pixels of about 0.03 Angstrom, except for the paper's networks, which use the original pixels."""
        return values if self.card["method"] == "paper" else operators.binned(values, self.config.window.step)

    def weights(self, prefix):
        """Arrays whose names have a prefix, without it, in single precision: dict of str to ndarray."""
        floats = {name: v for name, v in part_of(self.arrays, prefix).items() if v.dtype in (np.float16, np.float32)}
        return {name: v.astype(np.float32, copy=False) for name, v in floats.items()}

    def _networks(self):
        if self.card["method"] != "paper":
            weights = [self.weights(f"network{number}.") for number in range(self.card["members"])]
            return _Networks([TrainedFluxNet(each, len(self.wavelength)) for each in weights])
        import_extra("torch", "train")
        from .ensemble import Ensemble

        return Ensemble.from_arrays(self.config, self.weights("ensemble."), self.card["autoencoders"])

    @functools.cached_property
    def _coarse(self):
        """Emulated spectra of some labels; a fit starts from the best of them."""
        return self.emulator.spectra(self.arrays["coarse"])

    def fitted(self, flux):
        """Labels (n, 4) of spectra (n, n_pixels) by a least-squares fit with the emulator."""
        start, _ = grid_labels(flux, self._coarse, self.arrays["coarse"], wavelength=self.wavelength)
        return fit_labels(self.emulator, flux, self.wavelength, start)[0]

    @property
    def step(self):
        """Width of a pixel, A."""
        return float(self.wavelength[1] - self.wavelength[0])

    def predict(self, flux):
        """Labels (n, 4) of spectra (n, n_pixels) in this model's pixels."""
        return self.network.both(flux)[0]

    def reconstruct(self, labels):
        """Emulated spectra (n, n_pixels) of labels (n, 4)."""
        return self.emulator.reconstruct(labels)

    def measure(self, flux, labels, spread):
        """Features of spectra (n, n_pixels) for the outlier detector, given the networks' labels and errors (n, 4)."""
        usable = outliers.replace_unusable(flux)
        return outliers.measure(
            flux,
            latent=self.network.latent(usable),
            reconstruction=self.reconstruct(labels),
            disagreement=(labels - self.fitted(usable)) / spread,
            step=self.step,
        )

    def input(self, flux):
        """Convert prepared spectra (n, n_pixels of the window) to the pixels of this model, of float32."""
        return np.asarray(self._binned(np.atleast_2d(flux)), dtype=np.float32)

    def gravity_errors(self):
        """Compare log g of the networks with what their Teff and [M/H] imply, on stars that they were not trained on.

        Returns
        -------
        dict
            As returned by :func:`dtl_core.estimates.gravity.gravity_errors`: of the test stars of best S/N on the card,
            or else of the reference stars.
        """
        figures = {float(snr.partition("-")[0]): found for snr, found in self.card.get("figures", {}).items()}
        best = figures[max(figures)] if figures else {}
        if set(gravity.RELATIONS) <= set(best):
            return {name: best[name] for name in ("logg", *gravity.RELATIONS)}
        return gravity.gravity_errors(self.reference["found"], self.reference["truth"][:, PARAMETERS.index("logg")])

    @property
    def corrections(self):
        """Corrections of the lines that its emulator has: None for those of the library, or if they are not known."""
        made_with = self.card.get("corrections", {}).get("sha256")
        if made_with is None or self.card["library"] != CORRECTED:
            return None
        known = load_corrections()
        return known if known.sha256 == made_with else None

    @functools.cached_property
    def systematic_widths(self):
        """Half-widths (4, n_levels) of the errors that real stars have in addition; zero if none were measured."""
        return np.array([systematics.half_widths(*self._systematics(name)) for name in PARAMETERS])

    def _systematics(self, name):
        known = self.card.get("systematics", {}).get(name, {"tau": [0.0], "instrument": 0.0})
        return np.array(known["tau"]), known["instrument"]

    def among(self, snr):
        """Select the reference stars for a star of this S/N.

        Parameters
        ----------
        snr : float
            Per detector pixel; NaN if unknown.

        Returns
        -------
        ndarray of bool
            Those of similar S/N; all if these are too few or the S/N is unknown.
        """
        own = np.searchsorted(SNR_EDGES, self.reference["snr"]) == np.searchsorted(SNR_EDGES, snr)
        return own if np.isfinite(snr) and own.sum() >= FEWEST_OF_A_CLASS else np.ones(len(own), bool)

    def noisier(self, snr):
        """Factor of the errors of spectra with an S/N below that of all reference stars: (n,), 1 if it is unknown.

        Errors grow in proportion to the noise.
        """
        snr = np.maximum(np.asarray(snr, float), 0.1)  # the median of noise may be negative
        return np.maximum(1.0, np.nan_to_num(self.reference["snr"].min() / snr, nan=1.0))

    def estimate(self, flux, snr=None, *, real=False):
        """Estimate prepared spectra, with calibrated intervals and p-values.

        Parameters
        ----------
        flux : (n, n_pixels of the window)
        snr : (n,), optional
            Per detector pixel; NaN where unknown.
        real : bool
            Whether the spectra are of real stars. Their intervals contain the systematic errors of the card; those of
            simulated stars do not.

        Returns
        -------
        dict of str to ndarray
            ``found``, ``spread``, ``median`` (n, 4); ``low``, ``high`` (n, 4, n_levels), levels as in
            ``dtl_core.estimates.calibration.LEVELS``; ``p`` (n,); ``strange`` (n,) of str; ``latent``
            (n, n_features).
        """
        binned, reference = self.input(flux), self.reference
        snr = np.full(len(binned), np.nan) if snr is None else np.asarray(snr, float)
        found, spread = self.network.both(binned)
        measured = self.measure(binned, found, spread)
        spread = spread * self.noisier(snr)[:, None]
        out = {"found": found, "spread": spread, "latent": measured["latent"]}
        kinds = np.where(np.isfinite(snr), np.searchsorted(SNR_EDGES, snr), -1)
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            among = self.among(snr[rows[0]])
            calibration = reference["found"][among], reference["spread"][among]
            weight = reference["kind_weight"][among] if "kind_weight" in reference else None
            part = intervals(calibration, reference["truth"][among], (found[rows], spread[rows]), weight)
            own = {name: v if name == "step" else v[rows] for name, v in measured.items()}
            known = slice(None) if self.card["method"] == "combined" else among  # that of a survey is the survey itself
            part["p"], part["strange"] = self.detector.p_values(**own, among=known)
            for name in ("median", "low", "high", "p", "strange"):
                whole = out.setdefault(name, np.empty((len(binned), *part[name].shape[1:]), part[name].dtype))
                whole[rows] = part[name]
        if real and self.systematic_widths.any():
            ends = out["low"], out["high"]
            out["low"], out["high"] = systematics.widened(out["median"], *ends, self.systematic_widths)
        for name in ("median", "low", "high"):  # v sin i is not negative
            out[name][:, 3] = np.maximum(out[name][:, 3], 0.0)
        return out

    def posterior(self, found, spread, snr=np.nan, n=2000, seed=0, *, real=True):
        """Sample the joint posterior of one star, from the errors of reference stars of similar S/N and Teff.

        Samples are smoothed by a quarter of their standard deviation and then shrunk, which keeps it unchanged [1]_.

        Parameters
        ----------
        found, spread : (4,)
        snr : float
            Per detector pixel.
        n, seed : int
        real : bool
            As for :meth:`estimate`.

        Returns
        -------
        ndarray of shape (n, 4)

        References
        ----------
        .. [1] Silverman (1986), Density Estimation, section 6.4
        """
        reference, among = self.reference, self.among(snr)
        edges = group_edges(reference["found"][among, 0])
        own = among & (groups_of(reference["found"][:, 0], edges) == groups_of(found[None, 0], edges)[0])
        known = (reference[name][own] for name in ("found", "truth", "spread"))
        weight = reference["kind_weight"][own].astype(float) if "kind_weight" in reference else None
        samples = joint_samples(*known, found[None], spread[None], n, weight=weight, seed=seed)[:, 0]
        centre, blur = samples.mean(0), np.random.default_rng([seed, 1]).normal(0, 0.25, samples.shape)
        samples = centre + (samples - centre + blur * samples.std(0)) / np.hypot(1, 0.25)
        if real:
            more = [systematics.samples(*self._systematics(p), n, [seed, 2, k]) for k, p in enumerate(PARAMETERS)]
            samples += np.stack(more, axis=1)
        samples[:, 3] = np.maximum(samples[:, 3], 0.0)
        return samples

    def place(self, latent):
        """Position of spectra in the map of the reference stars.

        Parameters
        ----------
        latent : (n, n_features)

        Returns
        -------
        ndarray of shape (n, 2)
            Mean of the five nearest reference stars, weighted by inverse distance, as UMAP initialises new points.
        """
        reference = self.reference
        distance = np.linalg.norm(latent[:, None] - reference["latent"][None], axis=2)
        near = np.argsort(distance, axis=1)[:, :5]
        weight = 1 / (np.take_along_axis(distance, near, 1) + 1e-6)
        return (weight[..., None] * reference["map"][near]).sum(1) / weight.sum(1, keepdims=True)

    def warnings(self, median, p, strange, snr=np.nan):
        """Warnings about the estimate (4,) of one star: list of str."""
        out = []
        lowest = self.reference["snr"].min()
        if snr < lowest:
            out.append(f"S/N = {snr:.0f} is below {lowest:.0f}, the lowest that the errors are calibrated at: "
                       "they grow in proportion to the noise")  # fmt: skip
        for k, (column, unit) in enumerate(zip(PARAMETER_COLUMNS.values(), ("K", "dex", "dex", "km/s"), strict=True)):
            edge = EDGE * (self.high[k] - self.low[k])
            low, high = (k < 3 and median[k] < self.low[k] + edge), median[k] > self.high[k] - edge
            if low or high:
                end = self.low[k] if low else self.high[k]
                out.append(f"{column} is at the end of the training grid ({end:g} {unit}): maybe beyond it")
        width = C_KMS / self.resolving_power / 2
        if median[3] < width:
            out.append(f"v sin i below half the instrument's width ({width:.1f} km/s): an upper limit")
        return out + list(_doubts(median, p, strange).values())

    @checked(path=a_path)
    def save(self, path):
        """Write the file and return its path."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(v) for name, v in self.arrays.items()}
        return write_atomic(path, save(arrays, metadata={"card": json.dumps(self.card, sort_keys=True)}))


def _doubts(median, p, strange):
    """Reasons not to trust the estimate (4,) of one star: flag -> warning."""
    out = {}
    if p <= STRANGE:
        out["strange"] = f"a strange spectrum (p = {p:.3f}, {strange}): do not trust the values blindly"
    if median[0] < COOLEST:
        out["cool"] = f"cooler than {COOLEST:.0f} K, about type M6: the models were tested on hotter stars"
    if median[3] > FASTEST:
        out["fast"] = f"v sin i above {FASTEST:g} km/s: such stars are active, the models were tested on quiet ones"
    return out


@checked(path=a_path)
def read_specialist(path):
    """Read a :class:`Specialist`.

    Parameters
    ----------
    path : path

    Returns
    -------
    Specialist

    Raises
    ------
    DataError
        The file is missing, damaged or not a model.
    """
    from safetensors import safe_open

    if Path(path).exists() and not Path(path).is_file():  # opening a pipe would wait for a writer
        raise DataError("is not a file", file=path, remedy="give a file that dtl models build wrote")
    try:
        with safe_open(str(path), "numpy") as file:
            card = json.loads(file.metadata()["card"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if card["format"] != FORMAT:
            problem = f"has format {card['format']}, this version reads {FORMAT}"
            raise DataError(problem, file=path, remedy="make or fetch the models again")
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise ValueError("not finite")
        return Specialist(arrays, card)
    except (DataError, ConfigError):
        raise
    except FileNotFoundError:
        raise DataError("not found", file=path, remedy="reinstall the package, or dtl models list") from None
    except Exception as error:  # safetensors and json raise their own kinds for a damaged file
        problem = f"is not a model or is damaged ({type(error).__name__})"
        raise DataError(problem, file=path, remedy="make or fetch the models again") from None


@dataclass(frozen=True, eq=False)
class Examination:
    """All results for one spectrum.

    Attributes
    ----------
    report : dtl_core.preparing.chain.Report
    resolving_power : float
        Resolving power of the specialist.
    flux : (n_pixels,)
        Its input, continuum 1, on its ``wavelength``.
    found, spread, median : (4,)
        Estimate and error of the networks, and calibrated median.
    low, high : (4, n_levels)
        Calibrated intervals; see ``dtl_core.estimates.calibration.LEVELS``.
    p : float
        p-value against ordinary spectra.
    strange : str
        The most significant score.
    latent : (n_features,)
    warnings : tuple of str
        Warnings of the preparation, of the specialist and of the photometry.
    method : str
    photometry : dict of str to float, optional
        See :func:`dtl_core.models.photometric.add_photometry`.
    """

    report: chain.Report
    resolving_power: float
    flux: np.ndarray
    found: np.ndarray
    spread: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: float
    strange: str
    latent: np.ndarray
    warnings: tuple[str, ...]
    method: str
    photometry: dict | None = None

    @property
    def flag(self):
        """Why the values are not to be trusted: strange (p <= 0.05), cool (< 2870 K), fast (> 5 km/s), or empty.

        Several reasons are separated by commas.
        """
        return ", ".join(_doubts(self.median, self.p, self.strange))
