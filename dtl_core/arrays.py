"""Functions for arrays of NumPy and of PyTorch, so that one implementation serves training and prediction.

Prediction runs on NumPy and does not import PyTorch. Both libraries share most names; here is what differs.
"""

from __future__ import annotations

import contextlib

import numpy as np

__all__ = [
    "check_shapes",
    "gradient",
    "library",
    "lower_median",
    "no_gradients",
    "part_of",
    "sigmoid",
    "silu",
    "softmax",
]


def library(array):
    """The module that an array belongs to: ``numpy`` or ``torch``."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    import torch

    return torch


def check_shapes(weights, shapes):
    """Compare weights with the shapes of a network, since NumPy would broadcast many wrong ones silently.

    Parameters
    ----------
    weights : dict of str to array
    shapes : dict of str to tuple of int
        Of the weights that the network needs.

    Raises
    ------
    ValueError
        A weight is missing or has another shape.
    """
    for name, shape in shapes.items():
        found = weights[name].shape if name in weights else None
        if found != shape and (found, shape) != ((1,), ()):  # files keep a single number as an array of one
            raise ValueError(f"{name} has shape {found}, not {shape}")


def gradient(values, step):
    """Derivative along the last axis by central differences, one-sided at both ends.

    Parameters
    ----------
    values : array or tensor of shape (..., n)
    step : float
        Distance between two values.

    Returns
    -------
    array or tensor of shape (..., n)
    """
    first, last = values[..., 1:2] - values[..., :1], values[..., -1:] - values[..., -2:-1]
    inside = (values[..., 2:] - values[..., :-2]) / 2
    return library(values).concatenate([first, inside, last], axis=-1) / step


def lower_median(values):
    """Median along the last axis, which is kept; of an even number of values the smaller of the two in the middle."""
    if library(values) is np:
        middle = (values.shape[-1] - 1) // 2
        return np.partition(values, middle, axis=-1)[..., middle : middle + 1]
    return values.median(-1, keepdim=True).values


def no_gradients(array):
    """A context in which PyTorch does not record operations for gradients; NumPy never does."""
    return contextlib.nullcontext() if library(array) is np else library(array).no_grad()


def sigmoid(values):
    """1 / (1 + exp(-x))."""
    if library(values) is np:
        from scipy.special import expit

        return expit(values)
    return values.sigmoid()


def silu(values):
    """Activation x / (1 + exp(-x))."""
    if library(values) is np:
        return values * sigmoid(values)
    from torch.nn import functional

    return functional.silu(values)


def softmax(values):
    """Exponentials along the last axis, divided by their sum."""
    if library(values) is np:
        from scipy.special import softmax as of_numpy

        return of_numpy(values, axis=-1)
    return values.softmax(-1)


def part_of(weights, prefix):
    """Entries of a dict whose names have a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
