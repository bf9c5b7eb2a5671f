"""One way to configure a run: frozen dataclasses, filled from a profile.

    cfg = load_profile("demo", {"survey.noise": 0.0})

A profile is a mapping of settings that differ from the defaults below, and the defaults are the
paper's values (Mas-Buitrago et al. 2024, A&A 687, A205) wherever the paper gives one.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_type_hints

from .errors import ConfigError
from .parameters import PARAMETERS

__all__ = [
    "AutoencoderConfig",
    "ChainConfig",
    "Config",
    "ContinuumConfig",
    "EstimateConfig",
    "ModelsConfig",
    "PROFILES",
    "RecommendedConfig",
    "RegressionConfig",
    "RegressorConfig",
    "SURVEY_EFFECTS",
    "SearchConfig",
    "SurveyConfig",
    "SyntheticConfig",
    "TransferConfig",
    "UmapConfig",
    "WindowConfig",
    "data_mirror",
    "load_profile",
]


SURVEY_EFFECTS = (
    "noise",
    "velocity",
    "continuum",
    "telluric",
    "activity",
    "line_strength",
    "missing_lines",
    "unknown_lines",
)


@dataclass(frozen=True)
class WindowConfig:
    """The common wavelength grid: vacuum A. 8800-8835 A at 0.01 A are the paper's 3501 pixels."""

    start: float = 8800.0
    stop: float = 8835.0
    step: float = 0.01
    margin: float = 5.0  # on either side, for the continuum only
    resolving_power: float = 94_600.0  # CARMENES VIS


@dataclass(frozen=True)
class ContinuumConfig:
    """Continuum after GISIC (Whitten): inflection points of a smoothed spectrum, spline through them."""

    sigma: float = 30.0  # Gaussian smoothing, in pixels of 0.01 A
    width: float = 30.0  # A, the stretch around each point whose upper fluxes set the level
    flux_min: float = 70.0  # percentile above which fluxes count as continuum
    smoothing: float = 5.0  # FITPACK's s, for a spectrum of median flux 1
    degree: int = 3


@dataclass(frozen=True)
class SyntheticConfig:
    """The label grid of the source domain (steps as in the paper) and how many spectra are drawn from it."""

    library: str = "grid_a"  # embedded, or "phoenix": PHOENIX-ACES from `dtl data fetch phoenix`
    n_spectra: int = 22_933
    teff_min: float = 2600.0  # the embedded library is unreliable below
    teff_max: float = 4475.0
    teff_step: float = 25.0
    logg_step: float = 0.1
    mh_min: float = -1.0
    mh_max: float = 0.6
    mh_step: float = 0.1
    vsini: tuple[float, ...] = (1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30)
    main_sequence: str = "paper"  # the paper's combinations by rule, or "band": within a width of a relation
    main_sequence_width: float = 0.15  # of the band: dex in log g on either side of the relation
    interpolation: str = "linear"  # between the library's nodes: as in the paper, or "cubic": of ln(flux), smooth
    limb_darkening: float = 0.6


@dataclass(frozen=True)
class ChainConfig:
    """From a real spectrum to the network's input; see dtl_core.preparing.chain."""

    resampling: str = "linear"  # as in the paper; "spline" or "flux" (conserving) follow coarse pixels better
    tellurics: str = "keep"  # as in the paper, or "mask": pixels under telluric lines are bridged
    cosmic_sigma: float = 8.0  # a narrow spike this many standard deviations high is a cosmic ray; 0 keeps all
    velocity_limit: float = 250.0  # km/s, searched on either side
    minimum_correlation: float = 0.3  # below, no velocity is believed


@dataclass(frozen=True)
class SurveyConfig:
    """The benchmark survey: strengths of what separates observed from synthetic; 0 switches an effect off."""

    n_stars: int = 286
    seed: int = 20240528
    noise: float = 1.0  # photon noise, S/N 100-400 a detector pixel
    velocity: float = 1.0  # velocity left over after the shift to rest, 0.15 km/s rms
    continuum: float = 1.0  # slow tilt and curvature of the blaze, 1 % rms
    telluric: float = 1.0  # water lines, at the velocity of the Earth
    activity: float = 1.0  # filled-in lines of the active stars
    line_strength: float = 1.0  # errors of the line list, the same for every star
    missing_lines: float = 1.0  # lines that the synthetic spectra have and the stars do not
    unknown_lines: float = 1.0  # lines that the stars have and the synthetic spectra do not
    real_stars: str = "auto"  # HPF stars of mirror or cache: "auto" (when they are there), "yes" or "no"
    spectra: tuple[str, ...] = ()  # files or folders with spectra of the user's own stars
    coadd: bool = False  # several spectra of one star and instrument become one
    broken: str = "stop"  # at a spectrum that cannot be used, or "skip" it and say so


