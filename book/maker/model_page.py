"""Pages of the book on the trained models of the package, and on the precision of every numerical step.

    model_files()      models.md and precision.md, below ``book/generated``

All numbers come from the models' cards (:mod:`dtl_core.models.making`) and from :data:`CONTRACT`.
"""

from __future__ import annotations

from dtl_core.errors import DataError
from dtl_core.estimates import gravity
from dtl_core.models import loading, making, specialist
from dtl_core.parameters import PARAMETERS, heading
from dtl_core.pipeline import records
from dtl_core.public_data import registry

from .markdown import NBSP, code, escape, number, table
from .real_stars_page import real_stars_summary

__all__ = ["CONTRACT", "model_files", "models_page", "precision_page"]


# Tolerances that tests hold: step, off by at most, against what, file and function of the test without "test_".
CONTRACT = (
    ("air to vacuum and back", "1e-9 Å", "specutils", "operators", "refraction_agrees_with_specutils"),
    ("rotation and instrument", "1e-3", "PyAstronomy, as precise", "operators", "broadening_agrees_with_pyastronomy"),
    ("transform of the rotation profile", "2e-6", "an integral, after Gray (2005)", "operators",
     "transfer_is_the_fourier_transform_of_grays_profile"),
    ("resampling, linear and spline", "1e-10", "specutils", "operators", "resampling_agrees_with_specutils"),
    ("resampling that conserves flux", "2e-3", "specutils, which draws steps where we draw curves", "operators",
     "resampling_agrees_with_specutils"),
    ("flux that this resampling keeps", "1e-9 of it", "the sum before", "operators", "flux_is_conserved"),
    ("spline of the continuum", "1e-7", "FITPACK, in SciPy", "operators", "continuum_spline_is_fitpacks"),
    ("continuum of M dwarfs", "0.003", "GISIC, recorded once", "gisic", "continuum_is_that_of_gisic"),
    ("continuum over narrow lines", "0.012, where it slopes 0.035", "a known continuum", "operators",
     "continuum_finds_a_smooth_level_under_narrow_lines"),
    ("library to network, rms", "5e-4", "a loop of PyAstronomy's functions", "generation",
     "vectorised_chain_equals_a_loop_of_pyastronomy_calls"),
    ("interpolation over 200 K, rms", "3e-4", "a left-out node", "generation", "expand_finds_a_node_that_was_left_out"),
    ("emulator, rms", "0.02 of their spread", "unseen", "emulator", "the_emulator_gives_spectra_that_it_has_not_seen"),
    ("emulator: rotation", "2e-3", "PyAstronomy", "emulator", "rotation_widens_an_isolated_line_as_pyastronomy_does"),
    ("emulator: fit", "0.01 of the range", "known labels", "emulator", "least_squares_finds_labels_between_the_grids"),
    ("to a lower resolving power", "1e-3", "PyAstronomy", "chain",
     "matching_the_resolution_is_pyastronomys_and_two_steps_are_one"),
    ("radial velocity, S/N 400", "0.3 of a pixel of 0.01 Å", "a known shift", "chain",
     "velocity_is_found_to_a_third_of_a_pixel"),
    ("radial velocity, S/N 100, rms", "0.3 of a pixel of 0.01 Å", "a known shift", "chain",
     "velocity_is_found_to_a_third_of_a_pixel_rms_at_lower_snr"),
    ("whole chain of a spectrum, rms", "0.006, linear 0.012", "the spectrum at rest", "chain",
     "preparing_gives_the_rest_frame_spectrum_back"),
    ("contractive penalty", "1e-7 of it", "autograd", "networks", "exact_penalty_is_the_norm_of_autograds_jacobian"),
    ("slopes of the loss", "1e-4", "finite differences", "networks", "loss_gradients_agree_with_finite_differences"),
    ("bandwidth of the density", "0.01 of it", "KDEpy", "density", "isj_bandwidth_is_kdepys_within_its_limits"),
    ("calibrated intervals", "1e-7 of them", "MAPIE", "calibration", "intervals_are_mapies_for_asymmetric_scores"),
    ("distance of the domains", "1e-9 of it", "scikit-learn", "gap", "nearest_distance_agrees_with_scikit_learn"),
    ("U, V, W", "1e-6 of the speed", "Johnson & Soderblom (1987)", "kinematics",
     "velocities_and_errors_are_those_of_johnson_and_soderblom"),
    ("page that estimates in the browser", "5 K, 0.01 and 0.02 dex, 0.2 km/s", "dtl predict", "quick_look",
     "it_agrees_with_dtl_predict"),
    ("a star alone", "2e-5 of it", "the same among others", "models", "predicting_alone_or_in_company_gives_the_same"),
)  # fmt: skip


