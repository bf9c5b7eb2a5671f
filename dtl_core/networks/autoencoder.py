r"""The dense autoencoder of the paper (section 3.1): model and loss.

The encoder maps a spectrum x of D pixels to a latent z of 32 numbers, the decoder maps z back to a spectrum:

.. math:: h_0 = x, \quad h_l = \mathrm{ReLU}(h_{l-1} W_l + b_l), \quad z = h_6, \quad \hat x = g(z)

Both are trained together on synthetic spectra to minimise (:func:`autoencoder_loss`)

.. math:: L = \frac{1}{D} \|x - \hat x\|^2 + \lambda \sum_l \|h_l\|_1 + w \, \|\partial z / \partial x\|_F^2

:mod:`~dtl_core.networks.training` holds the training loop, :mod:`~dtl_core.networks.fine_tuning` adapts a trained model
to observed spectra, and :mod:`~dtl_core.networks.regressor` predicts stellar parameters from z.

All networks here are stacks: E networks of one architecture, each with its own seed, are trained in one pass. Weights,
latents and losses have a leading axis of length E. A single network is a stack with E = 1.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from ..files import load_arrays
from .stacks import StackedLinear, join, member_generators, take

__all__ = ["Autoencoder", "autoencoder_loss", "contractive_penalty", "layer_widths", "load_autoencoders"]


def layer_widths(n_pixels, width, bottleneck=32):
    """Widths from input to bottleneck, with n = ``width``: n_pixels, n, 3n/4, n/2, n/4, n/8, bottleneck."""
    return [n_pixels, width, 3 * width // 4, width // 2, width // 4, width // 8, bottleneck]


class Autoencoder(nn.Module):
    """A stack of E symmetric dense autoencoders.

    All layers, including the bottleneck, have ReLU activations; the output has a sigmoid.

    Parameters
    ----------
    n_pixels : int
        Number of pixels of a spectrum, 3501 in the paper.
    width : int
        Neurons of the first layer, a multiple of 8; see :func:`layer_widths`.
    seeds : sequence of int, length E
        Seeds of the initial weights, one per member.
    bottleneck : int
        Length of the latent.
    flux_ceiling : float
        The network sees flux / flux_ceiling, because a sigmoid cannot exceed 1.
    sample : tensor of shape (n, n_pixels), optional
        Training fluxes. If given, the input is centred on their mean and divided by their overall spread, and the
        output starts at their mean. Since the first layer is affine, the family of functions stays the same, but
        training needs far fewer steps: fluxes near 1 everywhere make the plain problem badly conditioned. The paper
        does not centre.

    References
    ----------
    Mas-Buitrago et al. (2024, A&A 687, A205), section 3.1.

    Examples
    --------
    Two autoencoders of the same architecture, trained together on spectra with one absorption line:

    >>> import torch
    >>> from dtl_core.networks.autoencoder import Autoencoder, autoencoder_loss
    >>> from dtl_core.networks.training import fit
    >>> pixel = torch.arange(40)
    >>> flux = 1 - torch.linspace(0.1, 0.8, 50)[:, None] * torch.exp(-((pixel - 20) ** 2) / 50)
    >>> model = Autoencoder(n_pixels=40, width=64, seeds=[0, 1], bottleneck=8, sample=flux)
    >>> model.encode(flux).shape
    torch.Size([2, 50, 8])
    >>> history = fit(
    ...     model,
    ...     lambda m, rows: autoencoder_loss(m, flux[rows], l1=1e-7, weight=1e-4),
    ...     index=torch.arange(50)[None],
    ...     epochs=8,
    ...     batch_size=10,
    ...     learning_rate=3e-3,
    ...     seeds=[0],
    ... )
    >>> bool((history["train"][-1] < 0.5 * history["train"][0]).all())
    True
    """

    shared = ("flux_mean", "flux_spread")

    def __init__(self, n_pixels, width, seeds=(0,), *, bottleneck=32, flux_ceiling=1.1, sample=None):
        super().__init__()
        generators = member_generators(seeds)
        widths = layer_widths(n_pixels, width, bottleneck)
        back = widths[::-1]
        self.flux_ceiling = flux_ceiling
        self.encoder = nn.ModuleList(
            StackedLinear(a, b, generators) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.decoder = nn.ModuleList(StackedLinear(a, b, generators) for a, b in zip(back[:-1], back[1:], strict=True))
        mean, spread = torch.zeros(n_pixels), torch.ones(())
        if sample is not None:
            mean = sample.mean(0) / flux_ceiling
            spread = (sample / flux_ceiling - mean).std()
            with torch.no_grad():
                self.decoder[-1].bias.copy_(torch.logit(mean, 1e-3).expand_as(self.decoder[-1].bias))
        self.register_buffer("flux_mean", mean)
        self.register_buffer("flux_spread", spread)

    def standardised(self, flux):
        """Return what the first layer sees: (flux / flux_ceiling - flux_mean) / flux_spread."""
        return (flux / self.flux_ceiling - self.flux_mean) / self.flux_spread

    def hidden(self, flux):
        """Return the activations of all encoder layers; the last is the latent.

        Parameters
        ----------
        flux : tensor of shape (B, n_pixels) or (E, B, n_pixels)
            Spectra with continuum = 1, shared by all members or one set per member.

        Returns
        -------
        list of tensors of shape (E, B, layer width)
        """
        activations, h = [], self.standardised(flux)
        for layer in self.encoder:
            h = torch.relu(layer(h))
            activations.append(h)
        return activations

    def input_gram(self):
        r"""Return :math:`W_1^T W_1` (E, n, n), with the first layer's weights per unit of flux / flux_ceiling."""
        first = self.encoder[0].matrix
        return first.transpose(1, 2) @ first / self.flux_spread**2

    def encode(self, flux):
        """Return the latents (E, B, bottleneck) of spectra (B, n_pixels) or (E, B, n_pixels)."""
        return self.hidden(flux)[-1]

    def decode(self, latent, activations=None):
        """Return the spectra (E, B, n_pixels) of latents (E, B, bottleneck).

        If a list ``activations`` is given, the activations of the hidden layers are appended to it.
        """
        h = latent
        for layer in self.decoder[:-1]:
            h = torch.relu(layer(h))
            if activations is not None:
                activations.append(h)
        return torch.sigmoid(self.logits(h)) * self.flux_ceiling

    def logits(self, h):
        """Return the output of the last layer before the sigmoid, (E, B, n_pixels)."""
        return self.decoder[-1](h)

    def forward(self, flux):
        """Reconstruct spectra: decode(encode(flux))."""
        return self.decode(self.encode(flux))

    def freeze(self, n_layers):
        """Exclude the first ``n_layers`` encoder layers from training, and return the model."""
        for layer in self.encoder[:n_layers]:
            layer.requires_grad_(False)
        return self

    def members(self, members):
        """Return a new stack with copies of some members, given by their numbers."""
        weights, stack = take(self, members), copy.deepcopy(self)
        for name, parameter in stack.named_parameters():
            parameter.data = weights[name].clone()
        return stack


