"""The page that estimates a spectrum in the reader's browser, without any server, with the networks of the package.

    files = quick_look_files()     name below book/generated -> text
    files = network_files()        name below book/_extra/quick_look -> text: script and networks

``quick_look.js`` reads, prepares and estimates as ``dtl predict`` does where the velocity is known. What it leaves out:
FITS, several exposures, the measurement of the velocity, and the fit that the fourth score of strangeness needs.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from dtl_core.bridging import spectrum_model
from dtl_core.config import load_profile
from dtl_core.estimates import calibration, outliers
from dtl_core.lines import LINES
from dtl_core.models import filling, loading, specialist
from dtl_core.models.prediction import ONE_SIGMA
from dtl_core.parameters import PARAMETERS, TABLE
from dtl_core.public_data import registry
from dtl_core.reading import columns, keywords, readers, text
from dtl_core.spectra import operators
from dtl_core.spectra import spectrum as spectra
from dtl_core.synthetic import examples, generation

from .markdown import NBSP, number, table
from .sliders import TOP

__all__ = ["TOLERANCE", "network_files", "quick_look_files"]


# K, dex, dex, km/s: by how much the page's estimates may differ from those of dtl predict, in the test
TOLERANCE = dict(zip(PARAMETERS, (5.0, 0.01, 0.02, 0.2), strict=True))
SHOWN = 1  # of the example spectra
OFF = (0.5, 2.0)  # km/s: errors of the velocity whose consequences the page states
_SCRIPT = Path(__file__).with_suffix(".js")
_UNUSED = ("reference.latent", "reference.map", "reference.kind", "detector.offset", "detector.reference_disagreement")
_UNUSED += ("coarse", "emulator.plane", "emulator.about_plane")


def _shipped():
    return loading.load().specialists if registry.resources("models") else []


def _file_name(one):
    return f"R{one.resolving_power:06.0f}.js"


# ---------------------------------------------------------------- what the page loads


def _network(one):
    """A script that holds what the page needs of a specialist: a safetensors file in base64."""
    own, config = one.emulator, one.config
    arrays = {name: np.ascontiguousarray(v) for name, v in one.arrays.items() if name not in _UNUSED}
    arrays["emulator.table"] = own.table
    velocity = 2 * np.pi / len(own.mirrored) / float(own.frequency[1])  # of a pixel, km/s
    about = {
        "members": one.card["members"],
        "weighted": "reference.kind_weight" in arrays,
        "systematic": one.systematic_widths[:, ONE_SIGMA].tolist(),
        "step": one.step,
        "emulator": {"reach": own.reach, "length": len(own.mirrored), "velocity": velocity},
    }
    for name in ("window", "continuum", "chain"):
        about[name] = vars(getattr(config, name))
    held = base64.b64encode(save(arrays, metadata={"quick_look": json.dumps(about, sort_keys=True)})).decode()
    return f'(window.dtlNetworks = window.dtlNetworks || {{}})["{_file_name(one)}"] = "{held}";\n'


def network_files():
    """The script of the page and the networks of each resolving power, of which a page loads one when it needs it.

    Returns
    -------
    dict of str to str
        File name -> JavaScript.
    """
    return {_SCRIPT.name: _SCRIPT.read_text(encoding="utf-8")} | {_file_name(one): _network(one) for one in _shipped()}


def _settings(shipped, name, example):
    """Data that the script takes from the package, ready for JSON."""
    window = load_profile("demo").window
    return {
        "networks": [{"resolving_power": one.resolving_power, "file": _file_name(one)} for one in shipped],
        "labels": [{"symbol": p.symbol, "unit": p.unit, "digits": p.digits} for p in TABLE.values()],
        "lines": [[line.wavelength, line.species] for line in LINES],
        "top": TOP,
        "example": {"name": name, "text": example, "velocity": examples.VELOCITY[SHOWN]},
        "reading": {
            "words": columns.WORDS,
            "others": sorted(columns.OTHERS),
            "angstrom": keywords.ANGSTROM,
            "longest": text.MAX_TEXT,
            "range": spectra.RANGE,
            "long": spectra.LONG,
            "gap": spectra.GAP,
            "huge": spectra.HUGE,
            "most_masked": spectra.MOST_MASKED,
            "window": [window.start, window.stop],
        },
        "velocity_step": generation.VELOCITY_STEP,
        "step": operators.STEP,
        "rounds": filling.ROUNDS,
        "darkest": spectrum_model.DARKEST,
        "brightest": spectrum_model.BRIGHTEST,
        "level": calibration.LEVELS[ONE_SIGMA],
        "residual_window": outliers.RESIDUAL_WINDOW,
        "grain_window": outliers.GRAIN_WINDOW,
        "snr_edges": specialist.SNR_EDGES,
        "fewest": specialist.FEWEST_OF_A_CLASS,
        "strange": specialist.STRANGE,
        "edge": specialist.EDGE,
        "coolest": specialist.COOLEST,
        "fastest": specialist.FASTEST,
    }


# ---------------------------------------------------------------- the page


def _velocity_errors(paths):
    """Largest change of each estimate of the example spectra when their velocity is off by each of ``OFF``: (n, 4)."""
    model, found = loading.load(), []
    for velocity, path in zip(examples.VELOCITY, paths, strict=True):
        spectrum = readers.read(path)
        at = [velocity, *(velocity + sign * off for off in OFF for sign in (-1, 1))]
        examined = model.examine([model.prepare(spectrum, velocity=v) for v in at])
        median = np.array([one.median for one in examined])
        found.append(np.abs(median[1:] - median[0]).reshape(len(OFF), 2, -1).max(1))
    return np.max(found, axis=0)


def _rows(values):
    return [f"{number(value, f'.{TABLE[name].digits}f')}{NBSP}{TABLE[name].unit}"
            for name, value in zip(PARAMETERS, values, strict=True)]  # fmt: skip


def _block(settings):
    """The place of the page's controls, and their data, as HTML; nothing in it can end the element that holds it."""
    held = json.dumps(settings, sort_keys=True).replace("<", "\\u003c").replace("`", "\\u0060")
    return (
        '<div class="quick-look screen-only"></div>\n'
        f'<script type="application/json" id="quick-look-data">{held}</script>\n'
        f'<script src="../quick_look/{_SCRIPT.name}"></script>\n'
    )


