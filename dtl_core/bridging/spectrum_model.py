"""Spectra as a function of the labels, with slopes: for the emulator in training (PyTorch) and after it (NumPy)."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np

from ..arrays import check_shapes, library, sigmoid, silu
from ..spectra.operators import C_KMS, broadening_transfer, mirrored_pixels

__all__ = [
    "BRIGHTEST",
    "DARKEST",
    "Rotation",
    "SpectrumModel",
    "TrainedEmulator",
    "optical_depth",
    "plane_terms",
    "rotation_of",
]


DARKEST, BRIGHTEST = 0.02, 2.0  # flux


class Rotation(NamedTuple):
    """What the convolution with the rotation profile needs, see :func:`rotation_of`."""

    mirrored: np.ndarray
    reach: int
    frequency: np.ndarray
    table: np.ndarray


def rotation_of(wavelength, fastest, limb_darkening):
    """Prepare the convolution of spectra with the rotation profile.

    Parameters
    ----------
    wavelength : array of shape (n_pixels,), A
        Evenly spaced.
    fastest : float, km/s
        Highest v sin i.
    limb_darkening : float
        Linear coefficient.

    Returns
    -------
    mirrored : array of int
        Pixels, with ``reach`` more at both ends, which are mirrored.
    reach : int
        Of the profile, in pixels.
    frequency : array of float32, s/km
        Of the Fourier transform of the mirrored pixels.
    table : array of float32
        The profile's transform in steps of 1/50, which depends on frequency times v sin i alone.
    """
    velocity = float(wavelength[1] - wavelength[0]) / float(np.mean(wavelength)) * C_KMS  # of a pixel
    reach = int(fastest / velocity) + 2
    mirrored = np.asarray(mirrored_pixels(len(wavelength), reach))
    frequency = 2 * np.pi * np.fft.rfftfreq(len(mirrored), velocity)
    n = int(50 * frequency[-1] * fastest) + 4
    table = broadening_transfer(2 * n, np.pi * 50 / n, 0, [1.0], limb_darkening)[0]
    return Rotation(mirrored, reach, frequency.astype(np.float32), table.astype(np.float32))


class SpectrumModel:
    """Flux as a function of the four labels: a small network for slow rotation, then rotational broadening.

    The network (dense - SiLU - dense - SiLU - linear) maps scaled labels to a spectrum with the lowest v sin i of the
    training set, which is convolved with the rotation profile. v sin i is still an input of the network, because the
    continuum normalisation depends on it. :meth:`with_lines` changes the opacity of every pixel before the rotational
    broadening, so that an error of the line list is broadened like the line.

    Attributes
    ----------
    low, high : (4,)
        Range of the training labels.
    mean, offset, scale : (n_pixels,)
        Mean spectrum, to which the network adds; coefficients of :meth:`with_lines`.
    plane : (6,)
        log g as the synthetic set has it: a quadratic in scaled Teff and [M/H].
    about_plane : float
        Its scatter.
    mirrored, reach, frequency, table
        See :func:`rotation_of`.
    layers : sequence
        Dense layers, callable, with ``weight`` (n_out, n_in) and ``bias``.

    References
    ----------
    Ting et al. (2019, ApJ 879, 69), "The Payne", here with one network for all pixels.
    """

    def with_lines(self, offset, scale):
        """Return a copy with the optical depth t before rotation replaced by offset + scale t, both (n_pixels,)."""
        other = copy.deepcopy(self)
        other.offset, other.scale = copy.deepcopy(offset), copy.deepcopy(scale)
        return other

    def scaled(self, labels):
        """Scale labels to 0 ... 1 over their range; v sin i as a square root, because lines widen with it."""
        xp, x = library(labels), (labels - self.low) / (self.high - self.low)
        return xp.concatenate([x[..., :3], xp.sqrt(xp.clip(x[..., 3:], 0, None))], axis=-1)

    def unscaled(self, x):
        """Invert :meth:`scaled`."""
        xp = library(x)
        return xp.concatenate([x[..., :3], xp.square(x[..., 3:])], axis=-1) * (self.high - self.low) + self.low

    def clamped(self, labels):
        """Clip labels to the range of the training set."""
        xp = library(labels)
        return xp.maximum(xp.minimum(labels, self.high), self.low)

    def spectra(self, labels):
        """Spectra (m, n_pixels) of labels (m, 4)."""
        return self.from_scaled(self.scaled(labels))

    def reconstruct(self, labels):
        """Spectra (n, n_pixels) of labels (n, 4), moved into the range of the emulator."""
        xp = library(self.mean)
        return self.spectra(self.clamped(xp.asarray(labels, dtype=xp.float32)))

    def from_scaled(self, x):
        """Spectra (m, n_pixels) of scaled labels (m, 4)."""
        narrow, _ = self._narrow(x)
        return self._rotated(narrow, self._wider(x)[0])

    def with_slopes(self, x):
        """Spectra (m, n_pixels) of scaled labels (m, 4), and their derivatives (m, 4, n_pixels)."""
        xp = library(x)
        narrow, narrow_slopes = self._narrow(x, slopes=True)
        wider, wider_slope = self._wider(x)
        profile, profile_slope = self._profile(wider)
        both = self._transform(xp.concatenate([narrow[:, None], narrow_slopes], axis=1))
        product = both * profile[:, None]
        product[:, 4] += both[:, 0] * profile_slope * wider_slope
        wide = self._cut(xp.fft.irfft(product, n=len(self.mirrored)))
        return wide[:, 0], wide[:, 1:]

    def _narrow(self, x, slopes=False):
        """Spectra before rotation, and with ``slopes`` their derivatives (m, 4, n_pixels) by the scaled labels."""
        xp = library(x)
        h, slope = 2 * x - 1, 2 * xp.eye(4, dtype=x.dtype) if slopes else None
        for layer in self.layers[:-1]:
            z = layer(h)
            h = silu(z)
            if slopes:
                gate = sigmoid(z)
                slope = _times(slope, layer.weight.T) * (gate * (1 + z * (1 - gate)))[:, None]
        level = self.mean + self.layers[-1](h)
        narrow = xp.exp(-(self.offset + self.scale * optical_depth(level)))
        if slopes:
            inside = (level > DARKEST) & (level < BRIGHTEST)
            slope = _times(slope, self.layers[-1].weight.T) * (narrow * self.scale * inside / level)[:, None]
        return narrow, slope

    def _wider(self, x):
        """v sin i (..., 1), km/s, to add to the lowest one, and its derivative by the scaled label.

        Squares add, since the instrumental profile is wider than the lowest v sin i.
        """
        xp = library(x)
        span, last = (self.high - self.low)[3], x[..., 3:]
        # a finite slope at rest
        root = xp.sqrt(xp.clip(span * (2 * self.low[3] + span * xp.square(last)), 1e-12, None))
        return last * root, root + xp.square(span * last) / root

    def _rotated(self, flux, vsini):
        """Convolve spectra (..., n_pixels) with the rotation profile of v sin i (..., 1), km/s."""
        product = self._transform(flux) * self._profile(vsini)[0]
        return self._cut(library(flux).fft.irfft(product, n=len(self.mirrored)))

    def _profile(self, vsini):
        """Fourier transform of the rotation profile of v sin i (..., 1), km/s, and its derivative by v sin i."""
        xp = library(vsini)
        place = self.frequency * vsini * 50
        left = xp.clip(xp.floor(place), 0, len(self.table) - 2)
        share, left = place - left, xp.asarray(left, dtype=xp.int64)
        low, high = self.table[left], self.table[left + 1]
        return low * (1 - share) + high * share, (high - low) * self.frequency * 50

    def _transform(self, flux):
        return library(flux).fft.rfft(flux[..., self.mirrored])  # mirrored at the ends

    def _cut(self, wide):
        return wide[..., self.reach : self.reach + len(self.mean)]


def _times(slopes, matrix):
    """Slopes (..., n) times a matrix (n, k), as one product: NumPy would compute one for each spectrum."""
    return (slopes.reshape(-1, slopes.shape[-1]) @ matrix).reshape(*slopes.shape[:-1], -1)


class _Dense:
    """A dense layer with given weights."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def __call__(self, x):
        return x @ self.weight.T + self.bias


