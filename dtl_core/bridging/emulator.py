"""An emulator of spectra as a function of the labels, and classical fits of the labels."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from ..networks.training import fit
from ..spectra.operators import C_KMS, broadening_transfer, mirrored_pixels

__all__ = ["Emulator", "fit_emulator", "fit_labels", "grid_labels", "optical_depth"]


_DARKEST, _BRIGHTEST = 0.02, 2.0  # flux


class Emulator(nn.Module):
    """Flux as a function of the four labels: a small network for slow rotation, then rotational broadening.

    The network (dense - SiLU - dense - SiLU - linear) maps scaled labels to a spectrum with the lowest v sin i of the
    training set, which is convolved with the rotation profile. v sin i is still an input of the network, because the
    continuum normalisation depends on it. :meth:`with_lines` changes the opacity of every pixel before the rotational
    broadening, so that an error of the line list is broadened like the line.

    Parameters
    ----------
    labels : tensor of shape (n, 4)
        Training set, for the scaling.
    flux : tensor of shape (n, n_pixels)
        Continuum = 1; the network starts at its mean.
    wavelength : array of shape (n_pixels,), A
        Evenly spaced.
    width : int
        Neurons of the hidden layers.
    seed : int
    limb_darkening : float
        Linear coefficient.

    References
    ----------
    Ting et al. (2019, ApJ 879, 69), "The Payne", here with one network for all pixels.
    """

    def __init__(self, labels, flux, wavelength, *, width=256, seed=0, limb_darkening=0.6):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        low, high = labels.amin(0), labels.amax(0)
        pixels = flux.shape[1]
        for name, value in (("low", low), ("high", high), ("mean", flux.mean(0))):
            self.register_buffer(name, value)
        self.register_buffer("offset", torch.zeros(pixels))
        self.register_buffer("scale", torch.ones(pixels))
        # log g as the synthetic set has it: a quadratic in scaled Teff and [M/H] with its scatter
        x = (labels - low) / (high - low)
        design, wanted = _plane(x).double().numpy(), x[:, 1].double().numpy()
        # numpy, because the last digits of torch's least squares differ from call to call
        solved = np.linalg.lstsq(design, wanted, rcond=None)[0]
        self.register_buffer("plane", torch.as_tensor(solved, dtype=torch.float32))
        about = max(float((wanted - design @ solved).std()), 0.01)
        self.register_buffer("about_plane", torch.tensor(about, dtype=torch.float32))
        velocity = float(wavelength[1] - wavelength[0]) / float(np.mean(wavelength)) * C_KMS  # of a pixel
        reach = int(float(high[3]) / velocity) + 2  # of the profile, in pixels
        self.register_buffer("mirrored", torch.as_tensor(mirrored_pixels(pixels, reach)))
        self.reach = reach
        frequency = 2 * np.pi * np.fft.rfftfreq(len(self.mirrored), velocity)
        self.register_buffer("frequency", torch.as_tensor(frequency, dtype=torch.float32))
        # the rotation profile's transform depends on frequency times v sin i alone: a table of it
        n = int(50 * frequency[-1] * float(high[3])) + 4
        table = broadening_transfer(2 * n, np.pi * 50 / n, 0, [1.0], limb_darkening)[0]
        self.register_buffer("table", torch.as_tensor(table, dtype=torch.float32))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in ((4, width), (width, width), (width, pixels)))
        with torch.no_grad():
            for layer in self.layers:
                bound = (6 / sum(layer.weight.shape)) ** 0.5
                layer.weight.copy_((torch.rand(layer.weight.shape, generator=generator) * 2 - 1) * bound)
                layer.bias.zero_()
            self.layers[-1].weight.mul_(0.1)

    def with_lines(self, offset, scale):
        """Return a copy with the optical depth t before rotation replaced by offset + scale t, both (n_pixels,)."""
        other = copy.deepcopy(self)
        other.offset, other.scale = offset.clone(), scale.clone()
        return other

    def scaled(self, labels):
        """Scale labels to 0 ... 1 over their range; v sin i as a square root, because lines widen with it."""
        x = (labels - self.low) / (self.high - self.low)
        return torch.cat([x[..., :3], x[..., 3:].clamp_min(0).sqrt()], -1)

    def unscaled(self, x):
        """Invert :meth:`scaled`."""
        return torch.cat([x[..., :3], x[..., 3:].square()], -1) * (self.high - self.low) + self.low

    def clamped(self, labels):
        """Clip labels to the range of the training set."""
        return torch.maximum(torch.minimum(labels, self.high), self.low)

    def reconstruct(self, labels):
        """Spectra (n, n_pixels) of labels (n, 4), moved into the range of the emulator, without gradients."""
        with torch.no_grad():
            return self(self.clamped(torch.as_tensor(labels, dtype=torch.float32)))

    def from_scaled(self, x):
        """Spectra (m, n_pixels) of scaled labels (m, 4)."""
        narrow, _ = self._narrow(x)
        return self._rotated(narrow, self._wider(x)[0])

    def with_slopes(self, x):
        """Spectra (m, n_pixels) of scaled labels (m, 4), and their derivatives (m, 4, n_pixels)."""
        narrow, narrow_slopes = self._narrow(x, slopes=True)
        wider, wider_slope = self._wider(x)
        profile, profile_slope = self._profile(wider)
        both = self._transform(torch.cat([narrow[:, None], narrow_slopes], 1))
        product = both * profile[:, None]
        product[:, 4] += both[:, 0] * profile_slope * wider_slope
        wide = self._cut(torch.fft.irfft(product, n=len(self.mirrored)))
        return wide[:, 0], wide[:, 1:]

    def _narrow(self, x, slopes=False):
        """Spectra before rotation, and with ``slopes`` their derivatives (m, 4, n_pixels) by the scaled labels."""
        h, slope = 2 * x - 1, 2 * torch.eye(4, dtype=x.dtype) if slopes else None
        for layer in self.layers[:-1]:
            z = layer(h)
            h = nn.functional.silu(z)
            if slopes:
                gate = torch.sigmoid(z)
                slope = (slope @ layer.weight.T) * (gate * (1 + z * (1 - gate)))[:, None]
        level = self.mean + self.layers[-1](h)
        narrow = torch.exp(-(self.offset + self.scale * optical_depth(level)))
        if slopes:
            inside = (level > _DARKEST) & (level < _BRIGHTEST)
            slope = (slope @ self.layers[-1].weight.T) * (narrow * self.scale * inside / level)[:, None]
        return narrow, slope

    def _wider(self, x):
        """v sin i (..., 1), km/s, to add to the lowest one, and its derivative by the scaled label.

        Squares add, since the instrumental profile is wider than the lowest v sin i.
        """
        span, last = (self.high - self.low)[3], x[..., 3:]
        root = (span * (2 * self.low[3] + span * last.square())).clamp_min(1e-12).sqrt()  # a finite slope at rest
        return last * root, root + (span * last).square() / root

    def _rotated(self, flux, vsini):
        """Convolve spectra (..., n_pixels) with the rotation profile of v sin i (..., 1), km/s."""
        return self._cut(torch.fft.irfft(self._transform(flux) * self._profile(vsini)[0], n=len(self.mirrored)))

    def _profile(self, vsini):
        """Fourier transform of the rotation profile of v sin i (..., 1), km/s, and its derivative by v sin i."""
        place = self.frequency * vsini * 50
        left = place.floor().clamp(0, len(self.table) - 2)
        share, left = place - left, left.long()
        low, high = self.table[left], self.table[left + 1]
        return low * (1 - share) + high * share, (high - low) * self.frequency * 50

    def _transform(self, flux):
        return torch.fft.rfft(flux[..., self.mirrored])  # mirrored at the ends

    def _cut(self, wide):
        return wide[..., self.reach : self.reach + len(self.mean)]

    def forward(self, labels):
        """Spectra (m, n_pixels) of labels (m, 4)."""
        return self.from_scaled(self.scaled(labels))


def optical_depth(flux):
    """Optical depth -ln(flux), with the flux clipped to 0.02 ... 2."""
    return -torch.log(flux.clamp(_DARKEST, _BRIGHTEST))


def _plane(x):
    """Terms of a quadratic in scaled Teff and [M/H]: (..., 6)."""
    t, m = x[..., 0], x[..., 2]
    return torch.stack([torch.ones_like(t), t, m, t * t, t * m, m * m], -1)


def fit_emulator(
    flux, labels, train, wavelength, *, epochs=60, batch_size=64, learning_rate=3e-3, width=256, seed=0, progress=None
):
    """Train an emulator on synthetic spectra.

    Parameters
    ----------
    flux : tensor of shape (n, n_pixels)
    labels : tensor of shape (n, 4)
    train : array of int
        Rows to train on.
    wavelength : array of shape (n_pixels,), A
    epochs, batch_size, learning_rate, progress
        As for :func:`dtl_core.networks.training.fit`.
    width, seed
        As for :class:`Emulator`.

    Returns
    -------
    Emulator
    """
    model = Emulator(labels[train], flux[train], wavelength, width=width, seed=seed)

    def loss(m, rows):
        return ((m(labels[rows[0]]) - flux[rows[0]]) ** 2).mean().reshape(1)

    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "schedule": "one-cycle"}
    fit(model, loss, np.asarray(train)[None], seeds=[seed], progress=progress, **settings)
    return model


def _continuum(n_pixels, degree):
    x = torch.linspace(-1, 1, n_pixels)
    return torch.stack([torch.cos(k * torch.arccos(x)) for k in range(degree + 1)])  # Chebyshev


def grid_labels(flux, synthetic, labels, *, wavelength, degree=2, velocities=(-1, -0.5, 0, 0.5, 1), elements=None):
    """Estimate labels by chi-square over all synthetic spectra, with free continuum and velocity.

    Each synthetic spectrum is multiplied by a polynomial, whose best coefficients are solved for at every velocity. The
    labels are the mean over all synthetic spectra with weights exp(-(chi^2 - min chi^2) / 2), which resolves less than
    the steps of a grid. The errors of the pixels are such that the best fit has a reduced chi-square of 1.

    Parameters
    ----------
    flux : array of shape (m, n_pixels)
        Observed spectra.
    synthetic : array of shape (n, n_pixels)
    labels : array of shape (n, 4)
    wavelength : array of shape (n_pixels,), A
    degree : int
        Of the polynomial.
    velocities : sequence of float, km/s
    elements : float, optional
        Number of independent pixels; by default n_pixels / 9.

    Returns
    -------
    labels : array of shape (m, 4)
    rms : array of shape (m,)
        Residual of the best fit.

    References
    ----------
    Passegger et al. (2019, A&A 627, A161), who fit PHOENIX spectra by chi-square.
    """
    # doubles, because chi-square is a small difference of large sums
    flux, synthetic, labels = (torch.as_tensor(np.asarray(v), dtype=torch.float64) for v in (flux, synthetic, labels))
    pixels = flux.shape[1]
    basis = _continuum(pixels, degree).double()
    best = torch.full((len(flux), len(synthetic)), np.inf, dtype=torch.float64)
    pairs = basis[:, None] * basis[None]
    squares = synthetic.square()
    inverse = torch.linalg.inv(torch.einsum("nk,ijk->nij", squares, pairs))
    for velocity in velocities:
        rest = torch.as_tensor(_shifted(np.asarray(wavelength), flux.numpy(), velocity))
        right = torch.stack([synthetic @ (rest * each).T for each in basis])  # degree + 1, n, m
        explained = torch.einsum("inm,nij,jnm->mn", right, inverse, right)
        best = torch.minimum(best, rest.square().sum(1)[:, None] - explained)
    best = best.clamp_min(1e-12 * flux.square().sum(1, keepdim=True))
    least = best.amin(1, keepdim=True)
    weight = torch.softmax(-0.5 * (elements or pixels / 9) * (best / least - 1), 1)
    return (weight @ labels).numpy(), (least[:, 0] / pixels).sqrt().numpy()


def _shifted(wavelength, flux, velocity):
    """Shift observed spectra by a velocity, km/s."""
    from scipy.interpolate import CubicSpline

    if not velocity:
        return flux
    return CubicSpline(wavelength, flux, axis=1)(wavelength * (1 + velocity / C_KMS))


def fit_labels(emulator, flux, wavelength, start, *, degree=2, steps=25, weight=None, limit=3.0, tolerance=1e-5):
    """Estimate labels by a least-squares fit with an emulator, with free continuum and velocity.

    All stars are fitted together with the Levenberg-Marquardt method. Residuals larger than ``limit`` times the scatter
    of a star are down-weighted (Huber 1964), so that filled-in or additional lines do not bias the labels. log g is
    weakly tied to the values that the synthetic spectra have at a given Teff and [M/H].

    Parameters
    ----------
    emulator : Emulator
    flux : array of shape (m, n_pixels)
        Observed spectra.
    wavelength : array of shape (n_pixels,), A
    start : array of shape (m, 4)
        Initial labels.
    degree : int
        Of the polynomial that multiplies the emulated spectrum.
    steps : int
        Largest number of iterations.
    weight : array of shape (n_pixels,), optional
        Weights of the squared residuals.
    limit : float
    tolerance : float
        The fit of a star has converged when a step changes its scaled labels by less than this.

    Returns
    -------
    labels : array of shape (m, 4)
        Within the range of the emulator.
    rms : array of shape (m,)
        Residual.
    """
    flux = torch.as_tensor(np.asarray(flux), dtype=torch.float32)
    wavelength = torch.as_tensor(np.asarray(wavelength), dtype=torch.float32)
    basis = _continuum(flux.shape[1], degree)
    root = torch.ones(flux.shape[1]) if weight is None else torch.as_tensor(weight, dtype=torch.float32).sqrt()
    x = emulator.scaled(torch.as_tensor(np.asarray(start), dtype=torch.float32)).clamp(0.02, 0.98)
    theta = torch.cat([x, torch.zeros(len(x), 1), torch.ones(len(x), 1), torch.zeros(len(x), degree)], 1)

    plane, about = emulator.plane, emulator.about_plane
    step = (wavelength[1] - wavelength[0]).item()

    def model(theta, prior, slopes=False):
        """Spectra of scaled labels, velocity [km/s] and coefficients, with the distance of log g from its plane as an
        additional pixel: (m, n_pixels + 1). With ``slopes`` also the derivatives (m, n_theta, n_pixels + 1).
        """
        x, velocity, continuum = theta[:, :4], theta[:, 4:5], theta[:, 5:] @ basis * root
        spectrum, along = emulator.with_slopes(x) if slopes else (emulator.from_scaled(x), None)
        off = (x[:, 1] - _plane(x) @ plane) / about
        shift = wavelength / C_KMS

        def moved(flux, velocity):
            return flux - torch.gradient(flux, spacing=step, dim=-1)[0] * shift * velocity

        seen = moved(spectrum, velocity)
        out = torch.cat([seen * continuum, (prior * off)[:, None]], 1)
        if not slopes:
            return out
        t, m, none = x[:, 0], x[:, 2], torch.zeros_like(x[:, 0])
        along_t, along_m = plane[1] + 2 * plane[3] * t + plane[4] * m, plane[2] + plane[4] * t + 2 * plane[5] * m
        pixels = [
            moved(along, velocity[:, None]) * continuum[:, None],
            (moved(spectrum, 1.0) - spectrum)[:, None] * continuum[:, None],
            seen[:, None] * (basis * root),
        ]
        last = torch.zeros(len(x), theta.shape[1])
        last[:, :4] = torch.stack([-along_t, none + 1, -along_m, none], 1) * (prior / about)[:, None]
        return out, torch.cat([torch.cat(pixels, 1), last[..., None]], 2)

    flux = torch.cat([flux * root, torch.zeros(len(flux), 1)], 1)
    with torch.no_grad():  # each star separately: its labels must not depend on the others
        first = flux - model(theta, torch.zeros(len(theta)))
        prior = 3 * 1.4826 * first.abs().median(1).values
        residual = flux - model(theta, prior)
        damping = torch.full((len(x), 1, 1), 1e-2)
        rows = torch.arange(len(x))  # of the stars that have not converged
        for _ in range(steps):
            here, left, about_plane = theta[rows], residual[rows], prior[rows]
            scatter = 1.4826 * left.abs().median(1, keepdim=True).values + 1e-6
            trust = (limit * scatter / left.abs().clamp_min(1e-9)).clamp_max(1.0)
            slopes = model(here, about_plane, slopes=True)[1]
            weighted = slopes * trust[:, None]
            normal = weighted @ slopes.transpose(1, 2)
            scale = torch.diag_embed(torch.diagonal(normal, dim1=1, dim2=2) + 1e-8)
            gradient = weighted @ left[..., None]
            trial = here + torch.linalg.solve(normal + damping[rows] * scale, gradient)[..., 0]
            trial[:, :4] = trial[:, :4].clamp(0, 1)
            trial[:, 3] = trial[:, 3].clamp_min(0.02)  # the derivative vanishes at 0, so no step would leave it
            trial[:, 4] = trial[:, 4].clamp(-3, 3)
            new = flux[rows] - model(trial, about_plane)
            better = (trust * new.square()).sum(1) < (trust * left.square()).sum(1)
            theta[rows] = torch.where(better[:, None], trial, here)
            residual[rows] = torch.where(better[:, None], new, left)
            eased = torch.where(better[:, None, None], damping[rows] / 4, damping[rows] * 6)
            damping[rows] = eased.clamp(1e-6, 1e6)
            rows = rows[(trial - here)[:, :5].abs().amax(1) > tolerance]
            if not len(rows):
                break
        rms = residual[:, :-1].square().mean(1).sqrt()  # of the pixels, not of log g
        return emulator.unscaled(theta[:, :4]).numpy(), rms.numpy()
