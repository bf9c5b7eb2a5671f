"""Layers with an ensemble axis: E networks of one architecture train in one pass, and a single network is E = 1."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["StackedLinear", "glorot", "join", "member_generators", "put", "take"]


class StackedLinear(nn.Module):
    """Dense layer y = x W + b for every member of a stack.

    It maps x of shape (E, B, n_in), or (B, n_in) or (1, B, n_in) shared by all members, to y of shape (E, B, n_out).

    Parameters
    ----------
    n_in, n_out : int
    generators : list of torch.Generator
        One per member, see :func:`member_generators`.
    """

    shared = ()

    def __init__(self, n_in, n_out, generators):
        super().__init__()
        weight = glorot(generators, n_in, n_out, fan_in=n_in, fan_out=n_out)
        self.replace(weight, torch.zeros(len(generators), 1, n_out))

    def replace(self, matrix, bias):
        """Replace W (E, n_in, n_out) and b (E, 1, n_out), whose shapes may be others than before."""
        # On a CPU, sums over many inputs take half the time if the inputs are contiguous in memory.
        self.gathers = matrix.shape[1] > matrix.shape[2]
        weight = matrix.transpose(1, 2) if self.gathers else matrix
        self.weight = nn.Parameter(weight.detach().contiguous())
        self.bias = nn.Parameter(bias.detach().contiguous())

    def forward(self, x):
        """Apply the layer."""
        if x.dim() == 2 or len(x) == 1:
            x = x.expand(len(self.weight), *x.shape[-2:])
        if self.gathers:
            columns = x.transpose(1, 2).contiguous()  # no copy after another such layer
            return torch.baddbmm(self.bias.transpose(1, 2), self.weight, columns).transpose(1, 2)
        return torch.baddbmm(self.bias, x, self.weight)

    @property
    def matrix(self):
        """W of shape (E, n_in, n_out); ``weight`` stores its transpose if n_in > n_out."""
        return self.weight.transpose(1, 2) if self.gathers else self.weight


def member_generators(seeds):
    """One random generator per member, so that a member's initial weights do not depend on the rest of its stack."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def glorot(generators, *shape, fan_in, fan_out):
    """Glorot-uniform weights ``(E, *shape)``: the default of Keras, which the paper used."""
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return torch.stack([(torch.rand(*shape, generator=g) * 2 - 1) * bound for g in generators])


def take(model, members):
    """Weights of some members by name, with the buffers that all members share (``model.shared``)."""
    return {name: value if name in model.shared else value[members] for name, value in model.state_dict().items()}


def put(model, members, other):
    """Overwrite the weights of some members of a stack with those of another stack, in order."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name not in model.shared:
                value[members] = other.state_dict()[name]


def join(states, shared):
    """Concatenate the weights of several stacks; buffers named in ``shared`` are taken from the first."""
    return {n: v if n in shared else torch.cat([state[n] for state in states]) for n, v in states[0].items()}
