"""The page of the book on speed: what `make bench` measured, with the day and the machine, part by part."""

from __future__ import annotations

import numpy as np

from dtl_core.errors import DataError
from dtl_core.parameters import PARAMETERS, PUBLISHED_ERRORS, TABLE
from dtl_core.pipeline import records
from dtl_core.pipeline.training_curves import samples_per_epoch, seconds_per_sample, seconds_until, values_of
from workflow.graph import CHUNK

from .markdown import NBSP, code, escape, number, table
from .statements import STATEMENTS

__all__ = ["benchmark_page"]


_WORST = {name: next(known for known in STATEMENTS if known.key == f"worst_{name}") for name in PARAMETERS}
SYMBOLS = {name: escape(parameter.symbol) for name, parameter in TABLE.items()}
_MISSING = "Not measured yet.\n"


def benchmark_page(folder=None):
    """The page as Markdown. Arguments: folder, of the records; the package's by default."""
    try:
        found = records.read("benchmarks", folder)["values"]
    except DataError:
        found = {}
    out = [_INTRODUCTION]
    for name, title, write in _PARTS:
        out.append(f"\n## {title}\n\n")
        if name not in found:
            out.append(_MISSING)
            continue
        out += [write(values_of(found[name]), found), "\n", *_origins(found[name]), "\n"]
    out.append("\n## On a GPU\n\n")
    gpu = [name for name in found if name.endswith("(GPU)")]
    if not gpu:
        out.append("*Not yet run on a GPU.*\n")
    for name in gpu:
        write = {part: write for part, _, write in _PARTS}[name.removesuffix(" (GPU)")]
        out += [f"### {name}\n\n", write(values_of(found[name]), found), "\n", *_origins(found[name]), "\n"]
    return "".join(out)


_INTRODUCTION = """# How fast it is

`make bench` measures all figures of this page and writes the record from which it is made; none is typed. Ratios come
from one run on one machine, with both sides in turn. They are medians of the rounds, with the smallest and the largest
value in brackets. A sentence marks each part that was measured with older code.
"""


def _origins(part):
    """Where a part comes from, a line for all profiles that were measured alike."""
    if "values" in part:
        return [_origin(part)]
    alike = {}
    for profile, entry in part.items():
        alike.setdefault(_origin(entry), []).append(code(profile))
    return [f"{', '.join(profiles)}: {origin}\n" for origin, profiles in alike.items()]


def _origin(part):
    made, machine = part["made"], part["machine"]
    what = machine["gpu"] or machine["processor"]
    changed = f" {escape(records.dated(part).capitalize())}." if records.is_stale(part) else ""
    return (
        f"*Measured on {escape(made)}: {escape(what)}, {machine['cores']} core{'s' * (machine['cores'] != 1)}, "
        f"{number(machine['memory_gb'], '.0f')}{NBSP}GB, Python {escape(machine['python'])}, "
        f"PyTorch {escape(machine['torch'])}.{' ' + escape(part['note']) if 'note' in part else ''}{changed}*\n"
    )


def _ratio(values):
    middle, low, high = (number(value, ".2f") for value in values)
    return f"{middle} ({low}–{high})"


def _time(seconds):
    if seconds is None:
        return "never"
    if seconds < 120:
        return f"{seconds:.0f}{NBSP}s"
    return f"{seconds / 60:.0f}{NBSP}min" if seconds < 7200 else f"{seconds / 3600:.1f}{NBSP}h"