@dataclass(frozen=True)
class AutoencoderConfig:
    """Architecture and training of the autoencoders (paper, section 3.1)."""

    widths: tuple[int, ...] = (1024, 1280, 1536, 1792, 2048)
    l1: tuple[float, ...] = (0.7e-7, 0.8e-7, 0.9e-7, 1.0e-7, 1.1e-7, 1.2e-7)
    learning_rate: float = 1e-4
    bottleneck: int = 32
    n_models: int = 26
    epochs: int = 120
    batch_size: int = 128
    schedule: str = "constant"  # of the learning rate, or "one-cycle": up and down once, for few epochs
    test_fraction: float = 0.3
    contractive: str = "paper"  # or "exact"; see dtl_core.networks.autoencoder
    contractive_weight: float = 1e-4
    centred: bool = False  # inputs centred and scaled: far fewer steps; the paper goes without
    flux_ceiling: float = 1.1  # inputs are flux / ceiling: a sigmoid cannot reach fluxes above 1


@dataclass(frozen=True)
class SearchConfig:
    """Searches by cross-validation: over width, L1 and learning rate on the plain MSE, and over regressors."""

    folds: int = 4
    epochs: int = 15
    fraction: float = 1.0  # of the training spectra that the search uses
    halving: int = 0  # successive halving: keep one in so many of the candidates of a round; 0 tries all to the end
    learning_rates: tuple[float, ...] = (1e-4, 1e-3)
    # of the regressors (see `dtl search`): the published values of Teff are 64, 32, 64 and 0.01
    filters: tuple[int, ...] = (32, 64)
    second_filters: tuple[int, ...] = (16, 32)
    last_units: tuple[int, ...] = (32, 64, 128)
    regressor_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    regressor_epochs: int = 9


@dataclass(frozen=True)
class TransferConfig:
    """Fine-tuning without labels on observed spectra (paper, section 3.2)."""

    epochs: int = 60
    batch_size: int = 128
    learning_rate: float = 1e-4
    test_fraction: float = 0.2
    frozen_layers: int = 4  # of the encoder, counted from the input


@dataclass(frozen=True)
class RegressorConfig:
    """One regressor: filters of its convolutions, neurons of its dense layers, and learning rate."""

    filters: tuple[int, int] = (64, 32)
    units: tuple[int, int, int] = (256, 128, 64)
    learning_rate: float = 0.01


@dataclass(frozen=True)
class RegressionConfig:
    """The convolutional regressors, one parameter each (paper, section 3.3).

    The paper gives the values of Teff; those of the others are not public. Theirs come from our own search (record
    ``searches``, see ``dtl search``), in which the shapes of the front differ by less than the folds.
    """

    n_models: int = 5  # for each autoencoder and parameter
    n_kept: int = 80  # of all of a parameter, by test error
    epochs: int = 200
    batch_size: int = 32
    test_fraction: float = 0.3
    schedule: str = "constant"  # or "one-cycle"
    teff: RegressorConfig = field(default_factory=RegressorConfig)
    logg: RegressorConfig = field(default_factory=lambda: RegressorConfig((64, 32), (256, 128, 128)))
    mh: RegressorConfig = field(default_factory=lambda: RegressorConfig((32, 32), (256, 128, 32)))
    vsini: RegressorConfig = field(default_factory=lambda: RegressorConfig((32, 32), (256, 128, 64)))


@dataclass(frozen=True)
class EstimateConfig:
    """Kernel density of the estimates of one star."""

    grid_size: int = 1024
    bandwidth: str = "ISJ"  # improved Sheather-Jones, or "silverman"


@dataclass(frozen=True)
class RecommendedConfig:
    """What the catalogue recommends beside the paper's estimates: an arm of the test bench (notebook 07)."""

    method: str = "combined"  # the winner; or "randomised", which needs no other stars, or "paper"
    fewest: int = 30  # stars that have lines in common to learn from; fewer are left to the randomised network
    epochs: int = 20  # of a network
    emulator_epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 2e-3
    reference_stars: int = 290  # simulated, of ten other surveys, against which stars without a survey are calibrated