_NAMES = {name: escape(heading(name)) for name in PARAMETERS}
_FORMS = dict(zip(PARAMETERS, (".0f", ".3f", ".3f", ".2f"), strict=True))


def model_files():
    """Name below ``book/generated`` -> text; they state it if the package has no models."""
    shipped = loading.load().specialists if registry.resources("models") else []
    return {"models.md": models_page(shipped), "precision.md": precision_page(shipped)}


def _thousands(value):
    return number(value, ",.0f").replace(",", NBSP)


def _distinct(values):
    return ", ".join(dict.fromkeys(values))


def _figures(specialists):
    """(specialist, range of S/N, figures) of all test surveys, the best S/N first."""
    found = [(one, *row) for one in specialists for row in one.card.get("figures", {}).items()]
    return sorted(found, key=lambda row: (-row[0].resolving_power, -float(row[1].partition("-")[0])))


def _files(specialists):
    known, rows, above = {one.name: one for one in registry.resources("models")}, [], ""
    for one in specialists:
        entry = known.get(f"models/R{one.resolving_power:06.0f}.safetensors")
        file = f"{code(entry.name)}, {entry.size / 1e6:.1f} MB" if entry else ""
        least, digest = _thousands(0.98 * one.resolving_power), f"`{entry.sha256[:12]}`" if entry else ""
        rows.append([_thousands(one.resolving_power), f"from {least}{above}", file, digest])
        above = f" to {least}"
    return table(["R", "takes spectra of R", "file", "SHA-256"], rows)


def _making(specialists):
    cards, rows = [one.card for one in specialists], {}
    training = [card["training"] for card in cards if "training" in card]
    libraries = [f"{code(c['library'])}, SHA-256 `{c.get('library_sha256', 'not known')[:12]}`" for c in cards]
    for name, form in zip(PARAMETERS, (".0f", ".1f", ".1f", ".1f"), strict=True):
        low, high = (f(card["labels"][name][k] for card in cards) for k, f in enumerate((min, max)))
        rows[f"labels: {_NAMES[name]}"] = f"{number(low, form)} to {number(high, form)}"
    rows |= {
        "training spectra, each model": _distinct(_thousands(t["n_spectra"]) for t in training),
        "networks, each": _distinct(str(card["members"]) for card in cards),
        "epochs of a network, of the emulator": _distinct(f"{t['epochs']}, {t['emulator_epochs']}" for t in training),
        "noise of a pixel in training, at most": _distinct(f"{t['noise']:g}" for t in training),
        "simulated stars that calibrate the errors": _distinct(_thousands(t["reference_stars"]) for t in training),
        "seed": _distinct(str(t["seed"]) for t in training),
        "made": _distinct(f"{escape(card['made'])}, version {escape(card['version'])}" for card in cards),
        "on": _distinct(escape(card["machine"]["gpu"] or card["machine"]["processor"]) for card in cards),
    }
    return table(["", ""], [["library", _distinct(libraries)], *([name, value] for name, value in rows.items())])


def _performance(specialists):
    errors, covered = [], []
    for one, snr, found in _figures(specialists):
        who, own = [_thousands(one.resolving_power), snr.replace("-", "–")], [(found[p], _FORMS[p]) for p in PARAMETERS]
        errors.append([*who, *(f"{number(v['rmse'], f)} ({number(v['bias'], '+' + f)})" for v, f in own)])
        shares = [f"{100 * v['inside_68']:.0f}, {100 * v['inside_90']:.0f}" for v, _ in own]
        covered.append([*who, *shares, f"{100 * found['false_flags']:.1f}"])
    stars = _distinct(_thousands(found["n_stars"]) for _, _, found in _figures(specialists))
    head, classes = ["R", "S/N", *_NAMES.values()], " and ".join(f"{edge:g}" for edge in specialist.SNR_EDGES)
    return (
        f"Each row: {stars} simulated stars of surveys that the networks were neither trained nor calibrated on. S/N is"
        f" per pixel; errors are calibrated on stars of the same class of S/N, with limits at {classes}.\n\n"
        "```{table} Root mean square error; in brackets the mean of estimate minus truth.\n:name: tab-model-rmse\n\n"
        f"{table(head, errors)}```\n\n```{{table}} Per cent of true values inside the 68 % and the 90 % intervals, and "
        f"per cent of these ordinary stars that are flagged as unusual.\n:name: tab-model-coverage\n\n"
        f"{table([*head, 'flagged'], covered)}```\n"
    )