def autoencoder_loss(model, flux, *, l1, weight, form="paper", inputs=None):
    r"""Loss of each member: reconstruction error, L1 penalty on activations, and contractive penalty.

    .. math:: L = \frac{1}{D} \|x - \hat x\|^2 + \lambda \sum_l \|h_l\|_1 + w \, P(x)

    averaged over the batch, with x = flux / flux_ceiling of D pixels. The sum runs over all hidden layers but the first
    encoder layer and the bottleneck.

    Parameters
    ----------
    model : Autoencoder
    flux : tensor of shape (B, n_pixels) or (E, B, n_pixels)
        Spectra with continuum = 1.
    l1 : float or tensor of shape (E,)
        :math:`\lambda`, about 1e-7 in the paper.
    weight : float
        w, 1e-4 in the paper. The grid search leaves the contractive penalty out (0).
    form : {"paper", "exact"}
        P, see :func:`contractive_penalty`.
    inputs : tensor, optional
        What ``model.hidden`` takes, if not the fluxes; see :class:`~dtl_core.networks.low_rank.LowRankAutoencoder`.

    Returns
    -------
    tensor of shape (E,)
    """
    activations = model.hidden(flux if inputs is None else inputs)
    decoded = []
    output = model.decode(activations[-1], decoded)
    loss = (((output - flux) / model.flux_ceiling) ** 2).mean((1, 2))
    magnitude = sum(h.abs().sum(2).mean(1) for h in activations[1:-1] + decoded)
    loss = loss + l1 * magnitude
    if weight:
        loss = loss + weight * contractive_penalty(model, activations, form)
    return loss


def contractive_penalty(model, activations, form="paper"):
    r"""Contractive penalty of each member: how strongly the latent z reacts to changes of the input x.

    Parameters
    ----------
    model : Autoencoder
    activations : list of tensors
        Encoder activations from :meth:`Autoencoder.hidden`.
    form : {"paper", "exact"}
        ``exact`` is the formula of the paper, the squared Frobenius norm of the Jacobian,

        .. math:: P = \sum_{ij} (\partial z_j / \partial x_i)^2

        computed by the chain rule through all ReLU layers. ``paper`` is what the published code computes,

        .. math:: P = \sum_j [z_j (1 - z_j)]^2 \sum_i W_{ij}^2

        This is the Jacobian of a sigmoid layer, although the bottleneck is a ReLU layer, and of the bottleneck alone,
        with weights W. The code copies W into a new variable, so W counts as a constant and receives no gradient.

    Returns
    -------
    tensor of shape (E,)
        Mean over the batch.

    References
    ----------
    Rifai et al. (2011, ICML), contractive autoencoders.
    """
    latent = activations[-1]
    if form == "paper":
        weight = model.encoder[-1].matrix.detach()  # E, n/8, 32
        return ((latent * (1 - latent)) ** 2 * (weight**2).sum(1, keepdim=True)).sum(2).mean(1)
    # rows of the Jacobian, from the latent back to the first hidden layer: (E, B, bottleneck, n)
    rows = torch.diag_embed((latent > 0).to(latent.dtype))
    for layer, below in zip(model.encoder[:0:-1], activations[-2::-1], strict=True):
        rows = rows @ layer.matrix.transpose(1, 2).unsqueeze(1)
        rows = rows * (below > 0).unsqueeze(2)
    # |M W'|^2 = tr(M W'W M') avoids a tensor with n_pixels columns per spectrum
    return ((rows @ model.input_gram().unsqueeze(1)) * rows).sum((2, 3)).mean(1)


def load_autoencoders(config, folders, width, device="cpu"):
    """Load stored autoencoders of one width as one stack.

    Parameters
    ----------
    config : Config
    folders : sequence of Path
        Each holds a ``weights.safetensors`` with one or more members.
    width : int
    device : str or torch.device

    Returns
    -------
    Autoencoder
    """
    states = [
        {name: torch.from_numpy(array) for name, array in load_arrays(folder / "weights.safetensors").items()}
        for folder in folders
    ]
    weights, settings = join(states, Autoencoder.shared), config.autoencoder
    n_pixels, seeds = len(weights["flux_mean"]), range(len(folders))
    model = Autoencoder(n_pixels, width, seeds, bottleneck=settings.bottleneck, flux_ceiling=settings.flux_ceiling)
    model.load_state_dict(weights)
    return model.to(device)
