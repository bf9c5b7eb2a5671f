"""Domain randomisation: random changes of spectra, as by a spectrograph, a star and an imperfect line list."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..spectra.operators import C_KMS, FWHM, mirrored_pixels

__all__ = ["AUGMENTATION", "Randomiser"]


ROTATION_RMS = 0.474  # of the rotation profile with limb darkening 0.6, over v sin i


@dataclass(frozen=True)
class Randomiser:
    """Random changes of a batch of spectra, different for every spectrum and every call.

    The scales do not depend on the observed spectra: they are round numbers, somewhat larger than expected for any
    spectrograph and line list. Changes of lines are broadened by the rotation of the star.

    Attributes
    ----------
    noise : float
        Largest photon noise of a pixel; log-uniform from a tenth of it.
    continuum : float
        Rms of a slow tilt and curvature.
    velocity : float, km/s
        Rms of a residual radial velocity.
    resolution : float
        Largest additional broadening, as a fraction of the width of the instrumental profile.
    line_strength : float
        Largest rms of ln(opacity); uniform from 0 for each spectrum.
    lines : float
        Mean number of lines added to a spectrum; a quarter as many are removed.
    """

    noise: float = 0.02
    continuum: float = 0.015
    velocity: float = 0.3
    resolution: float = 0.3
    line_strength: float = 0.6
    lines: float = 40.0

    def __call__(self, flux, vsini, step, resolving_power, generator, wavelength=8817.5):
        """Return changed copies of spectra.

        Parameters
        ----------
        flux : tensor of shape (n, n_pixels)
            Continuum = 1, on an even grid.
        vsini : tensor of shape (n,), km/s
        step : float, A
            Of the grid.
        resolving_power : float
        generator : torch.Generator
        wavelength : float, A
            The middle of the grid.

        Returns
        -------
        tensor of shape (n, n_pixels)
        """

        def normal(*shape):
            return torch.randn(*shape, generator=generator)

        def uniform(*shape):
            return torch.rand(*shape, generator=generator)

        n, pixels = flux.shape
        sigma = wavelength / resolving_power / FWHM / step  # of the instrument's profile, in pixels
        rotation = ROTATION_RMS * vsini[:, None] / C_KMS * wavelength / step
        depth = -torch.log(flux.clamp(1e-3, 1.2))
        if self.line_strength:
            narrow = ((0.05 * 6 ** uniform(n, 1) / step) ** 2 + sigma**2).sqrt()  # lines and blends, 0.05 to 0.3 A
            wide = (narrow**2 + rotation**2).sqrt()
            field = _gaussian(normal(n, pixels), wide)
            field = field / field.std(1, keepdim=True) * (narrow / wide).sqrt()  # rotation averages over neighbours
            depth = depth * torch.exp(self.line_strength * uniform(n, 1) * field)
        if self.lines:
            count = round(2 * self.lines)
            height = 0.05 * torch.exp(0.8 * normal(n, count)) * (uniform(n, count) < 0.5)
            width = sigma * (1.2 + uniform(n, 1))
            depth = depth + self._lines(pixels * uniform(n, count), height, width, rotation, pixels)
            gone = (uniform(n, count // 4) < 0.5) * uniform(n, 1)
            taken = self._lines(pixels * uniform(n, count // 4), gone, 2 * width, rotation, pixels)
            depth = depth * (1 - taken.clamp(0, 1))
        flux = torch.exp(-depth)
        if self.resolution or self.velocity:
            blur = sigma * ((1 + self.resolution * uniform(n, 1)) ** 2 - 1).sqrt()
            flux = _gaussian(flux, blur, self.velocity * normal(n, 1) / C_KMS * wavelength / step)
        if self.continuum:
            t = torch.linspace(-1, 1, pixels)
            shape = torch.stack([t, t**2 - 1 / 3, torch.ones_like(t)])
            flux = flux * (1 + self.continuum * normal(n, 3) @ shape)
        if self.noise:
            level = self.noise * 10 ** -uniform(n, 1)
            grain = _gaussian(normal(n, pixels), torch.full((n, 1), 0.8 * sigma))
            flux = flux + level * flux.clamp_min(0).sqrt() * grain / grain.std()
        return flux

    @staticmethod
    def _lines(position, height, width, rotation, pixels):
        """Gaussian lines (n, pixels) with heights ``height`` (n, count) before rotational broadening."""
        impulses = torch.zeros(len(position), pixels)
        left = position.floor().clamp(0, pixels - 2).long()
        share = (position - left).clamp(0, 1)
        impulses.scatter_add_(1, left, height * (1 - share)).scatter_add_(1, left + 1, height * share)
        return _gaussian(impulses, (width**2 + rotation**2).sqrt()) * width * math.sqrt(2 * math.pi)


# What any spectrograph does to a spectrum, without errors of the line list.
AUGMENTATION = Randomiser(line_strength=0.0, lines=0.0)


def _gaussian(x, width, shift=None):
    """Convolve rows (n, pixels) with Gaussians of ``width`` (n, 1) and shift them by ``shift`` (n, 1), both in pixels.

    The convolution is done in Fourier space, with rows mirrored at their ends, so that nothing wraps around.
    """
    pixels = x.shape[1]
    reach = min(pixels, int(4 * float(width.max())) + 2)
    mirrored = torch.as_tensor(mirrored_pixels(pixels, reach))
    length = len(mirrored)
    transfer = torch.exp(-2 * (math.pi * torch.fft.rfftfreq(length) * width) ** 2)
    x = torch.fft.irfft(torch.fft.rfft(x[:, mirrored]) * transfer, n=length)[:, reach : reach + pixels]
    if shift is None:
        return x
    slope = F.pad((x[:, 2:] - x[:, :-2]) / 2, (1, 1))  # a phase would shift the mirrored half in the opposite direction
    curve = F.pad(x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2], (1, 1))
    return x - shift * slope + 0.5 * shift**2 * curve