def _gravity(specialists):
    """Log g beside the relations: of the cards where these have them, else of the stars that calibrate the errors."""
    rows, every = [], []
    for one in specialists:
        measured = {snr.replace("-", "–"): found for snr, found in one.card.get("figures", {}).items()
                    if set(gravity.RELATIONS) <= set(found)}  # fmt: skip
        measured = measured or ({"calibration stars": one.gravity_errors()} if hasattr(one, "reference") else {})
        for snr, found in measured.items():
            values = found["logg"]["rmse"], *(found[name] for name in gravity.RELATIONS)
            rows.append([_thousands(one.resolving_power), snr, *(number(v, _FORMS["logg"]) for v in values)])
        every += measured.values()
    if not rows:
        return ""
    head = ["R", "S/N", "spectrum", *(escape(title) for title in gravity.TITLES.values())]
    return (
        "On the main sequence, log g nearly follows from Teff and [M/H]. True log g of the simulated stars follows a "
        "relation of its own with a scatter of 0.05 dex; it is the fair comparison on them. The main-sequence relation "
        "is that of real stars (the [method page](../method.md)).\n\n"
        "```{table} Root mean square error of log g from the spectrum, and from a relation that only takes the "
        f"estimated Teff and \\[M/H\\].\n:name: tab-model-gravity\n\n{table(head, rows)}```\n\n"
        f"In short: {escape(gravity.worth(every)).replace('--photometry', code('--photometry'))}.\n"
    )


def _error(pair):
    """Rmse, bias in brackets, and per cent inside the 68 % intervals, of (figures, form of a number)."""
    found, form = pair
    return f"{number(found['rmse'], form)} ({number(found['bias'], '+' + form)}), {100 * found['inside_68']:.0f}"


def _kinds(specialists):
    """Errors for every kind of gap, by a calibration without it; empty for models without these figures."""
    rows, silent, count = [], [], 0
    for one in specialists:
        for kind, found in one.card.get("kinds", {}).items():
            own = [(found[p], _FORMS[p]) for p in PARAMETERS]
            errors = [
                f"{number(v['rmse'], f)} ({number(v['bias'], '+' + f)}), {100 * v['inside_68']:.0f}" for v, f in own
            ]
            rows.append([_thousands(one.resolving_power), kind, *errors, f"{100 * found['false_flags']:.0f}"])
            count += len(PARAMETERS)
            silent += [f"{_NAMES[p]} of {kind} at R = {_thousands(one.resolving_power)}" for p in making.silent(found)]
    if not rows:
        return ""
    worst = f"{len(silent)} of {count}: {'; '.join(silent)}" if silent else f"none of {count}"
    return (
        "\nThe figures above are for errors of the line list; real spectra differ from synthetic ones in other ways. "
        "The next table has every kind of gap that we can simulate (the [data page](../data.md)), with error bars "
        "from a calibration **without** this kind.\n\n"
        "```{table} Root mean square error, in brackets the mean of estimate minus truth, and per cent of true values "
        "inside the 68 % intervals; last, per cent of the stars that are flagged as unusual.\n"
        ":name: tab-model-kinds\n\n"
        f"{table(['R', 'kind of gap', *_NAMES.values(), 'flagged'], rows)}```\n\n"
        f"Silent failures, where the 68 % intervals hold less than half of the true values and less than half of the "
        f"stars are flagged as unusual: {worst}.\n"
    )