def _training(values, _found):
    names = {
        "autoencoder / peak": "autoencoder: share of the peak of a matrix product",
        "autoencoder / Keras": "autoencoder: speed relative to Keras",
        "no penalty / autoencoder": "autoencoder without contractive penalty: speed relative to the paper's penalty",
        "exact penalty / autoencoder": "autoencoder with the exact penalty: speed relative to the paper's penalty",
    }
    rows = []
    for name, ratio in values["ratios"].items():
        stack = name.removeprefix("regressors ").removesuffix(" / Keras")
        label = names.get(name, f"regressors, {stack} together: model-samples per second relative to Keras")
        rows.append([label, _ratio(ratio)])
    rates = values["rates"]
    return (
        "The autoencoder is the paper's smallest (1024 neurons in the first layer, 3501 pixels, batches of 128 "
        "spectra); the regressors are those of Teff, with batches of 32. Keras runs on TensorFlow, on one CPU core, "
        f"one model at a time ({', '.join(map(code, values['keras']))}).\n\n"
        + table(["speed", "ratio"], rows)
        + f"\nThe peak, of a product of 2048 × 2048, was {rates['peak'] / 1e9:.0f} GFLOP/s; the autoencoder trained on "
        f"{rates['autoencoder']:.0f} spectra per second, Keras's on {rates['Keras autoencoder']:.0f}; a regressor "
        f"alone on {rates['regressors 1']:.0f} samples per second, Keras's on {rates['Keras regressor']:.0f}.\n"
    )


def _synthesis(values, _found):
    rates = values["rates"]
    return (
        f"Broadening by instrument and rotation, and resampling to the grid of the window, of {values['spectra']} "
        f"spectra: {_ratio(values['ratio'])} times as fast as a loop of PyAstronomy calls "
        f"({rates['dtl_core']:.0f} against {rates['PyAstronomy']:.0f} spectra per second); fluxes differ by at most "
        f"{number(values['largest_difference'], '.1e')}. The speed with interpolation and continuum is "
        f"{rates['whole']:.0f} spectra per second.\n"
    )


def _chain(values, _found):
    rates, errors = values["rates"], values["velocity_errors"]
    return (
        f"From a spectrum on a detector's pixels to the network's input, {values['spectra']} spectra on one core: "
        f"{_ratio(values['ratio'])} times as fast as the same steps by calls of PyAstronomy, specutils and SciPy "
        f"({rates['dtl_core']:.1f} against {rates['libraries']:.2f} spectra per second); the median error of the "
        f"velocities is {errors['dtl_core']:.3f} against {errors['libraries']:.3f} km/s.\n"
    )


def _prediction(values, _found):
    out = ["From fluxes to estimates with errors, with the whole ensemble of a profile.\n\n"]
    for profile, found in values.items():
        rows = [
            [f"{row['stars']:,}".replace(",", NBSP), _time(row["seconds"]), f"{row['memory'] / 1e9:.2f}{NBSP}GB"]
            for row in found["rows"]
        ]
        out.append(
            f"**{escape(profile)}**: {found['autoencoders']} autoencoders, {found['regressors']} regressors, "
            f"{found['pixels']} pixels, {found['workers']} processes.\n\n"
            + table(["stars", "time, including the start of the processes", "memory of all processes"], rows)
            + f"\nThat is {found['stars_per_second']:.0f} stars per second once everything is loaded; the networks "
            f"take {found['network_share']:.0%} of the time, the densities the rest.\n\n"
        )
    return "".join(out)


def _own_stars(values, _found):
    seconds, rates = values["seconds"], values["per_second"]
    return (
        f"`dtl predict` takes {seconds['predict']:.1f} s for one file, including the start of Python and all imports: "
        f"{_ratio(values['ratio'])} times as long as loading PyTorch, which it does not need. `dtl explain` takes "
        f"{seconds['explain']:.0f} s. With many files, {values['files']} here, one process reads, prepares and "
        f"estimates {rates['one process']:.0f} spectra per second, and {values['workers']} processes, including their "
        f"start, {rates['all']:.0f}; the peak memory of a process is {values['peak_memory'] / 1e9:.2f}{NBSP}GB.\n"
    )


CORE_HOUR = 0.05  # USD, roughly the price of a core in a cloud; for the estimate only
SURVEY = 10**7  # stars of the estimate


def _count(n):
    return f"{n:,}".replace(",", NBSP)


def _exported(rows):
    """Time to export the largest exported catalogue; empty if none was exported."""
    known = [row for row in rows if "export_seconds" in row]
    if not known:
        return ""
    row = max(known, key=lambda row: row["stars"])
    return (
        f"`dtl export` writes the catalogue of {_count(row['stars'])} stars as one FITS table in "
        f"{_time(row['export_seconds'])}.\n\n"
    )


