"""What the tests of figures share."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(figure):
    """The figure, rendered: errors of labels and layouts show only then."""
    figure.canvas.draw()
    return figure
