"""The dense autoencoder of the paper (section 3.1) with its loss: MSE + L1 on activations + contractive penalty."""

from __future__ import annotations

import torch
from torch import nn

from ..files import load_arrays
from .stacks import StackedLinear, member_generators, take

__all__ = ["Autoencoder", "autoencoder_loss", "contractive_penalty", "layer_widths", "load_autoencoders"]


def layer_widths(n_pixels, width, bottleneck=32):
    """Widths from input to bottleneck: n_pixels, n, 3n/4, n/2, n/4, n/8, bottleneck."""
    return [n_pixels, width, 3 * width // 4, width // 2, width // 4, width // 8, bottleneck]


class Autoencoder(nn.Module):
    """A stack of E symmetric dense autoencoders: ReLU everywhere, the bottleneck included, and a sigmoid output.

    Arguments
    ---------
    n_pixels : int
    width : int, neurons of the first layer, a multiple of 8
    seeds : one integer a member
    flux_ceiling : the network sees flux / flux_ceiling, since a sigmoid cannot exceed 1
    sample : (n, n_pixels), optional
        Training fluxes. With them the input is centred on their mean and divided by their overall spread, and the
        output starts at their mean: the same family of functions (the first layer is affine), reached in far fewer
        steps, because fluxes near 1 everywhere make the plain problem badly conditioned. The paper goes without.

    Shapes
    ------
    flux : (B, n_pixels) or (E, B, n_pixels), continuum = 1;  latent : (E, B, bottleneck)
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

    def hidden(self, flux):
        """Activations of all encoder layers, the last being the latent."""
        activations, h = [], (flux / self.flux_ceiling - self.flux_mean) / self.flux_spread
        for layer in self.encoder:
            h = torch.relu(layer(h))
            activations.append(h)
        return activations

    def encode(self, flux):
        """Latent (E, B, bottleneck) of flux."""
        return self.hidden(flux)[-1]

    def decode(self, latent, activations=None):
        """Flux (E, B, n_pixels) of latents; hidden activations are appended to ``activations``."""
        h = latent
        for layer in self.decoder[:-1]:
            h = torch.relu(layer(h))
            if activations is not None:
                activations.append(h)
        return torch.sigmoid(self.decoder[-1](h)) * self.flux_ceiling

    def forward(self, flux):
        return self.decode(self.encode(flux))

    def members(self, members):
        """A stack of some members of this one, with weights of its own."""
        weights = take(self, members)
        n_pixels, width = self.encoder[0].matrix.shape[1:]
        bottleneck = self.encoder[-1].matrix.shape[2]
        out = Autoencoder(n_pixels, width, members, bottleneck=bottleneck, flux_ceiling=self.flux_ceiling)
        out.load_state_dict({name: value.clone() for name, value in weights.items()})
        return out.to(weights["flux_mean"].device, weights["flux_mean"].dtype)

    def freeze(self, n_layers):
        """Stop the training of the first ``n_layers`` encoder layers."""
        for layer in self.encoder[:n_layers]:
            layer.requires_grad_(False)
        return self


def contractive_penalty(model, activations, form="paper"):
    """Contractive penalty of each member: (E,).

    exact: the squared Frobenius norm of the Jacobian of the latent h with respect to x = flux / flux_ceiling,
        sum_ij (dh_j / dx_i)^2, by the chain rule through the ReLU masks (Rifai et al. 2011).
    paper: what the published code computes: sum_j [h_j (1 - h_j)]^2 sum_i W_ij^2, the derivative of a sigmoid although
        h comes from a ReLU, W the bottleneck's weights alone, and constant: no gradient reaches them.

    Arguments
    ---------
    activations : from ``model.hidden``: encoder layers, the last the latent (E, B, bottleneck)

    Returns
    -------
    (E,) mean over the batch.
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
    first = model.encoder[0].matrix  # E, n_pixels, n
    gram = first.transpose(1, 2) @ first  # spares the factor n_pixels: |M W'|^2 = tr(M W'W M')
    return ((rows @ gram.unsqueeze(1)) * rows).sum((2, 3)).mean(1) / model.flux_spread**2


def autoencoder_loss(model, flux, *, l1, weight, form="paper"):
    """Loss of each member: MSE + l1 * sum|activations| + weight * contractive penalty; all means over the batch.

    Arguments
    ---------
    flux : (B, n_pixels) or (E, B, n_pixels), continuum = 1; the loss is in units of flux / flux_ceiling, as the network
        sees it
    l1 : (E,) on every hidden layer but the first of the encoder and the bottleneck
    weight : float, of the penalty; 0 leaves it out, as the grid search does

    Returns
    -------
    (E,)
    """
    activations = model.hidden(flux)
    decoded = []
    output = model.decode(activations[-1], decoded)
    loss = (((output - flux) / model.flux_ceiling) ** 2).mean((1, 2))
    magnitude = sum(h.abs().sum(2).mean(1) for h in activations[1:-1] + decoded)
    loss = loss + l1 * magnitude
    if weight:
        loss = loss + weight * contractive_penalty(model, activations, form)
    return loss


def load_autoencoders(config, folders, width, device="cpu"):
    """The stack of autoencoders of one width whose weights lie in stages' folders."""
    import torch

    pass
    from .stacks import join

    states = [
        {name: torch.from_numpy(array) for name, array in load_arrays(folder / "weights.safetensors").items()}
        for folder in folders
    ]
    weights, settings = join(states, Autoencoder.shared), config.autoencoder
    n_pixels, seeds = len(weights["flux_mean"]), range(len(folders))
    model = Autoencoder(n_pixels, width, seeds, bottleneck=settings.bottleneck, flux_ceiling=settings.flux_ceiling)
    model.load_state_dict(weights)
    return model.to(device)
