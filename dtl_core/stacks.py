"""Layers that carry an ensemble axis: E models of one shape train in one pass, and a single model is E = 1."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["StackedLinear", "glorot", "member_generators"]


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
    x : (E, B, n_in), or (B, n_in) shared by all members;  y : (E, B, n_out)
    """

    def __init__(self, n_in, n_out, generators):
        super().__init__()
        self.weight = nn.Parameter(glorot(generators, n_in, n_out, fan_in=n_in, fan_out=n_out))  # E, in, out
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, n_out))

    def forward(self, x):
        if x.dim() == 2:
            x = x.expand(len(self.weight), *x.shape)
        return torch.baddbmm(self.bias, x, self.weight)
