"""A network for real stars: trained with the library's lines and with lines that real stars have corrected."""

from __future__ import annotations

import dataclasses

import torch

from ..bridging.flux_networks import Informed
from ..bridging.randomiser import Randomiser

__all__ = ["Calibrated", "bridged"]


# Corrected lines leave smaller residuals than those of the library (see the record line_corrections), and get smaller
# random errors. Chosen in a trial on GJ 699, GJ 273 and G 9-40, so these stars do not test the two numbers.
REMAINING = {"line_strength": 0.2, "lines": 20.0}
GAPS, GAP_SHARE, NARROWEST, WIDEST = 12, 0.4, 6, 20  # gaps of a spectrum, how likely each is, widths in pixels


def bridged(flux, generator):
    """Bridge random pixels linearly, as the preparation does with pixels that are masked.

    Parameters
    ----------
    flux : tensor of shape (n, n_pixels)
    generator : torch.Generator

    Returns
    -------
    tensor of shape (n, n_pixels)
        With up to ``GAPS`` gaps of ``NARROWEST`` to ``WIDEST`` pixels in each spectrum.
    """
    n, pixels = flux.shape
    place = torch.arange(pixels)[None]
    for _ in range(GAPS):
        width = torch.randint(NARROWEST, WIDEST + 1, (n, 1), generator=generator)
        first = (torch.rand(n, 1, generator=generator) * (pixels - WIDEST - 1)).long()
        there = torch.rand(n, 1, generator=generator) < GAP_SHARE
        left, right = flux.gather(1, first), flux.gather(1, first + width)
        line = left + (right - left) * (place - first) / width
        flux = torch.where(there & (place > first) & (place < first + width), line, flux)
    return flux


class Calibrated(Informed):
    """An :class:`~dtl_core.bridging.flux_networks.Informed` network that has also seen corrected lines.

    The second half of the draws of physics has corrected lines (see :mod:`dtl_core.synthetic.line_corrections`). Their
    spectra get smaller random errors of lines than those with the library's. The network infers from a spectrum which
    of the two it resembles.

    Attributes
    ----------
    randomiser : Randomiser
        Randomiser of spectra with the library's lines.
    """

    def seen(self, rows):
        drawn, n = self.drawn, len(self.drawn)
        picked = torch.randint(n, (len(rows),), generator=self.generator)
        rows, order = torch.as_tensor(rows), torch.argsort(picked, stable=True)
        split = int((picked < n // 2).sum())  # library's lines first
        parts = []
        for own, randomiser in ((order[:split], self.randomiser), (order[split:], self.remaining)):
            if len(own):
                flux = drawn[picked[own], rows[own]]
                parts.append(self.problem.randomised(randomiser, flux, rows[own], self.generator))
        flux = torch.cat(parts)[torch.argsort(order)]
        return bridged(flux, self.generator)

    @property
    def remaining(self) -> Randomiser:
        """Random changes of spectra with corrected lines."""
        return dataclasses.replace(self.randomiser, **REMAINING)
