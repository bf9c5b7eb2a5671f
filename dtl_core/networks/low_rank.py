r"""Autoencoders whose first and last layers are trained in a basis of principal components.

Synthetic spectra vary along few directions: 128 principal components reproduce them far better than an autoencoder
does. The first and last layers can therefore be trained on the coefficients of the components instead of on pixels,

.. math:: h_1 = \mathrm{ReLU}(s A + b), \quad s = x V, \qquad \hat x = \mathrm{sigmoid}((h C + e) U + b_0)

with fixed components V of the standardised inputs and U of the logits of the fluxes. The result is an ordinary
:class:`~dtl_core.networks.autoencoder.Autoencoder` with :math:`W_1 = V A` and :math:`W_{12} = C U`. An epoch needs
fewer operations, and Adam fewer epochs, because it moves whole patterns instead of single pixels. The networks react
otherwise to what synthetic spectra do not show: compare the errors across the gap before using it for science.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .autoencoder import Autoencoder

__all__ = ["LowRankAutoencoder"]

# A step of Adam moves each coefficient by the learning rate, and the spectrum by that times the length of the pattern
# that belongs to it. Patterns of the output are as long as one that is 1 in every pixel. The first of the input has
# _INPUT_LENGTH times that length, and the others that times the root of their relative spread: a network that learns as
# fast from components that hardly vary in synthetic spectra reacts strongly to them in observed ones.
_INPUT_LENGTH = 1 / 6


class LowRankAutoencoder(Autoencoder):
    """A stack of E autoencoders to be trained in a basis; see the module for the equations.

    Its inputs are not fluxes but the coefficients of their components, see :meth:`coefficients`.

    Parameters
    ----------
    model : Autoencoder
        Untrained members with centred inputs. Not modified; their initial weights are projected onto the components.
    sample : tensor of shape (n, n_pixels)
        Training fluxes, from which the components are found.
    components : int
        Number of components, at most n and n_pixels.
    seed : int
        Of the randomised decomposition (Halko et al. 2011, arXiv:0909.4061).

    Examples
    --------
    >>> import torch
    >>> from dtl_core.networks.autoencoder import Autoencoder, autoencoder_loss
    >>> from dtl_core.networks.low_rank import LowRankAutoencoder
    >>> from dtl_core.networks.training import fit
    >>> pixel = torch.arange(40)
    >>> flux = 1 - torch.linspace(0.1, 0.8, 50)[:, None] * torch.exp(-((pixel - 20) ** 2) / 50)
    >>> model = Autoencoder(n_pixels=40, width=64, seeds=[0], bottleneck=8, sample=flux)
    >>> reduced = LowRankAutoencoder(model, flux, components=4)
    >>> inputs = reduced.coefficients(flux)
    >>> inputs.shape
    torch.Size([50, 4])
    >>> history = fit(
    ...     reduced,
    ...     lambda m, rows: autoencoder_loss(m, flux[rows], inputs=inputs[rows], l1=1e-7, weight=1e-4),
    ...     index=torch.arange(50)[None],
    ...     epochs=8,
    ...     batch_size=10,
    ...     learning_rate=3e-3,
    ...     seeds=[0],
    ... )
    >>> trained = reduced.expanded()
    >>> bool(torch.allclose(trained(flux), reduced(inputs), atol=1e-4))
    True
    """

    shared = (*Autoencoder.shared, "offset", "patterns_in", "patterns_out", "lengths_in")

    @torch.no_grad()
    def __init__(self, model, sample, components, seed=0):
        nn.Module.__init__(self)
        self.flux_ceiling, n_pixels = model.flux_ceiling, sample.shape[1]
        logits = torch.logit(sample / model.flux_ceiling, 1e-3)
        offset = logits.mean(0)
        seen, spread = _components(model.standardised(sample), components, seed)
        shown, _ = _components(logits - offset, components, seed)
        lengths_in, length_out = _INPUT_LENGTH * (n_pixels * spread / spread[0]) ** 0.5, n_pixels**0.5
        for name, value in {
            "flux_mean": model.flux_mean,
            "flux_spread": model.flux_spread,
            "offset": offset,
            "patterns_in": lengths_in[:, None] * seen,
            "patterns_out": length_out * shown,
            "lengths_in": lengths_in,
        }.items():
            self.register_buffer(name, value)
        self.encoder, self.decoder = copy.deepcopy(model.encoder), copy.deepcopy(model.decoder)
        first, last = self.encoder[0], self.decoder[-1]
        first.replace(_product(seen, first.matrix) / lengths_in[:, None], first.bias)
        last.replace(_product(last.matrix, shown.T) / length_out, last.bias.new_zeros(len(last.bias), 1, components))

    def coefficients(self, flux):
        """Return the inputs (n, components) of spectra (n, n_pixels)."""
        return super().standardised(flux) @ self.patterns_in.T

    def standardised(self, coefficients):
        """Return the coefficients, which need no standardisation."""
        return coefficients

    def logits(self, h):
        """Return the output of the last layer before the sigmoid, (E, B, n_pixels)."""
        return _product(self.decoder[-1](h), self.patterns_out, self.offset)

    def input_gram(self):
        r"""Return :math:`W_1^T W_1` of the expanded network, as :meth:`Autoencoder.input_gram`."""
        first = self.encoder[0].matrix * self.lengths_in[:, None]
        return first.transpose(1, 2) @ first / self.flux_spread**2

    @torch.no_grad()
    def expanded(self):
        """Return the same networks as an :class:`Autoencoder` of fluxes."""
        members, _, width = self.encoder[0].matrix.shape
        n_pixels, bottleneck = len(self.flux_mean), self.encoder[-1].matrix.shape[2]
        full = Autoencoder(n_pixels, width, range(members), bottleneck=bottleneck, flux_ceiling=self.flux_ceiling)
        full.flux_mean, full.flux_spread = self.flux_mean, self.flux_spread
        full.encoder, full.decoder = copy.deepcopy(self.encoder), copy.deepcopy(self.decoder)
        first, last = full.encoder[0], full.decoder[-1]
        first.replace(_product(self.patterns_in.T, first.matrix), first.bias)
        last.replace(_product(last.matrix, self.patterns_out), _product(last.bias, self.patterns_out, self.offset))
        return full


def _product(left, right, offset=None):
    """left right + offset, one product for each member, so that a member has the same bits in any stack."""
    members = max(len(factor) for factor in (left, right) if factor.dim() == 3)
    left, right = (factor.expand(members, *factor.shape[-2:]) for factor in (left, right))
    return torch.bmm(left, right) if offset is None else torch.baddbmm(offset, left, right)


def _components(values, n_components, seed):
    """Principal components (n_components, n_pixels) of centred values (n, n_pixels), orthonormal, and their spreads."""
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # the same bytes for any number of threads
        _, singular, components = randomized_svd(values.cpu().numpy(), n_components, n_iter=2, random_state=seed)
    return torch.from_numpy(components).to(values), torch.from_numpy(singular).to(values) / len(values) ** 0.5