def _survey(values, _found):
    from dtl_core.models.bulk import PART

    rows, largest = [], max(values["rows"], key=lambda row: (row["stars"], row["workers"]))
    for row in values["rows"]:
        rate = row["stars"] / row["seconds"]
        sizes = [f"{row[name] / 1e9:.2f}{NBSP}GB" for name in ("memory_each", "memory_all", "store_bytes")]
        made = f"{row['catalogue_bytes'] / row['stars']:.0f}{NBSP}B"
        rows.append([_count(row["stars"]), str(row["workers"]), _time(row["seconds"]), f"{rate:.0f}", *sizes, made])
    header = ["stars", "processes", "time", "stars per second", "memory of one", "of all", "spectra", "row of a star"]
    alone = largest["seconds"] * largest["workers"] / largest["stars"]  # core seconds per star
    jobs = -(-SURVEY // (CHUNK * PART))
    hours = (SURVEY * alone + jobs * values["start_seconds"]) / 3600
    spectra, catalogue = (SURVEY * largest[name] / largest["stars"] for name in ("store_bytes", "catalogue_bytes"))
    speed = spectra / 1e6 / (3600 * hours / 100)
    return (
        f"{values['distinct']} simulated stars, repeated with different noise (signal-to-noise {values['snr']:.0f}), "
        "in a Zarr store; `dtl predict` with the trained models, including its start.\n\n"
        + table(header, rows)
        + f"\n{_exported(values['rows'])}"
        f"{_count(SURVEY)} stars, at {1e3 * alone:.1f} ms of one core per star and {values['start_seconds']:.0f} s for "
        f"the start of each of {_count(jobs)} jobs, take {_count(round(hours))} core-hours: "
        f"{_time(3600 * hours / 100)} on 100 cores and, at {CORE_HOUR:.2f} USD per core-hour (assumed), "
        f"{CORE_HOUR * hours:.0f} USD. The spectra take {spectra / 1e9:.0f}{NBSP}GB and are read at {speed:.0f} MB/s "
        f"by 100 jobs at once; the catalogue takes {catalogue / 1e9:.1f}{NBSP}GB. This is an estimate from the largest "
        "row of the table, not a measurement; it assumes that the file system keeps up.\n"
    )


def _profiles(values, _found):
    out = []
    for profile, found in values.items():
        rows = [
            [escape(name), str(row["results"]), _time(row["seconds"]), number(row["memory"] / 1e9, ".2f") + f"{NBSP}GB"]
            for name, row in found["stages"].items()
            if row["seconds"] is not None
        ]
        errors = []
        for name in PARAMETERS:
            best, middle, worst = (f"{value:.3g}" for value in found["kept_test_mse"][name])
            both = [found["survey"][encoder][name] for encoder in ("direct", "transfer")]
            cells = [f"{each['rmse']:.3g} ({each['coverage']} of {found['stars']})" for each in both]
            published = f"{PUBLISHED_ERRORS[name]:g}{NBSP}{_WORST[name].unit}"
            errors.append([SYMBOLS[name], f"{middle} ({best}–{worst})", published, *cells])
        header = ["", "test MSE of the regressors kept", "published, the worst", "survey: rmse before", "after"]
        out.append(
            f"**{escape(profile)}**: {_time(found['wall_seconds'])} from an empty store, "
            f"{found['autoencoders']} autoencoders.\n\n"
            + table(["stage", "results", "computing, summed over processes", "largest memory of a process"], rows)
            + "\nErrors on synthetic test spectra (median, smallest and largest) and on the simulated survey, "
            "before and after fine-tuning (in brackets: stars whose truth lies within the error bars):\n\n"
            + table(header, errors)
            + "\n"
        )
    return "".join(out)


def _accuracy(values, found):
    rows, width = [], next(iter(values.values()))["width"]
    keras = [seconds_per_sample(found, name) for name in ("Keras autoencoder", "Keras regressor")]
    for profile, curves in values.items():
        own = curves["autoencoder"]["seconds"][-1]
        mse = curves["autoencoder"]["test_mse"][-1]
        rows.append([escape(profile), "autoencoder", f"{mse:.1e}", "", _time(own), ""])
        for name in PARAMETERS:
            errors = np.array(curves["regressors"]["test_mse"][name])[:, 0]
            alone = np.array(curves["regressors"]["seconds"]) / curves["regressors"]["together"]
            until = seconds_until(errors, alone, PUBLISHED_ERRORS[name])
            epochs = seconds_until(errors, np.arange(1, len(errors) + 1), PUBLISHED_ERRORS[name])
            slow = ""
            if profile == "paper" and keras[0] and epochs:
                counts = len(curves["autoencoder"]["seconds"]), epochs
                sizes = [samples_per_epoch(profile, curves, kind) for kind in ("autoencoder", "regressor")]
                slow = _time(sum(count * n * rate for count, n, rate in zip(counts, sizes, keras, strict=True)))
            rows.append(
                [escape(profile), SYMBOLS[name], f"{errors[-1]:.3g}{NBSP}{_WORST[name].unit}",
                 f"{PUBLISHED_ERRORS[name]:g}", _time(None if until is None else own + until), slow]
            )  # fmt: skip
    return (
        f"One autoencoder ({width} neurons in the first layer) and one regressor per parameter, on simulated spectra: "
        "the final test error, the published one, and the time on one core from scratch, including the whole training "
        "of the autoencoder, until the published error was first reached; a regressor counts with its share of the "
        "stack's time. The last column is the time of as many epochs of the faithful recipe at Keras's speed above. "
        "`paper-fast` leaves out the contractive penalty and is shown with it for comparison.\n\n"
        + table(["profile", "network", "test error", "published", "time until then", "the same in Keras"], rows)
    )


_DATA = {"test": "synthetic test set", "direct": "survey, not fine-tuned", "transfer": "survey, fine-tuned"}


def _sampling(values, _found):
    rows, by = [], {}
    for row in values["rows"]:
        by.setdefault(row["step"], []).append(row)

    def cell(found, name, form):
        mean, low, high = (f([row[name] for row in found]) for f in (np.mean, np.min, np.max))
        return f"{number(mean, form)} ({number(low, form)}–{number(high, form)})"

    forms = {"teff": ".1f", "logg": ".3f", "mh": ".3f", "vsini": ".2f"}
    for step, found in by.items():
        for kind, label in _DATA.items():
            cells = [cell(found, f"{kind}_{name}", forms[name]) for name in PARAMETERS]
            time = cell(found, "seconds", ".0f") if kind == "test" else ""
            mse = cell(found, "test_mse", ".1e") if kind == "test" else ""
            rows.append([f"{step:g}{NBSP}Å", label, mse, *cells, time])
    header = ["step", "errors on", "reconstruction", "Teff \\[K\\]", "log g", "\\[M/H\\]", "v sin i \\[km/s\\]", "s"]
    return (
        f"The profile `paper-fast` with other steps of the wavelength grid (`window.step`), {values['seeds']} seeds: "
        "mean squared error of the reconstruction, root mean square errors of the estimates, before and after "
        "fine-tuning for the simulated survey, and the time of one autoencoder with its regressors. Values are means, "
        "with the smallest and the largest in brackets.\n\n" + table(header, rows)
    )


_PARTS = (
    ("training", "Training against Keras and the machine's peak", _training),
    ("accuracy", "Time to the published test error", _accuracy),
    ("synthesis", "Synthetic spectra against PyAstronomy", _synthesis),
    ("chain", "Real spectra through the chain", _chain),
    ("prediction", "Estimates for many stars", _prediction),
    ("own_stars", "Your own spectra", _own_stars),
    ("survey", "A survey in parts", _survey),
    ("profiles", "Whole runs: time and memory", _profiles),
    ("sampling", "What coarser pixels lose", _sampling),
)
