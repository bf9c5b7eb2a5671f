"""Foreign effects: properties of real spectra that neither the models nor the survey's usual effects have.

They test methods, which were chosen on the benchmark survey, against errors that they were not prepared for. Each has a
strength in ``ForeignConfig``: 0, the default, is off, and 1 is the strength of :data:`STRENGTHS`, which follows what
real spectra show and was fixed before any method was measured with it.

Each effect has its own streams of random numbers, one for the survey (errors that all stars share) and one for each
star. So no effect changes the draws of another, and a smaller survey is a part of the whole.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..lines import LINES
from ..spectra import operators
from . import generation

__all__ = ["STRENGTHS", "Strength", "add_companions", "add_spots", "change_depth", "detector_effects"]


class Strength(NamedTuple):
    """A foreign effect at strength 1.

    Attributes
    ----------
    amounts : dict of str -> float or (float, float)
        Pairs are the ends of a uniform distribution, drawn for each star.
    sources : tuple of str
        Keys of the book's bibliography.
    basis : str
        What the sources say, and what is our choice.
    """

    amounts: dict
    sources: tuple[str, ...]
    basis: str


# The order of the effects is part of their seeds: add new ones at the end.
STRENGTHS = {
    "molecular_opacity": Strength(
        {"common": 0.15, "scatter": 0.05},  # dex of opacity, of all stars (either sign) and star by star
        ("wende2010", "veyette2016"),
        "Lines of FeH need factors on their Einstein A; [C/Fe] and [O/Fe] vary by 0.2 dex, and TiO with them. The "
        "scale is our choice within these.",
    ),
    "opacity": Strength(
        {"common": 0.10, "scatter": 0.03},  # dex of opacity
        ("passegger2022",),
        "Methods disagree by 0.1 to 0.3 dex in [M/H] for the same star: 0.1 dex in the opacity of all lines.",
    ),
    "nlte": Strength(
        {"slope": 0.10, "scatter": 0.03},  # dex of opacity per 500 K, and star by star
        ("hauschildt1997", "olander2021", "mallinson2024"),
        "Departures from LTE of Ti I reach 0.4 dex over a grid of late-type stars and are large in M dwarfs: +-0.14 "
        "dex between 2900 and 4300 K is our choice, of either sign for each species.",
    ),
    "zeeman": Strength(
        {"active": (2.0, 5.0), "inactive": (0.05, 1.15), "lande": 1.2},  # kG, kG and the mean effective Lande factor
        ("shulyak2019", "reiners2022", "cristofari2023", "kochukhov2021"),
        "Mean fields are some kG in active stars, and 0.05 to 1.15 kG in weakly and moderately active ones.",
    ),
    "lsf_wings": Strength(
        {"share": (0.05, 0.10), "half_width": 0.3},  # share of the light, and half width at half maximum in A
        ("schmidt2024",),
        "Profiles of echelle spectrographs are not Gaussian; 5 to 10 % of the light in a pedestal of six "
        "resolution elements is our choice.",
    ),
    "scattered_light": Strength(
        {"level": (0.01, 0.05)},  # of the continuum
        ("esolisca",),
        "Typical values of spectrographs are around a few per cent.",
    ),
    "wavelength_scale": Strength(
        {"common": 300.0, "scatter": 150.0, "period": (40.0, 100.0)},  # m/s, m/s and A
        ("whitmore2010",),
        "Distortions within an order of 100 to more than 200 m/s in UVES, which are smaller than those of HIRES: "
        "300 m/s is our choice.",
    ),
    "spots": Strength(
        {"active": (0.2, 0.5), "inactive": (0.0, 0.05), "ratio": (0.75, 0.93)},  # filling factors, Teff over Teff
        ("berdyugina2005", "jackson2013", "barnes2015"),
        "Very active M dwarfs: filling factors of 0.4 +- 0.1 and spots of 0.7 +- 0.05 times the photosphere's Teff; "
        "mid and late ones: a few per cent and 200 to 300 K. The contrast grows with Teff.",
    ),
    "companion": Strength(
        # share of the stars, ratio of fluxes, km/s, K, km/s and dex
        {"share": 0.4, "ratio": (0.02, 0.15), "apart": (5.0, 60.0), "teff": (2900.0, 3300.0), "vsini": (2.0, 10.0),
         "logg": 5.0},
        ("baroch2018", "cifuentes2025"),
        "Four in ten M dwarfs are in multiple systems, and one in 38 has double lines: the share is an upper limit, "
        "for companions within the aperture that are too faint to be noticed.",
    ),
    "telluric_residuals": Strength(
        {"lines": 24, "residual": 0.02},  # rms at the centre of the strongest lines, of the continuum
        ("smette2015",),
        "Residuals of corrected lines are often below 2 % of the continuum.",
    ),
    "other_continuum": Strength(
        {"bend": 0.03, "cubic": 0.03, "fringes": (0.005, 0.015), "period": (4.3, 11.8)},  # rms, rms, amplitude and A
        ("esofringes",),
        "Fringes are 10 % and more in the flat fields of a thinned detector at 8600 A; a tenth of them is left over. "
        "Periods are those of 90-250 microns of silicon. Curvature of three times the survey's is our choice.",
    ),
}  # fmt: skip

LINE_WIDTH = 0.4  # A, standard deviation of the window around a strong line
LANDE_SHIFT = 4.67e-13  # A per A^2 and G: the displacement of a sigma component is 4.67e-13 g lambda^2 B
SECOND_RADIATION = 1.438777e8  # A K, of Planck's law
METRES = 1e-3  # km
DEX = np.log(10)


def _rng(name, settings, star=0):
    """Random numbers of an effect: of one star, or those that all stars share (star 0)."""
    # a last zero would not change the seed
    return np.random.default_rng([settings.seed, 61, 1 + list(STRENGTHS).index(name), 1 + star])


def _star_by_star(name, truth, settings, draw):
    """``draw(rng)`` of each star: (n_stars, ...) array."""
    return np.array([draw(_rng(name, settings, int(karmn[1:]))) for karmn in truth["karmn"]])


def _near(wavelength, lines):
    """Closeness to the nearest of some lines: (n_pixels,) from 0 to 1."""
    centres = np.array([line.wavelength for line in lines])[:, None]
    return np.exp(-0.5 * ((wavelength - centres) / LINE_WIDTH) ** 2).max(0)


def _convolve(spectra, step, transfer):
    """Convolve (n, n_pixels) spectra by symmetric profiles, mirrored at both ends so that their sum is conserved.

    ``transfer`` maps frequencies [1/A] to the Fourier transforms of the profiles.
    """
    n = spectra.shape[1]
    mirrored = np.concatenate([spectra, spectra[:, ::-1]], axis=1)
    return np.fft.irfft(np.fft.rfft(mirrored) * transfer(np.fft.rfftfreq(2 * n, step)), 2 * n)[:, :n]


# ---------------------------------------------------------------- optical depth


def _molecular_opacity(depth, wavelength, truth, settings):
    """All lines but the strong atomic ones. The libraries do not keep molecules apart, so that weak atomic lines, and
    the strong ones outside 8800-8835 A, are scaled too."""
    atoms = _near(wavelength, [line for line in LINES if line.species != "FeH"])
    return _scaled("molecular_opacity", depth, 1 - atoms, truth, settings)


def _opacity(depth, wavelength, truth, settings):
    return _scaled("opacity", depth, 1.0, truth, settings)


def _scaled(name, depth, share, truth, settings):
    """An error of the opacity that all stars have, of random sign, and its scatter from star to star."""
    amounts = STRENGTHS[name].amounts
    sign = _rng(name, settings).choice([-1, 1])
    normal = _star_by_star(name, truth, settings, lambda rng: rng.standard_normal())
    dex = sign * amounts["common"] + amounts["scatter"] * normal
    return depth * np.exp(getattr(settings.foreign, name) * DEX * dex[:, None] * share)


def _nlte(depth, wavelength, truth, settings):
    """Strengths of atomic lines that change with Teff, with a random sign for each species."""
    amounts = STRENGTHS["nlte"].amounts
    species = sorted({line.species for line in LINES} - {"FeH"})
    signs = _rng("nlte", settings).choice([-1, 1], len(species))
    normal = _star_by_star("nlte", truth, settings, lambda rng: rng.standard_normal(len(species)))
    steps = (truth["teff"].to_numpy() - 3600) / 500
    dex = np.zeros_like(depth)
    for k, name in enumerate(species):
        own = signs[k] * amounts["slope"] * steps + amounts["scatter"] * normal[:, k]
        dex += own[:, None] * _near(wavelength, [line for line in LINES if line.species == name])
    return depth * np.exp(settings.foreign.nlte * DEX * dex)


def _zeeman(depth, wavelength, truth, settings):
    """Strong lines, broadened by a Gaussian as wide as the Zeeman pattern of a field in random directions.

    The variance is proportional to the strength. The area below the optical depth does not change.
    """
    amounts = STRENGTHS["zeeman"].amounts
    lot = _star_by_star("zeeman", truth, settings, lambda rng: rng.random())
    low, high = np.where(truth["active"].to_numpy()[:, None], amounts["active"], amounts["inactive"]).T
    field = 1e3 * (low + (high - low) * lot)  # G
    shift = LANDE_SHIFT * amounts["lande"] * wavelength.mean() ** 2 * field
    variance = settings.foreign.zeeman * 2 / 3 * shift**2  # a third of the light in each of three components
    strong = depth * _near(wavelength, LINES)
    step = wavelength[1] - wavelength[0]
    broad = _convolve(strong, step, lambda f: np.exp(-2 * np.pi**2 * f**2 * variance[:, None]))
    return depth + broad - strong


def change_depth(depth, wavelength, truth, settings):
    """Apply the effects on the opacity of a star's lines.

    Parameters
    ----------
    depth : (n_stars, n_pixels) array
        Optical depth, not broadened.
    wavelength : (n_pixels,) array, vacuum A
    truth : DataFrame
        Columns karmn (which seeds a star's draws), teff and active.
    settings : SurveyConfig

    Returns
    -------
    (n_stars, n_pixels) array
        ``depth`` itself if all effects are off.
    """
    effects = {"molecular_opacity": _molecular_opacity, "opacity": _opacity, "nlte": _nlte, "zeeman": _zeeman}
    for name, apply in effects.items():
        if getattr(settings.foreign, name):
            depth = apply(depth, wavelength, truth, settings)
    return depth


# ---------------------------------------------------------------- light of two temperatures


def _terms(label):
    """Terms of a polynomial in Teff, [M/H] and log g: (n, 10) array."""
    t, g, m = ((np.asarray(label, float) - (3500, 4.8, 0)) / (500, 0.2, 0.4)).T
    return np.stack([t**i * m**j for i in range(4) for j in range(3) if i + j <= 3] + [g], axis=1)


@functools.lru_cache(maxsize=4)
def _coefficients(library):
    """Coefficients (10, n_pixels) of the polynomial that :func:`_cooler` fits to a library."""
    return np.linalg.lstsq(_terms(library.label), library.log_flux, rcond=None)[0]


def _cooler(flux, label, cool, library):
    """Change the spectra of stars to those of cooler stars with the same peculiarities.

    A polynomial in the labels is fitted to ln(flux) of the library's stars, pixel by pixel. Its difference between
    both labels is added to ln(flux). Teff is held within the library.

    Parameters
    ----------
    flux : (n_stars, n_pixels) array
        On the library's wavelengths.
    label, cool : (n_stars, 3) arrays
        Teff [K], log g and [M/H] of the stars and of the cooler ones.
    library : Library

    Returns
    -------
    (n_stars, n_pixels) array
    """
    coefficients = _coefficients(library)
    lowest = library.label[:, 0].min()
    at, cool = np.array(label, float), np.array(cool, float)
    for labels in (at, cool):
        labels[:, 0] = np.maximum(labels[:, 0], lowest)
    return flux * np.exp((_terms(cool) - _terms(at)) @ coefficients)


def add_spots(flux, library, truth, config):
    """Mix in the light of spots, with the brightness of black bodies and the spectrum of a cooler star.

    Parameters
    ----------
    flux : (n_stars, n_pixels) array
        On the library's wavelengths, not broadened, of mean 1.
    library : Library
        Of the survey, with stars of many labels.
    truth : DataFrame
        Columns karmn, teff, logg, mh and active.
    config : Config

    Returns
    -------
    (n_stars, n_pixels) array
        ``flux`` itself if the effect is off.
    """
    settings, amounts = config.survey, STRENGTHS["spots"].amounts
    if not settings.foreign.spots:
        return flux
    lot, ratio = _star_by_star("spots", truth, settings, lambda rng: (rng.random(), rng.uniform(*amounts["ratio"]))).T
    low, high = np.where(truth["active"].to_numpy()[:, None], amounts["active"], amounts["inactive"]).T
    filling = np.clip(settings.foreign.spots * (low + (high - low) * lot), 0, 1)
    label = truth[["teff", "logg", "mh"]].to_numpy(float)
    cool = label * np.column_stack([ratio, np.ones((len(ratio), 2))])
    exponent = SECOND_RADIATION / library.wavelength.mean()
    brightness = np.expm1(exponent / label[:, 0]) / np.expm1(exponent / cool[:, 0])
    share = (filling * brightness / (1 - filling + filling * brightness))[:, None]
    return (1 - share) * flux + share * _cooler(flux, label, cool, library)


def add_companions(light, flux, library, truth, config):
    """Add the light of a faint, cooler star to some stars.

    Parameters
    ----------
    light : (n_stars, n_pixels) array
        Broadened spectra of the stars on ``window_grid(config.window)``.
    flux : (n_stars, n_library_pixels) array
        The same before broadening, on the library's wavelengths, of mean 1.
    library : Library
        Of the survey, with stars of many labels.
    truth : DataFrame
        Columns karmn, teff, mh, logg and velocity.
    config : Config

    Returns
    -------
    (n_stars, n_pixels) array
        ``light`` itself if the effect is off.
    """
    settings, amounts = config.survey, STRENGTHS["companion"].amounts
    if not settings.foreign.companion:
        return light
    drawn = ("ratio", "apart", "teff", "vsini")
    there, sign, ratio, apart, teff, vsini = _star_by_star(
        "companion",
        truth,
        settings,
        lambda rng: (rng.random(), rng.choice([-1, 1]), *(rng.uniform(*amounts[name]) for name in drawn)),
    ).T
    ratio = (settings.foreign.companion * ratio * (there < amounts["share"]))[:, None]
    label = truth[["teff", "logg", "mh"]].to_numpy(float)
    cool = np.column_stack([np.minimum(teff, label[:, 0]), np.full(len(truth), amounts["logg"]), label[:, 2]])
    second = generation.model_spectra(
        library.wavelength,
        _cooler(flux, label, cool, library),
        vsini,
        config.window,
        limb_darkening=config.synthetic.limb_darkening,
    )
    grid = operators.window_grid(config.window)
    for k, velocity in enumerate(truth["velocity"] + sign * apart):
        second[k] = operators.resample(grid, second[k], operators.doppler_shift(grid, -velocity), "spline")
    return (light + ratio * second) / (1 + ratio)


# ---------------------------------------------------------------- atmosphere and spectrograph


def _lsf_wings(flux, wavelength, truth, config):
    """A Lorentzian pedestal of the line-spread function; the flux is conserved."""
    settings, amounts = config.survey, STRENGTHS["lsf_wings"].amounts
    share = _star_by_star("lsf_wings", truth, settings, lambda rng: rng.uniform(*amounts["share"]))
    wings = _convolve(
        flux, wavelength[1] - wavelength[0], lambda f: np.exp(-2 * np.pi * amounts["half_width"] * f)[None]
    )
    return flux + settings.foreign.lsf_wings * share[:, None] * (wings - flux)


def _telluric_residuals(flux, wavelength, truth, config):
    """Water lines that were corrected too much or too little, or at a slightly wrong wavelength."""
    settings, amounts = config.survey, STRENGTHS["telluric_residuals"].amounts
    rng = _rng("telluric_residuals", settings)
    lines, weights = rng.uniform(8780, 8855, amounts["lines"]), rng.uniform(0.5, 1, amounts["lines"])
    scale = amounts["residual"] / np.sqrt(2)  # half of the variance is common to all lines of a star
    wrong = _star_by_star(
        "telluric_residuals", truth, settings, lambda rng: rng.normal(0, scale, (3, amounts["lines"]))
    )
    depths, shifts = weights * (wrong[:, 0, :1] + wrong[:, 1]), weights * wrong[:, 2]
    sigma = wavelength.mean() / config.window.resolving_power / operators.FWHM * 1.2
    change = np.empty_like(flux)
    for k, velocity in enumerate(truth["telluric_velocity"]):
        x = (wavelength - operators.doppler_shift(lines, velocity)[:, None]) / sigma
        bell = np.exp(-0.5 * x**2)
        change[k] = depths[k] @ bell + shifts[k] @ (x * bell)
    return flux * (1 + settings.foreign.telluric_residuals * change)


def _wavelength_scale(flux, wavelength, truth, config):
    """Wavelengths with a smooth error: one pattern in all stars, and one of each star's own."""
    settings, amounts = config.survey, STRENGTHS["wavelength_scale"].amounts
    name, turn = "wavelength_scale", 2 * np.pi * (wavelength - wavelength.mean())

    def wave(rng):
        return np.sin(turn / rng.uniform(*amounts["period"]) + rng.uniform(0, 2 * np.pi))

    common = amounts["common"] * wave(_rng(name, settings))
    own = _star_by_star(name, truth, settings, lambda rng: amounts["scatter"] * rng.standard_normal() * wave(rng))
    velocity = settings.foreign.wavelength_scale * METRES * (common + own)
    return np.stack(
        [
            operators.resample(wavelength, spectrum, operators.doppler_shift(wavelength, -error), "spline")
            for spectrum, error in zip(flux, velocity, strict=True)
        ]
    )


def _other_continuum(flux, wavelength, truth, config):
    """Curvature, and fringes of the detector that are too narrow for the fit of the continuum to follow."""
    settings, amounts = config.survey, STRENGTHS["other_continuum"].amounts
    x = np.linspace(-1, 1, len(wavelength))

    def pattern(rng):
        bend, cubic = rng.normal(0, (amounts["bend"], amounts["cubic"]))
        turn = wavelength / rng.uniform(*amounts["period"]) + rng.random()
        fringes = rng.uniform(*amounts["fringes"]) * np.sin(2 * np.pi * turn)
        return bend * (x**2 - 1 / 3) + cubic * (x**3 - 0.6 * x) + fringes

    return flux * (1 + settings.foreign.other_continuum * _star_by_star("other_continuum", truth, settings, pattern))


def _scattered_light(flux, wavelength, truth, config):
    """A constant that was not subtracted, as a share of the continuum."""
    settings, amounts = config.survey, STRENGTHS["scattered_light"].amounts
    level = _star_by_star("scattered_light", truth, settings, lambda rng: rng.uniform(*amounts["level"]))
    continuum = np.percentile(flux, 95, axis=1, keepdims=True)
    return flux + settings.foreign.scattered_light * level[:, None] * continuum


def detector_effects(flux, truth, config):
    """Apply the effects of atmosphere, spectrograph and reduction.

    Parameters
    ----------
    flux : (n_stars, n_pixels) array
        On ``window_grid(config.window)``, not normalised, without noise.
    truth : DataFrame
        Columns karmn (which seeds a star's draws) and telluric_velocity [km/s].
    config : Config

    Returns
    -------
    (n_stars, n_pixels) array
        ``flux`` itself if all effects are off.
    """
    effects = {
        "telluric_residuals": _telluric_residuals,
        "lsf_wings": _lsf_wings,
        "wavelength_scale": _wavelength_scale,
        "other_continuum": _other_continuum,
        "scattered_light": _scattered_light,
    }
    for name, apply in effects.items():
        if getattr(config.survey.foreign, name):
            flux = apply(flux, operators.window_grid(config.window), truth, config)
    return flux
