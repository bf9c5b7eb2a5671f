"""Draw the figure of the README: an example star and the shipped model.

python tools/readme_figure.py
"""

import io
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from dtl_core.files import write_atomic  # noqa: E402
from dtl_core.models import loading, prediction, report  # noqa: E402
from dtl_core.synthetic.examples import write_examples  # noqa: E402

TARGET = Path(__file__).resolve().parents[1] / "book" / "_static" / "readme_spectrum.png"


def draw(name="shipped", dpi=90):
    """Draw the second example star, of medium temperature; return a PNG as bytes."""
    model = loading.load(name)
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = write_examples(folder)
        (star,), _ = prediction.examine(model, paths[1])
    figure, out = report.spectrum_figure(model.specialist_for(star.resolving_power), star), io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    plt.close(figure)
    return out.getvalue()


if __name__ == "__main__":
    print(write_atomic(TARGET, draw(*sys.argv[1:2])))
