"""Layers that carry an ensemble axis: E models of one shape train in one pass, and a single model is E = 1."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["StackedLinear", "glorot", "join", "member_generators", "put", "take"]


def member_generators(seeds):
    """A random generator for each member, so that it starts the same in any stack it trains in."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def glorot(generators, *shape, fan_in, fan_out):
    """Glorot-uniform weights (n_members, *shape): the initialisation of Keras, with which the paper was computed."""
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return torch.stack([(torch.rand(*shape, generator=g) * 2 - 1) * bound for g in generators])


class StackedLinear(nn.Module):
    """y = x W + b for every member of a stack.

    Arguments
    ---------
    n_in, n_out : int
    generators : list of torch.Generator, one a member

    Shapes
    ------
    x : (E, B, n_in), or (B, n_in) or (1, B, n_in) shared by all members;  y : (E, B, n_out)
    """

    shared = ()

    def __init__(self, n_in, n_out, generators):
        super().__init__()
        weight = glorot(generators, n_in, n_out, fan_in=n_in, fan_out=n_out)
        # On a CPU, sums over many inputs take half the time where these lie side by side in memory.
        self.gathers = n_in > n_out
        self.weight = nn.Parameter(weight.transpose(1, 2).contiguous() if self.gathers else weight)
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, n_out))

    def forward(self, x):
        if x.dim() == 2 or len(x) == 1:
            x = x.expand(len(self.weight), *x.shape[-2:])
        if self.gathers:
            columns = x.transpose(1, 2).contiguous()  # they are already, after another such layer
            return torch.baddbmm(self.bias.transpose(1, 2), self.weight, columns).transpose(1, 2)
        return torch.baddbmm(self.bias, x, self.weight)

    @property
    def matrix(self):
        """W (E, n_in, n_out), whichever way it is stored: from many inputs to few outputs as (E, n_out, n_in)."""
        return self.weight.transpose(1, 2) if self.gathers else self.weight


def take(model, members):
    """Weights of some members, by name; what they share (``model.shared``) is there whole."""
    return {name: value if name in model.shared else value[members] for name, value in model.state_dict().items()}


def put(model, members, other):
    """Give some members of a stack the weights of another stack's."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name not in model.shared:
                value[members] = other.state_dict()[name]


def join(states, shared):
    """Weights of one stack from those of several, in order; ``shared`` names what all have in common."""
    return {n: v if n in shared else torch.cat([state[n] for state in states]) for n, v in states[0].items()}