class TrainedEmulator(SpectrumModel):
    """An emulator after training, on NumPy.

    Parameters
    ----------
    arrays : dict of str to array of float32
        Weights of :class:`dtl_core.bridging.emulator.Emulator`; those that follow from the others are not needed.
    wavelength : array of shape (n_pixels,), A
    limb_darkening : float

    Raises
    ------
    ValueError
        A weight is missing or has another shape.
    """

    def __init__(self, arrays, wavelength, limb_darkening):
        n, width = len(wavelength), arrays["layers.0.bias"].size
        shapes = {
            "low": (4,),
            "high": (4,),
            "plane": (6,),
            "about_plane": (),
            "mean": (n,),
            "offset": (n,),
            "scale": (n,),
        }
        for number, shape in enumerate(((width, 4), (width, width), (n, width))):
            shapes |= {f"layers.{number}.weight": shape, f"layers.{number}.bias": shape[:1]}
        check_shapes(arrays, shapes)
        for name in ("low", "high", "mean", "offset", "scale", "plane", "about_plane"):
            setattr(self, name, arrays[name])
        self.layers = [_Dense(arrays[f"layers.{k}.weight"], arrays[f"layers.{k}.bias"]) for k in range(3)]
        rotation = rotation_of(wavelength, float(self.high[3]), limb_darkening)
        self.mirrored, self.reach, self.frequency, self.table = rotation

    __call__ = SpectrumModel.spectra


def optical_depth(flux):
    """Optical depth -ln(flux), with the flux clipped to 0.02 ... 2."""
    xp = library(flux)
    return -xp.log(xp.clip(flux, DARKEST, BRIGHTEST))


def plane_terms(x):
    """Terms of a quadratic in scaled Teff and [M/H]: (..., 6)."""
    xp, t, m = library(x), x[..., 0], x[..., 2]
    return xp.stack([xp.ones_like(t), t, m, t * t, t * m, m * m], axis=-1)
