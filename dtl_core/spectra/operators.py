"""Array operators on spectra: air and vacuum, Doppler shift, broadening, continuum, resampling.

Fluxes are (..., n_pixels) arrays, wavelengths (n_pixels,) arrays in Angstrom, velocities in km/s. No function here
reads a file or depends on where a spectrum comes from: synthetic and observed spectra pass through the same code.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import fft, sparse, special
from scipy.interpolate import CubicSpline, splev, splrep
from scipy.ndimage import gaussian_filter1d

from ..errors import DataError

__all__ = [
    "C_KMS",
    "Correlator",
    "STEP",
    "air_to_vacuum",
    "binned",
    "broaden",
    "broadening_transfer",
    "check_spectrum",
    "combine",
    "continuum",
    "continuum_points",
    "cross_correlate",
    "doppler_shift",
    "lagrange_weights",
    "log_grid",
    "mirrored_pixels",
    "normalise",
    "resample",
    "resample_operator",
    "vacuum_to_air",
    "window_grid",
]


C_KMS = 299_792.458
FWHM = 2 * np.sqrt(2 * np.log(2))


def _refractive_index(vacuum):
    """Refractive index of standard dry air, after Ciddor (1996, Applied Optics 35, 1566), as in specutils."""
    s2 = (1e4 / vacuum) ** 2
    return 1 + 0.05792105 / (238.0185 - s2) + 0.00167917 / (57.362 - s2)


def vacuum_to_air(wavelength):
    """Convert wavelengths in vacuum to standard air.

    Parameters
    ----------
    wavelength : (...,) array, A

    Returns
    -------
    (...,) array, A

    References
    ----------
    Ciddor (1996, Applied Optics 35, 1566). Tested against specutils.
    """
    wavelength = np.asarray(wavelength, float)
    return wavelength / _refractive_index(wavelength)


def air_to_vacuum(wavelength):
    """Convert wavelengths in standard air to vacuum: the inverse of :func:`vacuum_to_air`, by iteration.

    Parameters
    ----------
    wavelength : (...,) array, A

    Returns
    -------
    (...,) array, A

    Examples
    --------
    >>> from dtl_core.spectra.operators import air_to_vacuum
    >>> air_to_vacuum([8806.757]).round(3)  # Mg I
    array([8809.175])
    """
    wavelength = np.asarray(wavelength, float)
    vacuum = wavelength
    for _ in range(4):  # each pass gains five digits
        vacuum = wavelength * _refractive_index(vacuum)
    return vacuum


def doppler_shift(wavelength, velocity):
    r"""Shift wavelengths to those received from a source that recedes.

    .. math:: \lambda' = \lambda \sqrt{(1 + \beta) / (1 - \beta)}, \quad \beta = v / c

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
    velocity : float or broadcastable array, km/s
        Positive away from us.

    Returns
    -------
    (n_pixels,) array, A

    Examples
    --------
    >>> from dtl_core.spectra.operators import doppler_shift
    >>> doppler_shift([8800.0, 8835.0], 30.0).round(3)
    array([8800.881, 8835.884])
    """
    beta = np.asarray(velocity, float) / C_KMS
    return np.asarray(wavelength, float) * np.sqrt((1 + beta) / (1 - beta))


def window_grid(window, *, margin=True):
    """The common linear wavelength grid.

    Parameters
    ----------
    window : WindowConfig
    margin : bool
        Whether to include the margin on either side.

    Returns
    -------
    (n_pixels,) array, vacuum A

    Examples
    --------
    >>> from dtl_core.config import WindowConfig
    >>> from dtl_core.spectra.operators import window_grid
    >>> window_grid(WindowConfig(), margin=False).shape
    (3501,)
    """
    extra = round(window.margin / window.step) if margin else 0
    n = round((window.stop - window.start) / window.step)
    return window.start + window.step * np.arange(-extra, n + extra + 1)


def log_grid(start, stop, velocity_step):
    """Wavelengths uniform in ln(lambda).

    Parameters
    ----------
    start, stop : float, A
        The last pixel is at ``stop`` or less than a pixel below.
    velocity_step : float, km/s
        Width of a pixel.

    Returns
    -------
    (n_pixels,) array, A
    """
    step = velocity_step / C_KMS
    return start * np.exp(step * np.arange(int(np.log(stop / start) / step) + 1))


def broadening_transfer(n_pixels, velocity_step, resolving_power, vsini, limb_darkening=0.6):
    r"""Fourier transform of the instrumental profile times the rotation profile, exact at any width.

    The instrument is a Gaussian of FWHM c/R. Rotation follows Gray (2005, eq. 18.14) with linear limb darkening e:

    .. math:: G(x) = \frac{2 (1 - e) \sqrt{1 - x^2} / \pi + e (1 - x^2) / 2}{1 - e/3}, \quad x = v / v \sin i

    whose transform, with :math:`s = 2 \pi f v \sin i`, is

    .. math:: \frac{2 (1 - e) J_1(s) / s + 2 e (\sin s - s \cos s) / s^3}{1 - e/3}.

    Parameters
    ----------
    n_pixels : int
        Length of the spectra.
    velocity_step : float, km/s
        Width of their pixels.
    resolving_power : float
        0 leaves the instrument out.
    vsini : (n_velocities,) array, km/s
    limb_darkening : float
        From 0 to 1.

    Returns
    -------
    (n_velocities, n_pixels // 2 + 1) array
        Real, 1 at frequency zero.
    """
    frequency = np.fft.rfftfreq(n_pixels, velocity_step)
    s = 2 * np.pi * frequency * np.atleast_1d(np.asarray(vsini, float))[:, None]
    safe = np.where(s < 1e-2, 1.0, s)  # below, both terms are within 2e-5 of their limits: expand
    disc = np.where(s < 1e-2, 0.5 - s**2 / 16, special.j1(safe) / safe)
    limb = np.where(s < 1e-2, 1 / 3 - s**2 / 30, (np.sin(safe) - safe * np.cos(safe)) / safe**3)
    e = limb_darkening
    transfer = (2 * (1 - e) * disc + 2 * e * limb) / (1 - e / 3)
    if resolving_power:
        sigma = C_KMS / resolving_power / FWHM
        transfer = transfer * np.exp(-2 * (np.pi * frequency * sigma) ** 2)
    return transfer


def broaden(flux, velocity_step, resolving_power, vsini, limb_darkening=0.6):
    """Broaden spectra on a logarithmic grid by instrument and rotation.

    Parameters
    ----------
    flux : (n_spectra, n_pixels) array
        The result is wrong near both ends, over v sin i plus three instrumental widths.
    velocity_step : float, km/s
        Width of a pixel.
    resolving_power : float
        0 leaves the instrument out.
    vsini : (n_spectra,) array or float, km/s
    limb_darkening : float
        From 0 to 1.

    Returns
    -------
    (n_spectra, n_pixels) array

    Notes
    -----
    Tested against PyAstronomy's ``rotBroad`` and ``instrBroadGaussFast``.

    Examples
    --------
    >>> import numpy as np
    >>> from dtl_core.spectra.operators import broaden, log_grid
    >>> flux = np.ones(len(log_grid(8800.0, 8835.0, 0.3)))
    >>> flux[2000] = 0.0  # a narrow line
    >>> float(broaden(flux, 0.3, 94_600, 10.0).min().round(3))
    0.979
    """
    flux = np.atleast_2d(flux)
    n = flux.shape[-1]
    values, which = np.unique(np.broadcast_to(np.asarray(vsini, float), flux.shape[:1]), return_inverse=True)
    transfer = broadening_transfer(2 * n, velocity_step, resolving_power, values, limb_darkening)
    mirrored = np.concatenate([flux, flux[:, ::-1]], axis=1)  # no step where the periodic transform wraps around
    return np.fft.irfft(np.fft.rfft(mirrored) * transfer[which], 2 * n)[:, :n]


def mirrored_pixels(n_pixels, reach):
    """Pixel numbers that extend a spectrum by its mirror image at both ends, for convolutions by FFT.

    Nothing wraps around if the convolution's profile is narrower than ``reach``.

    Parameters
    ----------
    n_pixels : int
    reach : int
        Pixels added before the first; at least as many are added after the last.

    Returns
    -------
    (length,) array of int
        The first pixel of the spectrum is at ``reach``; an FFT of this length is fast.
    """
    length = fft.next_fast_len(n_pixels + 2 * reach, real=True)
    return np.pad(np.arange(n_pixels), (reach, length - n_pixels - reach), "symmetric")


def lagrange_weights(nodes, x):
    """Weights of the polynomial through all nodes: ``values @ weights[k]`` interpolates to ``x[k]``.

    Parameters
    ----------
    nodes : (n_nodes,) or (n, n_nodes) array
        The same nodes for all points, or those of each.
    x : (n,) array

    Returns
    -------
    (n, n_nodes) array
    """
    count = nodes.shape[-1]
    weights = np.ones((len(x), count))
    for i in range(count):
        for j in range(count):
            if i != j:
                weights[:, i] *= (x - nodes[..., j]) / (nodes[..., i] - nodes[..., j])
    return weights


@functools.lru_cache(maxsize=32)
def _lagrange_operator(key):
    source, target = (np.frombuffer(part) for part in key)
    order = 4
    first = np.clip(np.searchsorted(source, target) - order // 2, 0, len(source) - order)
    index = first[:, None] + np.arange(order)
    weight = lagrange_weights(source[index], target)
    rows = np.repeat(np.arange(len(target)), order)
    return sparse.csr_matrix((weight.ravel(), (rows, index.ravel())), (len(target), len(source)))


def resample_operator(source, target):
    """Sparse matrix that interpolates spectra between two wavelength grids, by four-point Lagrange polynomials.

    ``(operator @ flux.T).T`` resamples many spectra. The error is at most 9/128 (step / sigma)^4 of the depth of a
    Gaussian line: 5e-4 at 8 pixels per FWHM. In the chain of this package, at R = 94,600, it is below 3e-5 of the
    continuum.

    Parameters
    ----------
    source : (n,) array, A
    target : (m,) array, A

    Returns
    -------
    (m, n) scipy.sparse.csr_matrix

    Raises
    ------
    DataError
        ``target`` reaches beyond ``source``.
    """
    source, target = np.ascontiguousarray(source, float), np.ascontiguousarray(target, float)
    if target[0] < source[0] or target[-1] > source[-1]:
        raise DataError(
            f"spectrum covers {source[0]:.2f}-{source[-1]:.2f} A but {target[0]:.2f}-{target[-1]:.2f} A is needed",
            field="wavelength",
            remedy="give a longer wavelength range",
        )
    return _lagrange_operator((source.tobytes(), target.tobytes()))


def resample(wavelength, flux, grid, method="linear"):
    """Resample flux density to other wavelengths, holding the first and last value beyond the ends.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
        Sorted.
    flux : (n_pixels,) array
        For ``spline`` also (..., n_pixels).
    grid : (m,) array, A
        Sorted.
    method : {"linear", "spline", "flux"}
        ``linear`` interpolates between pixels as in the paper; ``spline`` is cubic; ``flux`` conserves the flux: a
        spline through the cumulative flux at the pixel edges is differenced between the edges of the new pixels.

    Returns
    -------
    (m,) array
        In the unit of ``flux``.

    Notes
    -----
    Tested against specutils: ``LinearInterpolatedResampler``, ``SplineInterpolatedResampler`` and, where the grid is
    coarser than the spectrum, ``FluxConservingResampler``.
    """
    if method == "linear":
        return np.interp(grid, wavelength, flux)
    if method == "spline":
        return CubicSpline(wavelength, flux, axis=-1)(np.clip(grid, wavelength[0], wavelength[-1]))
    edges, new_edges = pixel_edges(wavelength), pixel_edges(grid)
    total = np.concatenate([[0.0], np.cumsum(flux * np.diff(edges))])
    inner = np.clip(new_edges, edges[0], edges[-1])
    outer = (new_edges - inner) * np.where(new_edges < inner, flux[0], flux[-1])
    return np.diff(CubicSpline(edges, total)(inner) + outer) / np.diff(new_edges)


def pixel_edges(wavelength):
    """Edges halfway between pixel centres; the outer ones are symmetric about theirs.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A

    Returns
    -------
    (n_pixels + 1,) array, A
    """
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    return np.concatenate([[2 * wavelength[0] - middle[0]], middle, [2 * wavelength[-1] - middle[-1]]])


def combine(grid, wavelengths, fluxes, uncertainties):
    r"""Inverse-variance mean of segments of one spectrum (orders, exposures) on one wavelength grid.

    .. math:: f = \frac{\sum f_i / \sigma_i^2}{\sum 1 / \sigma_i^2}, \quad
              \sigma = \left(\sum 1 / \sigma_i^2\right)^{-1/2}

    Each segment is interpolated linearly; it contributes to a pixel of the grid only if both neighbouring pixels are
    good.

    Parameters
    ----------
    grid : (n,) array, A
        Sorted.
    wavelengths, fluxes, uncertainties : sequences of (n_i,) arrays
        In A and one unit of flux. A pixel is bad if its flux is not finite or its uncertainty is not a positive number.

    Returns
    -------
    flux, uncertainty : (n,) array
        NaN where no segment is good.
    n_used : (n,) array of int
        Number of segments that contribute.
    """
    total, weight, n_used = np.zeros(len(grid)), np.zeros(len(grid)), np.zeros(len(grid), int)
    for wavelength, flux, uncertainty in zip(wavelengths, fluxes, uncertainties, strict=True):
        good = np.isfinite(flux) & np.isfinite(uncertainty) & (uncertainty > 0) & np.isfinite(wavelength)
        right = np.clip(np.searchsorted(wavelength, grid), 1, len(wavelength) - 1)
        left = right - 1
        t = (grid - wavelength[left]) / (wavelength[right] - wavelength[left])
        use = (t >= 0) & (t <= 1) & (good[left] | (t == 1)) & (good[right] | (t == 0))
        t, left, right = t[use], left[use], right[use]

        def between(values, t=t, left=left, right=right):
            return np.where(t == 1, 0.0, (1 - t) * values[left]) + np.where(t == 0, 0.0, t * values[right])

        w = 1 / between(np.asarray(uncertainty, float) ** 2)
        total[use] += w * between(np.asarray(flux, float))
        weight[use] += w
        n_used[use] += 1
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / weight, np.where(weight > 0, weight**-0.5, np.nan), n_used


def continuum(wavelength, flux, config, *, points=None):
    """Continuum of spectra as GISIC defines it.

    Smooth with a Gaussian. Between sign changes of the second derivative, keep the most negative point of each
    convex-up segment. Around each point (``width``) take a level from the fluxes between the percentiles ``flux_min``
    and 98, closer to the 98th the more the segment varies. Add both ends and fit a smoothing spline to the points.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
        Uniform. The settings have the same meaning as in the paper at 0.01 A per pixel.
    flux : (n_spectra, n_pixels) or (n_pixels,) array
    config : ContinuumConfig
    points : list, optional
        Result of :func:`continuum_points`, if already computed.

    Returns
    -------
    array of the same shape as ``flux``

    References
    ----------
    GISIC 2.0.5 (Whitten), as used by Mas-Buitrago et al. (2024), section 2.
    """
    wavelength, flux = np.asarray(wavelength, float), np.asarray(flux, float)
    stack = np.atleast_2d(flux)
    out = np.empty_like(stack)
    for row, (x, y) in enumerate(points or continuum_points(wavelength, stack, config)):
        level = np.median(stack[row])  # the spline's smoothing condition counts in units of the flux
        out[row] = level * _spline(x, y / level, wavelength, config)
    return out.reshape(flux.shape)


def continuum_points(wavelength, flux, config):
    """Points through which :func:`continuum` passes its spline, both ends included.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
    flux : (n_spectra, n_pixels) array
    config : ContinuumConfig

    Returns
    -------
    list of n_spectra pairs of (n_points,) arrays
        Wavelengths, A, and levels in the unit of ``flux``.
    """
    sigma = config.sigma * 0.01 / (wavelength[1] - wavelength[0])
    smooth = gaussian_filter1d(flux, sigma, axis=1)
    curvature = np.gradient(np.gradient(smooth, axis=1), axis=1)
    points = []
    for start in range(0, len(flux), 64):  # more would not stay in the cache
        block = slice(start, start + 64)
        bounds = [_segments(wavelength, row, config) for row in curvature[block]]
        levels = _levels(flux[block], bounds, config.flux_min)
        for (lows, highs), level in zip(bounds, levels, strict=True):
            middles = 0.5 * (wavelength[lows[1:-1]] + wavelength[highs[1:-1] - 1])
            points.append((np.concatenate([wavelength[:1], middles, wavelength[-1:]]), level))
    return points


def _segments(wavelength, curvature, config):
    """First pixels, and those after the last, of the segments whose fluxes set the level; the ends are segments too."""
    crossing = np.flatnonzero(curvature[:-1] * curvature[1:] < 0) + 1
    centres = []
    if len(crossing) > 1:
        share = np.add.reduceat((curvature < 0).astype(float), crossing)[:-1] / np.diff(crossing)
        for k in np.flatnonzero(share > 0.8):
            lo, hi = crossing[k : k + 2]
            centres.append(lo + int(np.argmin(curvature[lo:hi])))
    middle, half, edge, n = wavelength[np.array(centres, int)], config.width / 2, int(config.width), len(wavelength)
    lows = np.concatenate([[0], np.searchsorted(wavelength, middle - half), [n - edge]])
    return lows, np.concatenate([[edge], np.searchsorted(wavelength, middle + half, side="right"), [n]])


def _levels(flux, bounds, flux_min):
    """Levels of all segments of spectra (n_spectra, n_pixels): one array per spectrum."""
    row = np.repeat(np.arange(len(bounds)), [len(lows) for lows, _ in bounds])
    lows, highs = (np.concatenate(side) for side in zip(*bounds, strict=True))
    deviation, middle, top = statistics = np.empty((3, len(row)))
    lengths = highs - lows
    for length in np.unique(lengths):  # segments of one length together
        own = np.flatnonzero(lengths == length)
        # with nine pixels per resolution element every third of a long segment is enough
        pixels = lows[own, None] + np.arange(0, length, 3 if length > 400 else 1)
        statistics[:, own] = _segment_statistics(flux[row[own, None], pixels], flux_min)
    levels = []
    for own in np.split(np.arange(len(row)), np.flatnonzero(np.diff(row)) + 1):
        spread = np.ptp(deviation[own])
        relative = (deviation[own] - deviation[own].min()) / spread if spread > 0 else np.zeros(len(own))
        levels.append(middle[own] + (top[own] - middle[own]) * relative)
    return levels


def _segment_statistics(flux, flux_min):
    """Relative median absolute deviation, median of the upper fluxes and 98th percentile of segments (n, length)."""
    ordered = np.sort(flux, axis=1)
    last = ordered.shape[1] - 1
    median = ordered[:, last // 2]
    deviation = np.sort(np.abs(ordered - median[:, None]), axis=1)[:, last // 2] / median
    lo, hi = int(np.ceil(flux_min / 100 * last)), int(0.98 * last)
    return deviation, ordered[:, (lo + hi) // 2], ordered[:, hi]


def _spline(x, y, wavelength, config):
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    degree = min(config.degree, len(x) - 1)
    centre, scale = wavelength.mean(), np.ptp(wavelength) / 2
    design = np.polynomial.legendre.legvander((x - centre) / scale, degree)
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    if np.sum((design @ coefficients - y) ** 2) <= config.smoothing:
        # FITPACK starts from this polynomial and returns it if it is smooth enough
        return np.polynomial.legendre.legval((wavelength - centre) / scale, coefficients)
    keep = np.r_[True, np.diff(x) > 0]
    return splev(wavelength, splrep(x[keep], y[keep], k=min(degree, keep.sum() - 1), s=config.smoothing))


def normalise(wavelength, flux, config):
    """Divide flux by its :func:`continuum`.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
    flux : (n_spectra, n_pixels) or (n_pixels,) array
    config : ContinuumConfig

    Returns
    -------
    array of the same shape as ``flux``
    """
    return np.asarray(flux, float) / continuum(wavelength, flux, config)


class Correlator:
    r"""Correlation coefficients of spectra with templates at every shift, masked pixels excluded, by FFT.

    .. math:: C_k = \mathrm{cov}(f_i, t_{i-k}) / \sqrt{\mathrm{var}(f_i) \, \mathrm{var}(t_{i-k})}

    over the pixels i where both are known.

    The templates are transformed once, for any number of spectra.

    Parameters
    ----------
    templates : (n_templates, n_pixels) array
        On a logarithmic grid, NaN beyond their ends, which are the same pixels for all.
    n_lags : int
        Shifts are from -n_lags to n_lags pixels; positive ones are redshifts of the spectrum.

    Notes
    -----
    Tested against ``numpy.corrcoef`` at each shift.
    """

    def __init__(self, templates, n_lags):
        templates = np.atleast_2d(templates)
        self.n_lags = n_lags
        self.n = fft.next_fast_len(templates.shape[-1] + n_lags + 1, real=True)
        same, *self._templates = map(np.conj, self._moments(templates))
        self._same, self._kept = same[:1], {}

    def _moments(self, values):
        """Transforms of the known pixels' indicator, of the values, and of their squares."""
        known = np.isfinite(values)
        level = np.nanmean(values, axis=-1, keepdims=True)  # small numbers lose fewer digits in the sums
        values = np.where(known, values - level, 0.0)
        return [fft.rfft(part, self.n) for part in (known.astype(float), values, values**2)]

    def _sums(self, product):
        full = fft.irfft(product, self.n)
        return np.concatenate([full[..., self.n - self.n_lags :], full[..., : self.n_lags + 1]], axis=-1)

    def _of_templates(self, known):
        """Counts, sums of the templates and their spread times the count, over the pixels that the spectra know.

        The last result is kept: the spectra of a survey often know the same pixels.
        """
        key = known.tobytes()
        if key not in self._kept:
            t, tt = self._templates
            count = np.maximum(self._sums(known * self._same).round(), 1)
            sum_t = self._sums(known * t)
            self._kept = {key: (count, sum_t, self._sums(known * tt) - sum_t**2 / count)}
        return self._kept[key]

    def __call__(self, flux):
        """Correlate spectra with the templates.

        Parameters
        ----------
        flux : (n_spectra, n_pixels) array
            On the grid of the templates, NaN where masked.

        Returns
        -------
        (n_spectra, n_templates, 2 n_lags + 1) array
            From -1 to 1.
        """
        known, f, ff = (part[:, None] for part in self._moments(np.atleast_2d(flux)))
        count, sum_t, spread_t = self._of_templates(known)
        sum_f, sum_ff = self._sums(f * self._same), self._sums(ff * self._same)
        sum_ft = self._sums(f * self._templates[0])
        covariance = sum_ft - sum_f * sum_t / count
        product = (sum_ff - sum_f**2 / count) * spread_t
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((product > 1e-20) & (count > 10), covariance / np.sqrt(product), 0.0)


def cross_correlate(flux, templates, n_lags):
    """Correlate spectra with templates: a :class:`Correlator` used once.

    Parameters
    ----------
    flux : (n_spectra, n_pixels) array
    templates : (n_templates, n_pixels) array
    n_lags : int

    Returns
    -------
    (n_spectra, n_templates, 2 n_lags + 1) array
    """
    return Correlator(templates, n_lags)(flux)


def check_spectrum(wavelength, flux, *, file=None, start=None, stop=None):
    """Reject spectra that later steps cannot use.

    Parameters
    ----------
    wavelength : (n_pixels,) array, A
    flux : (n_pixels,) array
    file : str or Path, optional
        For the message.
    start, stop : float, A, optional
        The range that must be covered.

    Raises
    ------
    DataError
        Shapes are wrong, wavelengths unsorted or not in A, values NaN, no flux positive, or the range is too short.
    """
    wavelength, flux = np.asarray(wavelength, float), np.asarray(flux, float)
    if wavelength.ndim != 1 or wavelength.shape != flux.shape or len(wavelength) < 10:
        raise DataError(
            f"shapes {wavelength.shape} and {flux.shape} are not one spectrum",
            file=file,
            field="flux",
            remedy="give two columns of equal length",
        )
    if not np.all(np.isfinite(wavelength)):
        raise DataError("has NaN or infinite values", file=file, field="wavelength", remedy="drop those pixels")
    if np.any(np.diff(wavelength) <= 0):
        raise DataError(
            "is not strictly increasing", file=file, field="wavelength", remedy="sort it and drop repeated pixels"
        )
    bad = int(np.sum(~np.isfinite(flux)))
    if bad:
        raise DataError(
            f"has {bad} NaN or infinite values", file=file, field="flux", remedy="interpolate or mask them first"
        )
    if np.median(flux) <= 0:
        raise DataError(
            "has a median of zero or less", file=file, field="flux", remedy="check the order and the sky subtraction"
        )
    low, high = np.inf if start is None else start, -np.inf if stop is None else stop
    if wavelength[0] > low or wavelength[-1] < high:
        factor = (low + high) / (wavelength[0] + wavelength[-1])
        unit = "nm" if 9.5 < factor < 10.5 else "micron" if 9.5e3 < factor < 10.5e3 else None
        hint = f"the wavelengths look like {unit}: give A" if unit else "give a longer wavelength range"
        raise DataError(
            f"covers {wavelength[0]:.2f}-{wavelength[-1]:.2f} A but {low:.2f}-{high:.2f} A is needed",
            file=file,
            field="wavelength",
            remedy=hint,
        )


STEP = 0.03  # A: three pixels per resolution element of the survey


def binned(flux, step, wanted=STEP):
    """Average neighbouring pixels to about the wanted step.

    Parameters
    ----------
    flux : (..., n_pixels) array
    step : float, A
        Width of a pixel.
    wanted : float, A
        Width of the binned pixels; the closest multiple of ``step`` is used.

    Returns
    -------
    (..., n_pixels // factor) array
    """
    factor = max(1, round(wanted / step))
    pixels = flux.shape[-1] // factor
    return flux[..., : pixels * factor].reshape(*flux.shape[:-1], pixels, factor).mean(-1)
