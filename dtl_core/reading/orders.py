"""One spectrum from the pieces of a file: selection of a star, blaze, merging of echelle orders."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from ..characters import clean
from ..errors import DataError
from ..spectra import operators
from ..spectra.spectrum import RANGE, WINDOW, bad_pixels, finish
from .formats import AGAIN, content, fits_hdus, is_fits

__all__ = ["Piece", "extensions", "image", "merge_orders", "merged", "one_star", "with_blaze"]


NEIGHBOURS, FEWEST = 10, 7  # orders on either side for the blaze, and the minimum in total
DEGREE = 4  # of the polynomial of the blaze


def extensions(path):
    """Extensions of a FITS file by name, the primary one as "" too; DataError if it is not FITS."""
    data = content(path)
    if not is_fits(data):
        raise DataError("is not a FITS file", file=path, remedy=AGAIN)
    hdus = fits_hdus(data, path)
    named = {"": hdus[0]}
    for hdu in hdus:
        named.setdefault(hdu.name, hdu)
    return named


def image(hdus, name, path, shape=None):
    """Image of a name as floats (n_orders, n_pixels); DataError if it is missing or not of ``shape``."""
    if name.upper() not in hdus:
        found = ", ".join(clean(key, 20) for key in hdus if key)[:100]
        raise DataError(
            "is missing", file=path, field=name, remedy=f"give reduced spectra; found {found or 'no names'}"
        )
    hdu = hdus[name.upper()]
    if len(hdu.shape) != 2 or shape and hdu.shape != shape:
        expected = f"not {shape}" if shape else "not orders x pixels"
        raise DataError(f"has shape {hdu.shape}, {expected}", file=path, field=name, remedy="give reduced spectra")
    return hdu.image()


# ---------------------------------------------------------------- one star among several


class Piece:
    """A part of a spectrum in a file: an order, an aperture, a row or an extension.

    Parameters
    ----------
    label : str
        Name in the file.
    wavelength, flux : (n_pixels,) array
        Vacuum A and any unit; pixels without positive wavelength are ignored.
    uncertainty, mask, continuum, telluric : (n_pixels,) array, optional
        Standard deviation; True where a pixel is bad; divisor of the flux; True where the Earth's atmosphere absorbs.
    source : str
        The part of the file that it is from.
    """

    def __init__(self, label, wavelength, flux, uncertainty=None, mask=None, continuum=None, telluric=None, source=""):
        self.label, self.continuum, self.telluric, self.source = clean(label, 40), continuum, telluric, source
        self.wavelength, self.flux = np.asarray(wavelength, float), np.asarray(flux, float)
        self.uncertainty = None if uncertainty is None else np.asarray(uncertainty, float)
        self.mask = None if mask is None else np.asarray(mask, bool)

    def near(self, low, high):
        """Whether there are ten pixels or more between ``low`` and ``high``, A."""
        return np.sum((self.wavelength > low) & (self.wavelength < high)) >= 10

    def span(self):
        """First and last wavelength, A; NaN without any."""
        placed = self.wavelength[np.isfinite(self.wavelength) & (self.wavelength > 0)]
        return (placed.min(), placed.max()) if len(placed) else (np.nan, np.nan)


def order_pieces(wavelength, flux, uncertainty=None, mask=None, continuum=None):
    """Pieces of the rows of arrays (n_orders, n_pixels)."""
    columns = (uncertainty, mask, continuum)
    rows = zip(wavelength, flux, *([None] * len(flux) if values is None else values for values in columns), strict=True)
    return [Piece(f"order {number}", *row) for number, row in enumerate(rows)]


def plausible_uncertainty(flux, values):
    """Whether unnamed values can be the uncertainty of the flux: not negative, and well below the flux.

    A variance or a continuum of counts is as large as the flux, or larger; an inverse variance is far smaller.
    """
    known = np.isfinite(values) & np.isfinite(flux) & (flux != 0)
    share = np.median((values / np.abs(flux))[known]) if known.any() else np.inf
    return np.mean(values[known] >= 0) > 0.9 and 1e-5 < share < 0.3


def one_star(pieces, path, which=None):
    """Select the pieces of one star that are near the window.

    Parameters
    ----------
    pieces : sequence of Piece
    path : Path
    which : str or int, optional
        The user's choice: number of a piece, counted from 1, or part of its label.

    Returns
    -------
    list of Piece
        One piece, or echelle orders to be merged.

    Raises
    ------
    DataError
        No piece is near the window, ``which`` does not exist, or several pieces cover the same wavelengths (stars,
        apertures or exposures) and ``which`` does not choose one.
    """
    if which is not None:
        wanted = str(which).strip().lower()
        chosen = [piece for piece in pieces if wanted and wanted in piece.label.lower()]
        if wanted.isdecimal() and not [piece for piece in chosen if piece.label.lower() == wanted]:
            chosen = pieces[int(wanted) - 1 : int(wanted)] if int(wanted) else []
        if not chosen:
            problem = f"has no object {clean(which, 30)!r} among {len(pieces)}"
            raise DataError(problem, file=path, field="object", remedy=f"give one of {_labels(pieces)}")
        pieces = chosen
    near = [piece for piece in pieces if piece.near(*WINDOW)] or [piece for piece in pieces if piece.near(*RANGE)]
    if not near:
        spans = np.array([piece.span() for piece in pieces] or [(np.nan, np.nan)])
        covered = "" if np.isnan(spans).all() else f"; covers {np.nanmin(spans):.0f}-{np.nanmax(spans):.0f} A"
        problem = f"has no pixels between {WINDOW[0]:.0f} and {WINDOW[1]:.0f} A{covered}"
        remedy = "give the part of the spectrum that holds them, wavelengths in A or nm"
        raise DataError(problem, file=path, field="wavelength", remedy=remedy)
    near = sorted(near, key=lambda piece: piece.span()[0])
    for k, piece in enumerate(near):
        for other in near[k + 1 :]:
            (a, b), (c, d) = piece.span(), other.span()
            if min(b, d) - max(a, c) > 0.6 * min(b - a, d - c):
                problem = f"holds {len(near)} spectra of the same wavelengths"
                raise DataError(problem, file=path, field="object", remedy=f"say which: --object {_labels(near)}")
    return near


def _labels(pieces):
    labels = [piece.label for piece in pieces]
    distinct = len(set(labels)) == len(labels) and all(labels)
    shown = labels if distinct else [str(k + 1) for k in range(len(labels))]
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")


def merged(path, pieces, **facts):
    """Flatten and merge the pieces of one star into a :class:`~dtl_core.spectra.spectrum.Spectrum`.

    Parameters
    ----------
    path : Path
    pieces : sequence of Piece
        From :func:`one_star`.
    **facts
        For :func:`dtl_core.spectra.spectrum.finish`.

    Raises
    ------
    DataError
        No piece has ten good pixels, or as for ``finish``.
    """
    orders, alone = [], False
    for piece in pieces:
        order, estimated = _flatten(piece)
        if order[3].sum() >= 10:
            orders.append(order)
            alone |= estimated
    if not orders:
        problem = f"no order with good pixels between {RANGE[0]:.0f} and {RANGE[1]:.0f} A"
        raise DataError(problem, file=path, field="flux", remedy="check fluxes, uncertainties and masks")
    wavelength, flux, uncertainty, _ = merge_orders(orders)
    known = any(piece.uncertainty is not None for piece in pieces)
    if alone:
        remark = "blaze estimated from single orders, which takes broad bands for blaze: divide it out first"
        facts["notes"] = [*facts.get("notes", ()), remark]
    return finish(path, wavelength, flux, uncertainty if known else None, ~np.isfinite(flux), **facts)


# ---------------------------------------------------------------- echelle orders


def _blaze(flux, good):
    """A smooth level of one order: a cubic through the upper percentiles of twelve segments, in three iterations."""
    x, level = np.linspace(-1, 1, len(flux)), np.ones(len(flux))
    parts = [part[good[part]] for part in np.array_split(np.arange(len(flux)), 12)]
    parts = [part for part in parts if len(part) > 10]
    degree = min(3, len(parts) - 1)
    for _ in range(3):  # a percentile of a sloping segment exceeds its centre; less so without the slope
        ratio = [np.percentile(flux[part] / level[part], 90) for part in parts]
        level = level * np.polynomial.Polynomial.fit([x[part].mean() for part in parts], ratio, degree)(x)
        level = np.maximum(level, 0.02 * level.max())
    return level


def with_blaze(pieces, notes):
    """Estimate the blaze of orders that contain it from neighbouring orders, as their continuum.

    The upper envelope of an order is the blaze times the star's molecular bands. The median over the orders within
    ``NEIGHBOURS`` removes the bands; in a single order they would count as blaze, which can change the estimates by
    100 K and 0.1 dex in [M/H].

    Parameters
    ----------
    pieces : sequence of Piece
        All orders of a file, in sequence.
    notes : list of str
        Where a remark is added.

    Returns
    -------
    list of Piece
        Unchanged if there are too few orders of equal length, if they have a continuum, or if they are flat.
    """
    usable = [piece for piece in pieces if piece.near(0.0, np.inf) and np.isfinite(piece.flux).any()]
    known = any(piece.continuum is not None and np.any(np.diff(piece.continuum) != 0) for piece in usable)
    if len(usable) < FEWEST or known or len({len(piece.flux) for piece in usable}) > 1 or len(usable[0].flux) < 500:
        return list(pieces)
    good = [_good(piece) for piece in usable]
    n = len(usable[0].flux)
    x, parts = np.linspace(-1, 1, n), np.array_split(np.arange(n), 24)
    centres = np.array([x[part].mean() for part in parts])
    first = np.array([_envelope(piece.flux, mask, parts) for piece, mask in zip(usable, good, strict=True)])
    with np.errstate(all="ignore"):
        ends = np.nanmax(first[:, [0, 1, -2, -1]], axis=1) / np.nanmax(first, axis=1)
    full = [k for k in range(len(usable)) if np.isfinite(first[k]).sum() > 18 and np.nanmedian(first[k]) > 0]
    if len(full) < FEWEST or np.median(ends[full]) > 0.6:
        return list(pieces)
    for number, piece in enumerate(usable):
        if not piece.near(*RANGE):
            continue
        others = sorted(full, key=lambda k: abs(k - number))[: 2 * NEIGHBOURS + 1]
        level = np.ones(n)
        for _ in range(3):  # a percentile of a sloping segment exceeds its centre; less so without the slope
            ratios = np.array([_envelope(usable[k].flux / level, good[k], parts) for k in others])
            with np.errstate(all="ignore"):
                ratio = np.nanmedian(ratios / np.nanmedian(ratios, axis=1, keepdims=True), axis=0)
            seen = np.isfinite(ratio)
            level = level * np.polynomial.Legendre.fit(centres[seen], ratio[seen], DEGREE, [-1, 1])(x)
            level = np.maximum(level, 0.02 * level.max())
        piece.continuum = level
    notes.append(f"blaze estimated from {len(full)} orders")
    return list(pieces)


def _good(piece):
    """Pixels of an order that have a wavelength and are not bad."""
    mask = np.zeros(len(piece.flux), bool) if piece.mask is None else piece.mask
    bad, _ = bad_pixels(piece.flux, np.full(len(piece.flux), np.nan), mask)
    return ~bad & np.isfinite(piece.wavelength) & (piece.wavelength > 0)


def _envelope(flux, good, parts):
    """The 90th percentile of each segment, NaN with ten good pixels or fewer."""
    parts = [part[good[part]] for part in parts]
    return np.array([np.percentile(flux[part], 90) if len(part) > 10 else np.nan for part in parts])


def _flatten(piece):
    """Divide an order by its blaze: (wavelength, flux, uncertainty, good), and whether the blaze was estimated.

    The blaze is the continuum in the file, and an estimate of the rest.
    """
    wavelength, flux, continuum = piece.wavelength, piece.flux, piece.continuum
    uncertainty = np.ones_like(flux) if piece.uncertainty is None else piece.uncertainty
    mask = np.zeros(len(flux), bool) if piece.mask is None else piece.mask
    placed = np.isfinite(wavelength) & (wavelength > 0)  # without the padding to a common length
    wavelength, flux, uncertainty, mask = (a[placed] for a in (wavelength, flux, uncertainty, mask))
    continuum = None if continuum is None else continuum[placed]
    mask, uncertainty = bad_pixels(flux, uncertainty, mask)
    good = ~mask & np.isfinite(uncertainty)
    if continuum is not None and good.any() and np.mean(continuum[good] > 0) > 0.9:  # not a placeholder
        good &= continuum > 0
        with np.errstate(all="ignore"):
            flux, uncertainty = flux / continuum, uncertainty / continuum
    if np.sum(np.diff(wavelength) < 0) > 0.5 * len(wavelength):
        wavelength, flux, uncertainty, good = (a[::-1] for a in (wavelength, flux, uncertainty, good))
    tenth, estimated = len(flux) // 10, False
    edges = flux[:tenth][good[:tenth]], flux[-tenth:][good[-tenth:]]
    if good.sum() > 100 and min(map(len, edges)) > 10:
        ends = max(np.percentile(edge, 90) for edge in edges)
        if ends < 0.6 * np.percentile(flux[good], 90):
            blaze, estimated = _blaze(flux, good), True
            flux, uncertainty = flux / blaze, uncertainty / blaze
    before = np.fmax.accumulate(np.r_[0.0, wavelength[:-1]])
    use = wavelength > before
    return (wavelength[use], flux[use], uncertainty[use], good[use]), estimated


def _level(grid, before, values):
    """Factor to the level of the preceding order: a straight line over the overlap, constant beyond."""
    both = np.flatnonzero(np.isfinite(before) & np.isfinite(values))
    if len(both) < 60:
        return 1.0
    parts = np.array_split(both, 6)
    centres = [grid[part].mean() for part in parts]
    ratios = [np.median(before[part]) / np.median(values[part]) for part in parts]
    if not np.all(np.isfinite(ratios)):
        return 1.0
    ends = np.polynomial.Polynomial.fit(centres, ratios, 1)(grid[both[[0, -1]]])
    return np.interp(grid, grid[both[[0, -1]]], ends) if min(ends) > 0 else 1.0


def merge_orders(orders):
    """Merge overlapping échelle orders by the inverse-variance mean, on the pixels of the orders.

    f = sum(f_i / s_i^2) / sum(1 / s_i^2)

    Each half of an overlap has the pixels of the nearer order, and only the other order is interpolated, by a cubic
    spline. Each order is first scaled to the level of the preceding one, by a straight line through the ratios of their
    medians in the overlap.

    Parameters
    ----------
    orders : sequence of (wavelength, flux, uncertainty, good)
        Arrays (n_pixels,) with increasing wavelengths, without blaze, each with at least 10 good pixels.

    Returns
    -------
    wavelength, flux, uncertainty : (n,) array
        NaN where no order has a good pixel.
    n_used : (n,) int array
        Orders that contribute.
    """
    orders = sorted(orders, key=lambda order: order[0][0])
    ends = [(left[0][-1] + right[0][0]) / 2 for left, right in zip(orders, orders[1:], strict=False)]
    grid = []
    for (wave, *_), low, high in zip(orders, [-np.inf, *ends], [*ends, np.inf], strict=True):
        own = wave[(wave >= low) & (wave < high)]
        if grid and len(own) and len(grid[-1]):
            own = own[own > grid[-1][-1] + 0.5 * np.median(np.diff(wave))]
        grid.append(own)
    grid = np.concatenate(grid)
    fluxes, errors, before = [], [], np.full(len(grid), np.nan)
    for wave, flux, error, good in orders:
        use = (grid >= wave[0]) & (grid <= wave[-1]) & (np.interp(grid, wave, (~good).astype(float)) == 0)
        values = np.where(use, CubicSpline(wave[good], flux[good])(grid), np.nan)
        level = _level(grid, before, values)
        before = level * values
        fluxes.append(before)
        errors.append(level * np.interp(grid, wave[good], error[good]))
    return grid, *operators.combine(grid, [grid] * len(orders), fluxes, errors)