def _paper():
    """What the record says of the paper's ensemble; nothing where there is no record."""
    try:
        record = records.read("paper_ensemble")
    except DataError:
        return ""
    found, rows = record["values"], []
    best_first = sorted(found["figures"].items(), key=lambda row: -float(row[0].partition("-")[0]))
    for snr, figures in best_first:
        own = [(figures[p], _FORMS[p]) for p in PARAMETERS]
        rows.append([snr.replace("-", "–"), *map(_error, own)])
    hours, size = found["seconds"]["this_call"] / 3600, found["bytes"] / 1e6
    return (
        f"Made on {escape(record['made'])}, {record['machine']['cores']} cores, {hours:.1f} h: "
        f"{found['autoencoders']} autoencoders with {found['regressors']} regressors, {size:.0f} MB. "
        f"{escape(records.origin('paper_ensemble'))} On the simulated surveys above, root mean square error, in "
        "brackets the mean of estimate minus truth, and per cent of true values inside the 68 % intervals:\n\n"
        + table(["S/N", *_NAMES.values()], rows)
    )


def models_page(specialists):
    """The model card as Markdown, of a list of specialists, sharpest first."""
    parts = [_NONE] * 3
    if specialists:
        performance = _performance(specialists) + _kinds(specialists) + "\n" + _gravity(specialists)
        parts = [_files(specialists), _making(specialists), performance]
    return _MODELS.format(real_stars_summary(), *parts, _paper())


def precision_page(specialists):
    """Errors to expect, from the cards, and :data:`CONTRACT`. Returns: Markdown."""
    by_snr = {}
    for _, snr, found in _figures(specialists):
        by_snr.setdefault(snr, []).append(found)
    rows = [[_NAMES[p], *(_range([f[p]["rmse"] for f in found], _FORMS[p]) for found in by_snr.values())]
            for p in PARAMETERS]  # fmt: skip
    expected = table(["", *(f"S/N {snr.replace('-', '–')}" for snr in by_snr)], rows) if by_snr else _NONE
    steps = [[step, far, oracle, f"`test_{test}` in `test_{file}.py`"] for step, far, oracle, file, test in CONTRACT]
    return _PRECISION.format(expected, table(["step", "off by at most", "against", "test"], steps))


def _range(values, form):
    return _distinct([number(min(values), form), number(max(values), form)]).replace(", ", "–")


_NONE = "This package brings no trained models.\n"
_MODELS = """(model-card)=
# The trained models

`dtl predict` and `dtl explain` use these models. All figures are read from records and from the models' own cards;
`dtl models show 94600` prints one. [Your own star](../howto/own_star.md) shows how to use them.

{}
## The files

A spectrum goes to the model of the highest resolving power that does not exceed its own, and is brought to the
resolving power of this model.

{}
## What they were made from

{}
(model-performance)=
## How well they do

{}
(model-limits)=
## Limits

- The truth behind these figures is **simulated**, with another code, other line lists and injected errors, as in the
  [simulated survey](../data.md). How large errors are for real stars does not follow from it; {{ref}}`few of them
  <model-real-stars>` have been tested.
- The library is an embedded **stand-in**. [The data page](../data.md) lists what it leaves out.
- Labels end where the table says. A star beyond them is estimated near that end, with a warning.
- Training stars are single and on the main sequence. Giants, binaries and very young stars are not among them.
- p shows that a spectrum is unlike the simulated ones, not why. A star of an unknown kind may have an ordinary
  spectrum.

## Licence and integrity

The weights have the package's licence, MIT. The files are safetensors: arrays and the card, no code. Whenever they are
loaded, the size and SHA-256 of each are compared with [the registry](registry.md), and a file that differs is refused.
`dtl data verify models` does the same. `dtl models build -o my_models` makes the models again: twice on one machine it
gives the same weights, on another machine their last digits may differ.

## The paper's own ensemble

Its autoencoders with their regressors are too many for the package. A release is planned that has them in such a file,
trained by profile `paper-fast`; `dtl data fetch models` downloads it, and `--models paper` uses it. There is no release
yet. Until then, make the file yourself; [how fast it is](benchmarks.md) gives the time of such a run.

```bash
dtl models export --profile paper-fast -o paper
dtl predict my_star.fits --models paper/paper_R094600.safetensors
```

{}"""
_PRECISION = """(precision)=
# What precision to expect

How far off is an estimate, and how exact is each step of the computation? The steps are far more exact than the
estimates: the physics is the limit. What the library itself costs is in {{numref}}`tab-precision`.

(expected-errors)=
## Of an estimate

Root mean square errors for simulated stars, from the smallest to the largest over all resolving powers. {{ref}}`Each of
them, with bias and coverage <model-performance>`, is on the model card. A star's own error bars are in its row.

{}
(numerical-contract)=
## Of each numerical step

The tests accept errors up to these values, in units of the continuum unless stated otherwise.

{}"""