@dataclass(frozen=True)
class ModelsConfig:
    """Trained models for other people's spectra, one for each resolving power; see dtl_core.models.making."""

    resolving_powers: tuple[float, ...] = (94_600.0, 80_000.0, 53_000.0, 42_000.0)
    members: int = 4  # networks of an ensemble
    n_spectra: int = 6000  # synthetic, of the configured library, that they learn from
    epochs: int = 20
    emulator_epochs: int = 100
    noise: float = 0.04  # of a pixel, the largest that a network sees; log-uniform from a tenth of it
    reference_stars: int = 1200  # simulated, of other surveys, that calibrate errors and p-values
    test_stars: int = 720  # simulated, of yet other surveys, that the card's figures come from
    lowest_snr: float = 20.0  # of the reference stars, a detector pixel; log-uniform
    highest_snr: float = 400.0


@dataclass(frozen=True)
class UmapConfig:
    """Two-dimensional maps of fluxes and latents; drawn only, nothing is computed from them."""

    n_neighbors: int = 15
    min_dist: float = 0.1
    n_synthetic: int = 4000


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides code and data."""

    profile: str = "paper"
    seed: int = 0
    device: str = "auto"  # "cpu", "cuda" or "auto"; the kind that is taken is part of the keys
    precision: str = "float32"  # of matrix products; "tf32" and "bf16" are for GPUs
    workers: int = 0  # processes; 0 takes one a core; not part of any key
    stack: int = 0  # autoencoders that train together; 0 takes one on a CPU, as many as fit on a GPU; in no key
    window: WindowConfig = field(default_factory=WindowConfig)
    continuum: ContinuumConfig = field(default_factory=ContinuumConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    chain: ChainConfig = field(default_factory=ChainConfig)
    survey: SurveyConfig = field(default_factory=SurveyConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    regression: RegressionConfig = field(default_factory=RegressionConfig)
    estimate: EstimateConfig = field(default_factory=EstimateConfig)
    recommended: RecommendedConfig = field(default_factory=RecommendedConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    umap: UmapConfig = field(default_factory=UmapConfig)

    def architectures(self):
        """Every (width, L1) of the grid, widths outermost."""
        return list(itertools.product(self.autoencoder.widths, self.autoencoder.l1))


_RATES = {f"regression.{name}.learning_rate": 0.003 for name in PARAMETERS}  # with one cycle: record "searches"
_FAST = {  # what the small profiles share: centred inputs and learning rates for hundreds of steps, not thousands
    "synthetic.main_sequence": "band",
    "synthetic.interpolation": "cubic",
    "chain.resampling": "spline",
    "autoencoder.centred": True,
    "autoencoder.learning_rate": 1e-3,
    "autoencoder.batch_size": 32,
    "search.learning_rates": (1e-4, 1e-3),
    "search.folds": 2,
    "transfer.batch_size": 32,
    "transfer.learning_rate": 3e-4,
    "regression.batch_size": 128,
    "regression.schedule": "one-cycle",
} | _RATES
PROFILES = {
    "smoke": _FAST
    | {
        "synthetic.n_spectra": 2400,
        "autoencoder.widths": (128, 160),
        "autoencoder.l1": (0.8e-7, 1.2e-7),
        "autoencoder.n_models": 4,
        "autoencoder.epochs": 25,
        "search.epochs": 1,
        "transfer.epochs": 20,
        "regression.n_models": 2,
        "regression.n_kept": 8,
        "regression.epochs": 15,
        "estimate.grid_size": 256,
        "recommended.epochs": 6,
        "recommended.emulator_epochs": 30,
        "models.resolving_powers": (53_000.0,),
        "models.members": 2,
        "models.n_spectra": 1500,
        "models.epochs": 5,
        "models.emulator_epochs": 30,
        "models.reference_stars": 150,
        "models.test_stars": 80,
        "umap.n_synthetic": 500,
    },
    "demo": _FAST
    | {
        "synthetic.n_spectra": 4000,
        "autoencoder.widths": (256, 384),
        "autoencoder.l1": (0.8e-7, 1.2e-7),
        "autoencoder.n_models": 4,
        "autoencoder.epochs": 30,
        "search.epochs": 3,
        "regression.n_models": 3,
        "regression.n_kept": 8,
        "regression.epochs": 20,
        "umap.n_synthetic": 2000,
    },
    "paper-fast": _RATES
    | {  # the paper's data and numbers; shorter training on wider pixels, without contractive penalty
        "window.step": 0.03,
        "autoencoder.centred": True,
        "autoencoder.contractive_weight": 0.0,  # it slows the training down: record "benchmarks", accuracy
        "autoencoder.learning_rate": 4e-4,
        "autoencoder.schedule": "one-cycle",
        "autoencoder.epochs": 8,
        "search.learning_rates": (4e-4, 4e-3),
        "search.epochs": 5,
        "search.fraction": 0.2,
        "search.regressor_epochs": 8,
        "transfer.batch_size": 32,
        "transfer.learning_rate": 3e-4,
        "regression.batch_size": 128,
        "regression.schedule": "one-cycle",
        "regression.epochs": 8,
    },
    "paper": {},
}


def data_mirror():
    """The folder named by ``DTL_DATA``, or None when it is not set.

    Errors
    ------
    ConfigError : it names no folder.
    """
    value = os.environ.get("DTL_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            "is not a folder", file=folder, field="DTL_DATA", remedy="correct the path or unset the variable"
        )
    return folder


def load_profile(name, overrides=None):
    """A profile's configuration, with single settings replaced.

    Arguments
    ---------
    name : str
        ``smoke``, ``demo``, ``paper-fast`` or ``paper``.
    overrides : dict, optional
        Dotted setting -> value, e.g. ``{"survey.noise": 0, "seed": 1}``; strings are read as the setting's type.

    Errors
    ------
    ConfigError : unknown profile or setting, or a value of the wrong type or out of range.
    """
    if name not in PROFILES:
        raise ConfigError(f"unknown profile {name!r}", field="profile", remedy=f"choose one of {', '.join(PROFILES)}")
    config = Config(profile=name)
    settings = dict(PROFILES[name])
    settings.update(overrides or {})
    for key, value in settings.items():
        config = _replace(config, key, key.split("."), value)
    _check(config)
    return config


def _replace(node, key, path, value):
    known = {f.name for f in dataclasses.fields(node)}
    if path[0] not in known:
        raise ConfigError("unknown setting", field=key, remedy=f"known here: {', '.join(sorted(known))}")
    current = getattr(node, path[0])
    if dataclasses.is_dataclass(current):
        if len(path) == 1:
            raise ConfigError("is a group of settings", field=key, remedy="name one setting of it, e.g. survey.noise")
        new = _replace(current, key, path[1:], value)
    elif len(path) > 1:
        raise ConfigError("unknown setting", field=key, remedy=f"{path[0]} has no parts")
    else:
        new = _convert(get_type_hints(type(node))[path[0]], value, key)
    return dataclasses.replace(node, **{path[0]: new})


def _convert(kind, value, key):
    try:
        if kind is bool:
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            return value if isinstance(value, bool) else words[str(value).lower()]
        if kind in (int, float, str):
            number = kind(value)
            if kind is int and isinstance(value, float) and number != value:
                raise ValueError
            return number
        item = kind.__args__[0]
        items = value.split(",") if isinstance(value, str) else list(value)
        return tuple(item(v) for v in items if v != "")
    except (KeyError, TypeError, ValueError):
        name = getattr(kind, "__name__", str(kind))
        raise ConfigError(f"cannot read {value!r}", field=key, remedy=f"give a value of type {name}") from None


_RANGES = {  # setting: (lowest, highest)
    "window.step": (0.005, 0.05),
    "window.margin": (1.0, 6.0),
    "window.resolving_power": (5_000.0, 300_000.0),
    "synthetic.n_spectra": (50, 10**6),
    "synthetic.teff_min": (2300.0, 4500.0),
    "synthetic.teff_max": (2300.0, 4500.0),
    "synthetic.mh_min": (-1.0, 0.6),
    "synthetic.mh_max": (-1.0, 0.6),
    "synthetic.teff_step": (1.0, 500.0),
    "synthetic.logg_step": (0.01, 0.5),
    "synthetic.mh_step": (0.01, 1.0),
    "synthetic.main_sequence_width": (0.01, 1.0),
    "synthetic.limb_darkening": (0.0, 1.0),
    "chain.cosmic_sigma": (0.0, 1e3),
    "chain.velocity_limit": (10.0, 250.0),
    "chain.minimum_correlation": (0.0, 1.0),
    "seed": (0, 2**31),
    "workers": (0, 10**4),
    "stack": (0, 10**4),
    "survey.seed": (0, 2**31),
    "survey.n_stars": (10, 286),
    "autoencoder.n_models": (1, 1000),
    "autoencoder.epochs": (1, 10**5),
    "search.epochs": (1, 10**5),
    "transfer.epochs": (1, 10**5),
    "regression.epochs": (1, 10**5),
    "autoencoder.test_fraction": (0.01, 0.9),
    "transfer.test_fraction": (0.01, 0.9),
    "regression.test_fraction": (0.01, 0.9),
    "transfer.batch_size": (1, 10**6),
    "regression.batch_size": (2, 10**6),
    "transfer.learning_rate": (1e-8, 1.0),
    "autoencoder.contractive_weight": (0.0, 1e3),
    "autoencoder.batch_size": (1, 10**6),
    "autoencoder.bottleneck": (1, 4096),
    "autoencoder.learning_rate": (1e-8, 1.0),
    "autoencoder.flux_ceiling": (1.0, 10.0),
    "search.folds": (2, 100),
    "search.fraction": (0.01, 1.0),
    "search.halving": (0, 100),
    "search.regressor_epochs": (1, 10**5),
    "transfer.frozen_layers": (0, 5),
    "regression.n_models": (1, 1000),
    "regression.n_kept": (1, 10**6),
    "estimate.grid_size": (64, 10**6),
    "recommended.fewest": (10, 10**6),
    "recommended.epochs": (1, 10**5),
    "recommended.emulator_epochs": (1, 10**5),
    "recommended.batch_size": (1, 10**6),
    "recommended.learning_rate": (1e-8, 1.0),
    "recommended.reference_stars": (50, 2860),
    "models.members": (1, 100),
    "models.n_spectra": (200, 10**6),
    "models.epochs": (1, 10**5),
    "models.emulator_epochs": (1, 10**5),
    "models.noise": (0.0, 1.0),
    "models.reference_stars": (50, 11_440),
    "models.test_stars": (20, 5720),
    "models.lowest_snr": (1.0, 1e4),
    "models.highest_snr": (1.0, 1e4),
    "umap.n_neighbors": (2, 1000),
}
_RANGES |= {f"survey.{name}": (0.0, 100.0) for name in SURVEY_EFFECTS}
_RANGES |= {f"regression.{name}.learning_rate": (1e-8, 1.0) for name in PARAMETERS}
_CHOICES = {
    "autoencoder.contractive": ("paper", "exact"),
    "survey.real_stars": ("auto", "yes", "no"),
    "survey.broken": ("stop", "skip"),
    "synthetic.library": ("grid_a", "phoenix"),
    "synthetic.main_sequence": ("paper", "band"),
    "synthetic.interpolation": ("linear", "cubic"),
    "chain.resampling": ("linear", "spline", "flux"),
    "chain.tellurics": ("keep", "mask"),
    "estimate.bandwidth": ("ISJ", "silverman"),
    "recommended.method": ("combined", "randomised", "paper"),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("float32", "tf32", "bf16"),
    "autoencoder.schedule": ("constant", "one-cycle"),
    "regression.schedule": ("constant", "one-cycle"),
}


def _get(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


def _check(config):
    for key, (low, high) in _RANGES.items():
        if not low <= _get(config, key) <= high:  # also refuses NaN
            raise ConfigError(f"{_get(config, key)!r} is out of range", field=key, remedy=f"give {low} to {high}")
    for key, choices in _CHOICES.items():
        if _get(config, key) not in choices:
            raise ConfigError(
                f"unknown value {_get(config, key)!r}", field=key, remedy=f"choose one of {', '.join(choices)}"
            )
    lists = ("learning_rates", "filters", "second_filters", "last_units", "regressor_rates")
    single = ("autoencoder.widths", "autoencoder.l1", "synthetic.vsini", "models.resolving_powers")
    for key in (*single, *(f"search.{name}" for name in lists)):
        values = _get(config, key)
        if not values or min(values) < 0:
            raise ConfigError(
                "needs at least one value, none negative", field=key, remedy="give a comma-separated list"
            )
    if any(width % 8 for width in config.autoencoder.widths):
        raise ConfigError("widths must be multiples of 8", field="autoencoder.widths", remedy="e.g. 384,512")
    lengths = [(f"regression.{name}.{part}", n) for name in PARAMETERS for part, n in (("filters", 2), ("units", 3))]
    for key, length in lengths:
        if len(_get(config, key)) != length or min(_get(config, key)) < 1:
            raise ConfigError(f"needs {length} positive numbers", field=key, remedy="give a comma-separated list")
    window = config.window
    if not (8796.0 <= window.start < window.stop <= 8844.0):
        raise ConfigError(
            f"{window.start}-{window.stop} A is outside the embedded library",
            field="window.start",
            remedy="stay within 8796-8844 A (vacuum), start below stop",
        )
