"""Functions that serve NumPy and PyTorch, each against an independent implementation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dtl_core import arrays

VALUES = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(0, 3, (2, 3, 9)).astype("f4"))
BOTH = (np.asarray, torch.as_tensor)


@given(VALUES)
def test_each_function_is_the_known_one_with_both_libraries(values):
    expected = {
        arrays.gradient: np.gradient(values.astype(float), 0.5, axis=-1),
        arrays.sigmoid: 1 / (1 + np.exp(-values.astype(float))),
        arrays.silu: values / (1 + np.exp(-values.astype(float))),
        arrays.softmax: np.exp(values.astype(float)) / np.exp(values.astype(float)).sum(-1, keepdims=True),
        arrays.lower_median: np.sort(values, axis=-1)[..., 4:5],
    }
    for function, known in expected.items():
        more = (0.5,) if function is arrays.gradient else ()
        for convert in BOTH:
            found = function(convert(values), *more)
            assert arrays.library(found) is arrays.library(convert(values))
            np.testing.assert_allclose(np.asarray(found), known, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("convert", BOTH)
def test_of_an_even_number_the_smaller_middle_value_is_taken(convert):
    np.testing.assert_array_equal(arrays.lower_median(convert([4.0, 1.0, 3.0, 2.0])), [2.0])


def test_no_gradients_are_recorded_in_the_context():
    weight = torch.ones(2, requires_grad=True)
    with arrays.no_gradients(np.ones(2)):
        assert (2 * weight).requires_grad
    with arrays.no_gradients(weight):
        assert not (2 * weight).requires_grad


def test_weights_have_the_shapes_of_the_network():
    weights, shapes = {"a": np.ones((2, 3)), "b": np.ones(1)}, {"a": (2, 3), "b": ()}
    arrays.check_shapes(weights | {"another": np.ones(9)}, shapes)
    for wrong in ({"a": (2, 1)}, {"a": (2, 3, 1)}, {"b": (3,)}, {"c": (1,)}):
        with pytest.raises(ValueError, match="has shape"):
            arrays.check_shapes(weights, shapes | wrong)


def test_a_part_of_the_weights_has_short_names():
    assert arrays.part_of({"a.b": 1, "a.c.d": 2, "ab": 3}, "a.") == {"b": 1, "c.d": 2}
