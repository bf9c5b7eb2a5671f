"""A model for one resolving power: its file, its networks, its calibrated estimates and its warnings."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..arguments import a_path, checked
from ..bridging.emulator import Emulator
from ..bridging.fits import LeastSquares
from ..bridging.flux_networks import FluxNet
from ..bridging.problem import Problem
from ..config import load_profile
from ..errors import ConfigError, DataError
from ..estimates import outliers
from ..estimates.calibration import group_edges, groups_of, intervals, joint_samples
from ..files import write_atomic
from ..parameters import PARAMETER_COLUMNS, PARAMETERS
from ..preparing import chain
from ..spectra import operators
from ..spectra.operators import C_KMS, window_grid
from .ensemble import Ensemble, part_of

__all__ = ["Examination", "Specialist", "read_specialist", "settings_of"]


FORMAT = 1  # of the files
DERIVED = ("table", "mirrored", "frequency")  # of an emulator: made anew from the rest
SNR_EDGES = (40.0, 100.0)  # between the classes of reference stars that a star is compared with
FEWEST_OF_A_CLASS = 60
EDGE = 0.02  # of a parameter's range: nearer to its end, an estimate may be an extrapolation
STRANGE = 0.05  # p below which a spectrum is called strange


def settings_of(config):
    """The settings that a specialist depends on, as plain values by dotted name."""
    plain = {}
    for group in ("window", "continuum", "chain", "estimate"):
        plain |= {f"{group}.{name}": value for name, value in dataclasses.asdict(getattr(config, group)).items()}
    for name in PARAMETERS:
        net = getattr(config.regression, name)
        plain |= {f"regression.{name}.filters": net.filters, f"regression.{name}.units": net.units}
    plain |= {f"autoencoder.{name}": getattr(config.autoencoder, name) for name in ("bottleneck", "flux_ceiling")}
    return plain | {"synthetic.limb_darkening": config.synthetic.limb_darkening}


class _Networks:
    """Several networks on fluxes that answer as one: the mean, and how far off it is likely to be."""

    def __init__(self, networks):
        self.networks = networks

    def latent(self, flux):
        """(n, n_features), those of the first network."""
        with torch.no_grad():
            return self.networks[0].features(torch.as_tensor(flux)).numpy()

    def both(self, flux):
        """Labels and their standard errors, (n, 4) both: what a network expects, and how much they differ."""
        with torch.no_grad():
            parts = [[net(part) for part in torch.as_tensor(flux).split(256)] for net in self.networks]
        labels, errors = (np.stack([torch.cat([p[k] for p in net]).numpy() for net in parts]) for k in (0, 1))
        return labels.mean(0), np.sqrt((errors**2).mean(0) + labels.var(0))


class Specialist:
    """A model for one resolving power.

    Attributes
    ----------
    config : Config, with the settings that its input depends on
    card : dict, what it was made from, when, and how well it did; see :mod:`dtl_core.models.making`
    wavelength : (n_pixels,) A, of its input, which is binned to about 0.03 A
    reference : dict of found, spread, truth (n, 4), latent (n, n_features), map (n, 2), snr (n,) of simulated stars
    """

    def __init__(self, arrays, card):
        self.arrays, self.card = arrays, card
        self.config = load_profile("demo", card["settings"])
        self.wavelength = self._binned(window_grid(self.config.window, margin=False))
        tensors = {name: torch.as_tensor(v.astype(np.float32)) for name, v in arrays.items() if v.dtype == np.float16}
        tensors |= {name: torch.as_tensor(v) for name, v in arrays.items() if v.dtype == np.float32}
        self.network = self._networks(tensors)
        self.emulator = self._emulator(tensors)
        self.least_squares = LeastSquares()
        self.least_squares.problem = self._problem(torch.as_tensor(arrays["coarse"]))
        self.least_squares.emulator = self.emulator
        self.low, self.high = self.emulator.low.numpy(), self.emulator.high.numpy()
        if "reference.found" in arrays:
            self.reference = part_of(arrays, "reference.")
            self.detector = outliers.Detector.from_state(part_of(arrays, "detector."))

    @property
    def resolving_power(self):
        return self.config.window.resolving_power

    def _binned(self, values):
        """In pixels of about 0.03 A, but for the paper's networks, which take those that they were trained on."""
        return values if self.card["method"] == "paper" else operators.binned(values, self.config.window.step)

    def _networks(self, tensors):
        if self.card["method"] == "paper":
            return Ensemble.from_arrays(self.config, part_of(tensors, "ensemble."), self.card["autoencoders"])
        networks = []
        for number in range(self.card["members"]):
            network = FluxNet(torch.zeros(2, len(self.wavelength)), torch.zeros(2, len(PARAMETERS)), 0)
            network.load_state_dict(part_of(tensors, f"network{number}."))
            networks.append(network)
        return _Networks(networks)

    def _emulator(self, tensors):
        state = part_of(tensors, "emulator.")
        ends = torch.stack([state["low"], state["high"]])
        flux = state["mean"].expand(2, -1)
        width, limb_darkening = len(state["layers.0.bias"]), self.config.synthetic.limb_darkening
        emulator = Emulator(ends, flux, self.wavelength, width=width, limb_darkening=limb_darkening)
        emulator.load_state_dict(state | {name: getattr(emulator, name) for name in DERIVED})
        return emulator.eval()

    def _problem(self, labels):
        """What the fit begins with: emulated spectra of a few labels (n, 4)."""
        with torch.no_grad():
            flux = self.emulator(labels)
        rows = np.arange(len(labels))
        return Problem(self.wavelength, flux, labels, rows, rows[:0], flux[:0], self.resolving_power)

    def predict(self, flux):
        """Labels (n, 4) of spectra (n, n_pixels) in this model's pixels."""
        return self.network.both(flux)[0]

    def reconstruct(self, labels):
        """Emulated spectra (n, n_pixels) of labels (n, 4), a tensor."""
        return self.emulator.reconstruct(labels)

    def measure(self, flux, labels, spread):
        """Features of spectra (n, n_pixels) for the outlier detector, given the networks' labels and errors (n, 4)."""
        usable = torch.as_tensor(outliers.replace_unusable(flux))
        return outliers.measure(
            flux,
            latent=self.network.latent(usable),
            reconstruction=self.reconstruct(labels).numpy(),
            disagreement=(labels - self.least_squares.predict(usable)) / spread,
            step=self.least_squares.problem.step,
        )

    def input(self, flux):
        """Prepared spectra (n, n_pixels of the window) in this specialist's pixels: float32 tensor."""
        return torch.as_tensor(self._binned(np.atleast_2d(flux)), dtype=torch.float32)

    def among(self, snr):
        """Which reference stars a star of this S/N is compared with: those of its class; all, if these are too few or
        the S/N is not known.

        The rarer the noise that a spectrum has among all reference stars, the less their errors would tell of its own.
        """
        own = np.searchsorted(SNR_EDGES, self.reference["snr"]) == np.searchsorted(SNR_EDGES, snr)
        return own if np.isfinite(snr) and own.sum() >= FEWEST_OF_A_CLASS else np.ones(len(own), bool)

    def estimate(self, flux, snr=None):
        """What it says of prepared spectra.

        Arguments: flux (n, n_pixels of the window); snr (n,) of a detector pixel, NaN where it is not known.

        Returns
        -------
        dict of found, spread, median (n, 4), low, high (n, 4, n_levels), p (n,), strange (n,) of str, latent
        (n, n_features); levels are those of :data:`dtl_core.estimates.calibration.LEVELS`.
        """
        binned, reference = self.input(flux), self.reference
        snr = np.full(len(binned), np.nan) if snr is None else np.asarray(snr, float)
        found, spread = self.network.both(binned)
        measured = self.measure(binned, found, spread)
        out = {"found": found, "spread": spread, "latent": measured["latent"]}
        kinds = np.where(np.isfinite(snr), np.searchsorted(SNR_EDGES, snr), -1)
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            among = self.among(snr[rows[0]])
            calibration = reference["found"][among], reference["spread"][among]
            part = intervals(calibration, reference["truth"][among], (found[rows], spread[rows]))
            own = {name: v if name == "step" else v[rows] for name, v in measured.items()}
            known = slice(None) if self.card["method"] == "combined" else among  # a survey is compared with itself
            part["p"], part["strange"] = self.detector.p_values(**own, among=known)
            for name in ("median", "low", "high", "p", "strange"):
                whole = out.setdefault(name, np.empty((len(binned), *part[name].shape[1:]), part[name].dtype))
                whole[rows] = part[name]
        for name in ("median", "low", "high"):  # no star rotates backwards
            out[name][:, 3] = np.maximum(out[name][:, 3], 0.0)
        return out

    def posterior(self, found, spread, snr=np.nan, n=2000, seed=0):
        """Joint samples (n, 4) of one star, from the errors of reference stars of its S/N in its third of Teff.

        The few different errors are blurred by a quarter of their spread, and drawn together so that this stays as it
        is (Silverman 1986, section 6.4).
        """
        reference, among = self.reference, self.among(snr)
        edges = group_edges(reference["found"][among, 0])
        own = among & (groups_of(reference["found"][:, 0], edges) == groups_of(found[None, 0], edges)[0])
        known = (reference[name][own] for name in ("found", "truth", "spread"))
        samples = joint_samples(*known, found[None], spread[None], n, seed=seed)[:, 0]
        centre, blur = samples.mean(0), np.random.default_rng([seed, 1]).normal(0, 0.25, samples.shape)
        samples = centre + (samples - centre + blur * samples.std(0)) / np.hypot(1, 0.25)
        samples[:, 3] = np.maximum(samples[:, 3], 0.0)
        return samples

    def place(self, latent):
        """Where spectra of features (n, n_features) lie in the map of the reference stars: (n, 2).

        The mean of the five nearest, by inverse distance: what UMAP itself begins with for a new point.
        """
        reference = self.reference
        distance = np.linalg.norm(latent[:, None] - reference["latent"][None], axis=2)
        near = np.argsort(distance, axis=1)[:, :5]
        weight = 1 / (np.take_along_axis(distance, near, 1) + 1e-6)
        return (weight[..., None] * reference["map"][near]).sum(1) / weight.sum(1, keepdims=True)

    def warnings(self, median, p, strange, snr=np.nan):
        """What a careful reader of one star's estimate (4,) should know: list of str."""
        out = []
        lowest = self.reference["snr"].min()
        if snr < lowest:
            out.append(f"S/N = {snr:.0f} is below {lowest:.0f}, the lowest that the errors are calibrated at")
        for k, (column, unit) in enumerate(zip(PARAMETER_COLUMNS.values(), ("K", "dex", "dex", "km/s"), strict=True)):
            edge = EDGE * (self.high[k] - self.low[k])
            low, high = (k < 3 and median[k] < self.low[k] + edge), median[k] > self.high[k] - edge
            if low or high:
                end = self.low[k] if low else self.high[k]
                out.append(f"{column} is at the end of the training grid ({end:g} {unit}): maybe beyond it")
        width = C_KMS / self.resolving_power / 2
        if median[3] < width:
            out.append(f"v sin i below half the instrument's width ({width:.1f} km/s): an upper limit")
        if p <= STRANGE:
            out.append(f"a strange spectrum (p = {p:.3f}, {strange}): do not trust the values blindly")
        return out

    @checked(path=a_path)
    def save(self, path):
        """Write the file. Returns: Path."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(v) for name, v in self.arrays.items()}
        return write_atomic(path, save(arrays, metadata={"card": json.dumps(self.card, sort_keys=True)}))


@checked(path=a_path)
def read_specialist(path):
    """A :class:`Specialist` from its file.

    Errors
    ------
    DataError : no such file, or not one of a specialist's, or damaged.
    """
    from safetensors import safe_open

    if Path(path).exists() and not Path(path).is_file():  # opening a pipe waits for somebody to write to it
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
    except Exception as error:  # safetensors, json and torch raise their own kinds for a damaged file
        problem = f"is not a model or is damaged ({type(error).__name__})"
        raise DataError(problem, file=path, remedy="make or fetch the models again") from None


@dataclass(frozen=True, eq=False)
class Examination:
    """All that is known of one spectrum.

    report : :class:`dtl_core.preparing.chain.Report`
    resolving_power : of the specialist that was asked
    flux : (n_pixels,) its input, continuum = 1, on its ``wavelength``
    found, spread, median : (4,);  low, high : (4, n_levels), see :data:`dtl_core.estimates.calibration.LEVELS`
    p : how likely an ordinary spectrum is at least as strange;  strange : the score that tells most
    latent : (n_features,)
    warnings : of the chain and of the specialist
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
