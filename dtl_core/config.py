"""Configuration of a run: frozen dataclasses, filled from a profile.

The defaults are the values of the paper (Mas-Buitrago et al. 2024, A&A 687, A205) wherever it gives one.
A profile lists the settings that differ from them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_type_hints

from .errors import ConfigError
from .parameters import PARAMETERS

__all__ = [
    "AutoencoderConfig",
    "ChainConfig",
    "Config",
    "ContinuumConfig",
    "EstimateConfig",
    "FOREIGN_EFFECTS",
    "ForeignConfig",
    "ModelsConfig",
    "PROFILES",
    "RecommendedConfig",
    "RegressionConfig",
    "RegressorConfig",
    "SURVEY_EFFECTS",
    "SearchConfig",
    "Setting",
    "SurveyConfig",
    "SyntheticConfig",
    "TransferConfig",
    "UmapConfig",
    "WindowConfig",
    "load_profile",
    "override",
    "setting",
    "settings",
]


def setting(default, about, *, unit="", low=None, high=None, choices=()):
    """Define one setting of a configuration class.

    Parameters
    ----------
    default : object
        Immutable.
    about : str
        What it is, for the book's page of settings. It is not part of the code's hash, see :mod:`dtl_core.source_code`.
    unit : str, optional
    low, high : float, optional
        Smallest and largest value allowed; both or neither.
    choices : tuple of str, optional
        The values allowed.

    Returns
    -------
    dataclasses.Field
    """
    return field(default=default, metadata=dict(about=about, unit=unit, low=low, high=high, choices=choices))


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
    """The common wavelength grid in vacuum: 8800-8835 A in steps of 0.01 A are the 3501 pixels of the paper."""

    start: float = setting(8800.0, "first pixel, vacuum", unit="A")
    stop: float = setting(8835.0, "last pixel, vacuum", unit="A")
    step: float = setting(0.01, "width of a pixel", unit="A", low=0.005, high=0.05)
    margin: float = setting(5.0, "added on either side to fit the continuum", unit="A", low=1.0, high=6.0)
    resolving_power: float = setting(
        94_600.0, "wavelength over FWHM; the default is CARMENES VIS", low=5_000.0, high=300_000.0
    )


@dataclass(frozen=True)
class ContinuumConfig:
    """Continuum after GISIC (Whitten): a spline through inflection points of the smoothed spectrum."""

    sigma: float = setting(30.0, "Gaussian smoothing, in pixels of 0.01 A")
    width: float = setting(30.0, "range around each point whose upper fluxes set the level", unit="A")
    flux_min: float = setting(70.0, "percentile above which fluxes count as continuum")
    smoothing: float = setting(5.0, "smoothing condition s of FITPACK, for a spectrum of median flux 1")
    degree: int = setting(3, "degree of the spline")


@dataclass(frozen=True)
class SyntheticConfig:
    """The label grid of the source domain, with the steps of the paper, and the spectra drawn from it."""

    library: str = setting(
        "grid_a",
        "the embedded grid, or PHOENIX-ACES from `dtl data fetch phoenix`",
        choices=("grid_a", "phoenix"),
    )
    n_spectra: int = setting(22_933, "number of spectra drawn from the grid", low=50, high=10**6)
    teff_min: float = setting(
        2600.0, "lowest Teff; the embedded library is unreliable below the default", unit="K", low=2300.0, high=4500.0
    )
    teff_max: float = setting(4475.0, "highest Teff", unit="K", low=2300.0, high=4500.0)
    teff_step: float = setting(25.0, "step in Teff", unit="K", low=1.0, high=500.0)
    logg_step: float = setting(0.1, "step in log g", unit="dex", low=0.01, high=0.5)
    mh_min: float = setting(-1.0, "lowest [M/H]", unit="dex", low=-1.0, high=0.6)
    mh_max: float = setting(0.6, "highest [M/H]", unit="dex", low=-1.0, high=0.6)
    mh_step: float = setting(0.1, "step in [M/H]", unit="dex", low=0.01, high=1.0)
    vsini: tuple[float, ...] = setting(
        (1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30), "projected rotational velocities", unit="km/s"
    )
    main_sequence: str = setting(
        "paper",
        "label combinations of the paper, reproduced by a rule, or a band around a relation for log g",
        choices=("paper", "band"),
    )
    main_sequence_width: float = setting(
        0.15, "half width of the band in log g from 3500 K on", unit="dex", low=0.01, high=1.0
    )
    main_sequence_width_cool: float = setting(
        0.3, "half width of the band in log g below 3500 K", unit="dex", low=0.01, high=1.0
    )
    interpolation: str = setting(
        "linear",
        "between nodes of the library: linear in flux as in the paper, or cubic in ln(flux), which is smooth",
        choices=("linear", "cubic"),
    )
    limb_darkening: float = setting(0.6, "linear coefficient of the rotation profile", low=0.0, high=1.0)


@dataclass(frozen=True)
class ChainConfig:
    """From an observed spectrum to the input of the networks; see :mod:`dtl_core.preparing.chain`."""

    resampling: str = setting(
        "linear",
        "linear as in the paper; spline and flux (which conserves it) follow coarse pixels better",
        choices=("linear", "spline", "flux"),
    )
    tellurics: str = setting(
        "keep",
        "keep pixels under telluric lines as in the paper, or mask and bridge them",
        choices=("keep", "mask"),
    )
    cosmic_sigma: float = setting(
        8.0, "standard deviations from which a narrow spike is a cosmic ray; 0 keeps all", low=0.0, high=1e3
    )
    velocity_limit: float = setting(
        250.0, "velocities are searched up to this one, of either sign", unit="km/s", low=10.0, high=250.0
    )
    minimum_correlation: float = setting(0.3, "velocities with a lower correlation are rejected", low=0.0, high=1.0)


@dataclass(frozen=True)
class ForeignConfig:
    """Strengths of effects that no method was tuned on: 0 is off, 1 is like real spectra."""

    molecular_opacity: float = setting(0.0, "opacity of all but the strong atomic lines", low=0.0, high=10.0)
    opacity: float = setting(0.0, "opacity of all lines", low=0.0, high=10.0)
    nlte: float = setting(0.0, "strengths of atomic lines that change with Teff", low=0.0, high=10.0)
    zeeman: float = setting(0.0, "magnetic broadening of the strong lines", low=0.0, high=10.0)
    lsf_wings: float = setting(0.0, "wings of the line-spread function", low=0.0, high=10.0)
    scattered_light: float = setting(0.0, "scattered light that was not subtracted", low=0.0, high=10.0)
    wavelength_scale: float = setting(0.0, "smooth distortion of the wavelength scale", low=0.0, high=10.0)
    spots: float = setting(0.0, "a second, lower temperature on part of the surface", low=0.0, high=10.0)
    companion: float = setting(0.0, "light of a faint, cool star at another velocity", low=0.0, high=10.0)
    telluric_residuals: float = setting(0.0, "lines of water that were not corrected well", low=0.0, high=10.0)
    other_continuum: float = setting(0.0, "curvature and fringes of the continuum", low=0.0, high=10.0)


FOREIGN_EFFECTS = tuple(entry.name for entry in dataclasses.fields(ForeignConfig))


@dataclass(frozen=True)
class SurveyConfig:
    """The benchmark survey: strengths of the effects that separate observed from synthetic spectra; 0 is off."""

    library: str = setting(
        "survey_b",
        "spectra of the stars: another code and other line lists, or also other physics (survey C, by either code)",
        choices=("survey_b", "survey_c_a", "survey_c_b"),
    )
    n_stars: int = setting(286, "number of stars; survey C has 200", low=10, high=286)
    seed: int = setting(20240528, "seed of all random numbers of the survey", low=0, high=2**31)
    noise: float = setting(1.0, "photon noise: 1 is S/N 100-400 per detector pixel", low=0.0, high=100.0)
    velocity: float = setting(1.0, "velocity left after the shift to rest: 1 is 0.15 km/s rms", low=0.0, high=100.0)
    continuum: float = setting(1.0, "slow tilt and curvature of the blaze: 1 is 1 % rms", low=0.0, high=100.0)
    telluric: float = setting(1.0, "water lines at the velocity of the Earth", low=0.0, high=100.0)
    activity: float = setting(1.0, "filled-in lines of the active stars", low=0.0, high=100.0)
    line_strength: float = setting(1.0, "errors of the line list, equal for all stars", low=0.0, high=100.0)
    missing_lines: float = setting(
        1.0, "lines that the synthetic spectra have and the stars do not", low=0.0, high=100.0
    )
    unknown_lines: float = setting(
        1.0, "lines that the stars have and the synthetic spectra do not", low=0.0, high=100.0
    )
    real_stars: str = setting(
        "auto",
        "whether to use the HPF stars of the mirror or cache; auto: if they are there",
        choices=("auto", "yes", "no"),
    )
    spectra: tuple[str, ...] = setting((), "files or folders with spectra of your own stars")
    coadd: bool = setting(False, "whether to co-add the spectra of one star and instrument")
    broken: str = setting(
        "stop",
        "stop at a spectrum that cannot be used, or skip and report it",
        choices=("stop", "skip"),
    )
    foreign: ForeignConfig = field(default_factory=ForeignConfig)


@dataclass(frozen=True)
class AutoencoderConfig:
    """Architecture and training of the autoencoders (paper, section 3.1)."""

    widths: tuple[int, ...] = setting(
        (1024, 1280, 1536, 1792, 2048), "neurons of the first layer, one value per architecture; multiples of 8"
    )
    l1: tuple[float, ...] = setting(
        (0.7e-7, 0.8e-7, 0.9e-7, 1.0e-7, 1.1e-7, 1.2e-7), "weights of the L1 penalty, one value per architecture"
    )
    learning_rate: float = setting(1e-4, "learning rate", low=1e-8, high=1.0)
    bottleneck: int = setting(32, "latent dimensions", low=1, high=4096)
    n_models: int = setting(26, "number of autoencoders that are kept", low=1, high=1000)
    epochs: int = setting(120, "epochs", low=1, high=10**5)
    batch_size: int = setting(128, "spectra per batch", low=1, high=10**6)
    schedule: str = setting(
        "constant",
        "learning rate over the training: constant, or up and down once, for few epochs",
        choices=("constant", "one-cycle"),
    )
    test_fraction: float = setting(0.3, "fraction of the spectra held out for testing", low=0.01, high=0.9)
    contractive: str = setting(
        "paper",
        "form of the contractive penalty; see `dtl_core.networks.autoencoder`",
        choices=("paper", "exact"),
    )
    contractive_weight: float = setting(1e-4, "weight of the contractive penalty", low=0.0, high=1e3)
    centred: bool = setting(
        False, "whether to centre and scale the inputs, which takes far fewer steps; the paper does not"
    )
    components: int = setting(
        0,
        "principal components in which the first and last layers are trained, see `dtl_core.networks.low_rank`; "
        "0 trains them on pixels, as the paper",
        low=0,
        high=4096,
    )
    flux_ceiling: float = setting(
        1.1, "inputs are flux / ceiling, since a sigmoid cannot reach fluxes above 1", low=1.0, high=10.0
    )


@dataclass(frozen=True)
class SearchConfig:
    """Searches by cross-validation: width, L1 and learning rate by the plain MSE, and the regressors."""

    folds: int = setting(4, "folds of the cross-validation", low=2, high=100)
    epochs: int = setting(15, "epochs of an autoencoder", low=1, high=10**5)
    fraction: float = setting(1.0, "fraction of the training spectra that the search uses", low=0.01, high=1.0)
    halving: int = setting(
        0, "successive halving keeps one in so many candidates per round; 0 trains all to the end", low=0, high=100
    )
    learning_rates: tuple[float, ...] = setting((1e-4, 1e-3), "candidates: learning rate of an autoencoder")
    # the published values of Teff are 64, 32, 64 and 0.01
    filters: tuple[int, ...] = setting((32, 64), "candidates: filters of a regressor's first convolution")
    second_filters: tuple[int, ...] = setting((16, 32), "candidates: filters of a regressor's second convolution")
    last_units: tuple[int, ...] = setting((32, 64, 128), "candidates: neurons of a regressor's last dense layer")
    regressor_rates: tuple[float, ...] = setting((1e-3, 3e-3, 1e-2), "candidates: learning rate of a regressor")
    regressor_epochs: int = setting(9, "epochs of a regressor", low=1, high=10**5)


@dataclass(frozen=True)
class TransferConfig:
    """Fine-tuning without labels on observed spectra (paper, section 3.2)."""

    epochs: int = setting(60, "epochs", low=1, high=10**5)
    batch_size: int = setting(128, "spectra per batch", low=1, high=10**6)
    learning_rate: float = setting(1e-4, "learning rate", low=1e-8, high=1.0)
    test_fraction: float = setting(0.2, "fraction of the spectra held out for testing", low=0.01, high=0.9)
    frozen_layers: int = setting(4, "layers of the encoder that are frozen, from the input", low=0, high=5)


@dataclass(frozen=True)
class RegressorConfig:
    """Architecture and learning rate of one regressor."""

    filters: tuple[int, int] = setting((64, 32), "filters of the two convolutions")
    units: tuple[int, int, int] = setting((256, 128, 64), "neurons of the three dense layers")
    learning_rate: float = setting(0.01, "learning rate", low=1e-8, high=1.0)


@dataclass(frozen=True)
class RegressionConfig:
    """The convolutional regressors, one per parameter (paper, section 3.3).

    The paper gives the architecture for Teff only. The others come from our own search (record ``searches``, see
    ``dtl search``), in which the first layers' shapes make less difference than the choice of folds.
    """

    n_models: int = setting(5, "regressors per autoencoder and parameter", low=1, high=1000)
    n_kept: int = setting(80, "regressors kept per parameter, by test error", low=1, high=10**6)
    epochs: int = setting(200, "epochs", low=1, high=10**5)
    batch_size: int = setting(32, "spectra per batch", low=2, high=10**6)
    test_fraction: float = setting(0.3, "fraction of the spectra held out for testing", low=0.01, high=0.9)
    schedule: str = setting(
        "constant", "learning rate over the training, as of the autoencoders", choices=("constant", "one-cycle")
    )
    teff: RegressorConfig = field(default_factory=RegressorConfig)
    logg: RegressorConfig = field(default_factory=lambda: RegressorConfig((64, 32), (256, 128, 128)))
    mh: RegressorConfig = field(default_factory=lambda: RegressorConfig((32, 32), (256, 128, 32)))
    vsini: RegressorConfig = field(default_factory=lambda: RegressorConfig((32, 32), (256, 128, 64)))


@dataclass(frozen=True)
class EstimateConfig:
    """Kernel density of the estimates of one star."""

    grid_size: int = setting(1024, "points of the density", low=64, high=10**6)
    bandwidth: str = setting("ISJ", "improved Sheather-Jones, or Silverman's rule", choices=("ISJ", "silverman"))


@dataclass(frozen=True)
class RecommendedConfig:
    """The recommended estimates of the catalogue, beside those of the paper: a method of notebook 07."""

    method: str = setting(
        "combined",
        "combined learns from all stars of a survey; randomised needs no other stars; paper is the paper's method",
        choices=("combined", "randomised", "paper"),
    )
    fewest: int = setting(
        30, "with fewer stars, too few to learn common lines from, the randomised network is used", low=10, high=10**6
    )
    epochs: int = setting(20, "epochs of a network", low=1, high=10**5)
    emulator_epochs: int = setting(100, "epochs of the emulator", low=1, high=10**5)
    batch_size: int = setting(64, "spectra per batch", low=1, high=10**6)
    learning_rate: float = setting(2e-3, "learning rate", low=1e-8, high=1.0)
    reference_stars: int = setting(
        290, "simulated stars of ten other surveys that calibrate stars without a survey", low=50, high=2860
    )


@dataclass(frozen=True)
class ModelsConfig:
    """Trained models for spectra of other users, one per resolving power; see :mod:`dtl_core.models.making`."""

    resolving_powers: tuple[float, ...] = setting((94_600.0, 80_000.0, 53_000.0, 42_000.0), "one model for each")
    members: int = setting(4, "networks of an ensemble", low=1, high=100)
    n_spectra: int = setting(6000, "synthetic spectra for training, from the configured library", low=200, high=10**6)
    epochs: int = setting(20, "epochs of a network", low=1, high=10**5)
    emulator_epochs: int = setting(100, "epochs of the emulator", low=1, high=10**5)
    noise: float = setting(
        0.04, "largest noise of a pixel in training; log-uniform from a tenth of it", low=0.0, high=1.0
    )
    reference_stars: int = setting(
        1200, "simulated stars of other surveys that calibrate errors and p-values", low=50, high=11_440
    )
    test_stars: int = setting(
        720, "simulated stars of yet other surveys that the model card is measured on", low=20, high=5720
    )
    lowest_snr: float = setting(
        20.0, "lowest S/N per detector pixel of the reference stars; log-uniform", low=1.0, high=1e4
    )
    highest_snr: float = setting(400.0, "highest S/N per detector pixel of the reference stars", low=1.0, high=1e4)


@dataclass(frozen=True)
class UmapConfig:
    """Two-dimensional maps of fluxes and latents, for figures only."""

    n_neighbors: int = setting(15, "neighbours of a point", low=2, high=1000)
    min_dist: float = setting(0.1, "smallest distance of points on the map")
    n_synthetic: int = setting(4000, "synthetic spectra on the map")


@dataclass(frozen=True)
class Config:
    """All that a run depends on apart from code and data."""

    profile: str = setting("paper", "name of the profile")
    seed: int = setting(0, "seed of all random numbers but the survey's", low=0, high=2**31)
    device: str = setting(
        "auto", "where networks are trained; the kind of device is part of the keys", choices=("auto", "cpu", "cuda")
    )
    precision: str = setting(
        "float32", "of matrix products; tf32 and bf16 are for GPUs", choices=("float32", "tf32", "bf16")
    )
    workers: int = setting(0, "worker processes; 0 is one per core; not part of any key", low=0, high=10**4)
    stack: int = setting(
        0,
        "autoencoders trained together; 0 is one on a CPU, as many as fit on a GPU; not part of any key",
        low=0,
        high=10**4,
    )
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
        """List all pairs (width, L1) of the grid, widths outermost."""
        return list(itertools.product(self.autoencoder.widths, self.autoencoder.l1))


class Setting(NamedTuple):
    """One setting of a configuration.

    Attributes
    ----------
    name : str
        With its groups, such as ``survey.noise``.
    kind : type
    value : object
    group : type
        The configuration class that it belongs to.
    about, unit, low, high, choices
        See :func:`setting`.
    """

    name: str
    kind: type
    value: Any
    group: type
    about: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]


@functools.cache  # a configuration is checked hundreds of times, for every simulated survey
def _kinds(group):
    """Types of the settings of a configuration class."""
    return get_type_hints(group)


def settings(config, prefix=""):
    """Iterate over all settings of a configuration, groups included.

    Parameters
    ----------
    config : Config
        Or one of its groups.
    prefix : str, optional
        Put before each name.

    Yields
    ------
    Setting
    """
    kinds = _kinds(type(config))
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            yield from settings(value, f"{prefix}{entry.name}.")
        else:
            yield Setting(prefix + entry.name, kinds[entry.name], value, type(config), **entry.metadata)


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
        "autoencoder.components": 128,
        "autoencoder.schedule": "one-cycle",
        "autoencoder.epochs": 12,
        "search.epochs": 1,
        "transfer.epochs": 40,
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


def load_profile(name, overrides=None):
    """Make the configuration of a profile, with single settings replaced.

    Parameters
    ----------
    name : {"smoke", "demo", "paper-fast", "paper"}
    overrides : dict, optional
        Setting name with its groups -> value; strings are converted to the type of the setting.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        The profile or a setting is unknown, or a value has the wrong type or is out of range.

    Examples
    --------
    >>> from dtl_core.config import load_profile
    >>> config = load_profile("demo", {"survey.noise": 0, "autoencoder.widths": "256,512"})
    >>> config.survey.noise, config.autoencoder.widths
    (0.0, (256, 512))
    """
    if name not in PROFILES:
        raise ConfigError(f"unknown profile {name!r}", field="profile", remedy=f"choose one of {', '.join(PROFILES)}")
    return override(Config(profile=name), {**PROFILES[name], **(overrides or {})})


def override(config, overrides):
    """Replace single settings of a configuration.

    Parameters
    ----------
    config : Config
    overrides : dict
        As of :func:`load_profile`.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        A setting is unknown, or a value has the wrong type or is out of range.
    """
    for key, value in overrides.items():
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
        new = _convert(_kinds(type(node))[path[0]], value, key)
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


def _check(config):
    for name, kind, value, _, _, _, low, high, choices in settings(config):
        if low is not None and not low <= value <= high:  # also refuses NaN
            raise ConfigError(f"{value!r} is out of range", field=name, remedy=f"give {low} to {high}")
        if choices and value not in choices:
            raise ConfigError(f"unknown value {value!r}", field=name, remedy=f"choose one of {', '.join(choices)}")
        items = getattr(kind, "__args__", (str,))  # of a tuple
        if Ellipsis in items and str not in items and (not value or min(value) < 0):
            problem = "needs at least one value, none negative"
            raise ConfigError(problem, field=name, remedy="give a comma-separated list")
        if Ellipsis not in items and str not in items and (len(value) != len(items) or min(value) < 1):
            problem = f"needs {len(items)} positive numbers"
            raise ConfigError(problem, field=name, remedy="give a comma-separated list")
    if any(width % 8 for width in config.autoencoder.widths):
        raise ConfigError("widths must be multiples of 8", field="autoencoder.widths", remedy="e.g. 384,512")
    window = config.window
    if not (8796.0 <= window.start < window.stop <= 8844.0):
        raise ConfigError(
            f"{window.start}-{window.stop} A is outside the embedded library",
            field="window.start",
            remedy="stay within 8796-8844 A (vacuum), start below stop",
        )