def quick_look_files():
    """The page: name below ``book/generated`` -> Markdown.

    Returns
    -------
    dict of str to str
    """
    shipped = _shipped()
    if not shipped:
        return {"quick_look.md": _TITLE + "This package brings no trained models, so that there is nothing to try.\n"}
    with tempfile.TemporaryDirectory() as folder:
        paths, truth = examples.write_examples(folder)
        held = paths[SHOWN].read_text(encoding="utf-8")
        changes = _velocity_errors(paths)
    heads = [TABLE[name].symbol.replace("[", "\\[").replace("]", "\\]") for name in PARAMETERS]
    errors = [[f"velocity wrong by {off:g}{NBSP}km/s", *_rows(row)] for off, row in zip(OFF, changes, strict=True)]
    errors.append(["the page against `dtl predict`", *_rows(TOLERANCE.values())])
    star = truth.iloc[SHOWN]
    return {
        "quick_look.md": _PAGE.format(
            title=_TITLE,
            block=_block(_settings(shipped, paths[SHOWN].name, held)),
            low=number(shipped[-1].resolving_power, ",.0f").replace(",", NBSP),
            window="{:.0f}–{:.0f}".format(*spectra.WINDOW),
            errors=table(["at most", *heads], errors),
            example=", ".join(
                f"{head} {value}" for head, value in zip(heads, _rows(star[list(PARAMETERS)]), strict=True)
            ),
        )
    }


_TITLE = "(quick-look)=\n# Try it: your spectrum in the browser\n\n"
_PAGE = """{title}Drop the spectrum of an M dwarf here: this page estimates Teff, log g, \\[M/H\\] and v sin i with the
networks of the package. Nothing is installed, and the spectrum does not leave your computer: there is no server.

```{{raw}} html
<noscript><p>This page needs JavaScript. Without it, <code>dtl predict</code> does the same.</p></noscript>
{block}```

```{{container}} print-only
This page works on a screen only.
```

## What it needs

- A text file of a spectrum that covers {window} Å at a resolving power of {low} or more, with columns of wavelength
  and flux and, if known, the uncertainty. Without uncertainties the error bars are those of all simulated stars.
- **The velocity.** Lines that are shifted give wrong values. Enter 0 if the wavelengths are at rest, the radial
  velocity if they are barycentric, and the radial velocity minus the barycentric correction (BERV) if they are as
  observed. `dtl predict` measures the velocity; this page does not.
- Whether the wavelengths are in air or vacuum, and the resolving power, unless the file says so (`# MEDIUM: air`,
  `# R: 80000`).

The example is a simulated star, with {example}.

## How accurate it is

This is a quick look. Wavelengths, cosmic rays, blaze, continuum, resolution and gaps are treated as by
[`dtl predict`](../howto/own_star.md), and the same networks give the values, so that both agree. The intervals come
from the same calibration on simulated stars, with the same systematic errors. The table shows what an error of the
velocity does to the three example spectra at most, and what difference between the page and `dtl predict` the tests
accept, where both use the same velocity:

{errors}
Three of the four scores that call a spectrum strange are computed here. What they call strange, `dtl predict` calls
strange too; it may find more, because it also compares with a least-squares fit. It also reads FITS, combines
exposures, measures velocities, uses photometry and writes catalogues: use it for everything that you publish.
"""
