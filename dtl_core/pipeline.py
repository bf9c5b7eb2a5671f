"""The stages in order, from spectra to catalogue; each is stored under its key and found again.

    synthetic, observed -> gap -> search -> autoencoder -> transfer -> regression -> catalogue

Autoencoders are independent of each other: each goes with its fine-tuning and its regressors through one process.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import os
import queue
import sys
import time
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table

from . import estimate, gap, observed, synthetic
from .config import PARAMETER_COLUMNS, PARAMETERS, Config, load_profile
from .errors import ConfigError, DataError, DTLError
from .store import NotStored, Store, file_hash, load_arrays, save_arrays

__all__ = ["ARMS", "STAGES", "Run", "resolve", "run"]

STAGES = ("synthetic", "observed", "gap", "search", "autoencoder", "transfer", "regression", "catalogue")
ARMS = ("transfer", "direct")
_NETWORK = ("autoencoder", "stacks", "training", "pipeline")


def resolve(config):
    """Settle what depends on the machine: the real stars that take part, and with them the resolving power.

    Real HPF spectra have R = 53,000, so with them every spectrum of the run, synthetic or simulated, is broadened to
    that, or to the lower one that was asked for.

    Returns
    -------
    (config, files) with ``files`` the paths of the real spectra.

    Errors
    ------
    DataError : real stars are asked for and there are none.
    """
    hpf = observed.hpf_files() if config.survey.real_stars != "no" else []
    if config.survey.real_stars == "yes" and not hpf:
        raise DataError(
            "no HPF spectra found",
            field="survey.real_stars",
            remedy="point DTL_DATA at a folder with observed/hpf/Slope-*.fits",
        )
    if hpf:
        power = min(config.window.resolving_power, observed.HPF_RESOLVING_POWER)
        window = dataclasses.replace(config.window, resolving_power=power)
        config = dataclasses.replace(config, window=window)
    own = [Path(path) for path in config.survey.spectra]
    for path in own:
        if not path.is_file():
            raise DataError("not found", file=path, remedy="check the path")
    return config, [*hpf, *own]


# ---------------------------------------------------------------- the stages


def _library_hash(name):
    return file_hash(Path(synthetic.__file__).parent / "data" / "lte" / f"{name}.npz")


def _synthetic(store, config, progress=None):
    def compute(folder):
        flux, labels = synthetic.synthetic_set(config, progress=progress)
        save_arrays(folder / "synthetic.safetensors", {"flux": flux, "labels": labels})

    settings = {
        "window": config.window,
        "continuum": config.continuum,
        "synthetic": config.synthetic,
        "seed": config.seed,
    }
    inputs = {"grid_a": _library_hash("grid_a")}
    return store.stage("synthetic", settings, inputs, ("spectra", "synthetic", "pipeline"), compute)


def _observed(store, config, files):
    def compute(folder):
        flux, truth = observed.survey_set(config)
        template = observed.templates(config) if files else None
        reports = []
        for path in files:
            star, report = observed.prepare(observed.read_spectrum(path), config, template)
            flux = np.concatenate([flux, star[None]])
            names = {*truth["karmn"], *(r["star"] for r in reports)}
            if report["star"] in names:  # a second exposure, or a name that the survey uses: a row of its own
                report["star"] += f" ({path.stem})"
            reports.append(report)
        save_arrays(folder / "observed.safetensors", {"flux": flux})
        Table.from_pandas(truth).write(folder / "truth.ecsv")
        (folder / "reports.json").write_text(json.dumps(reports, indent=1))

    survey = {k: v for k, v in dataclasses.asdict(config.survey).items() if k not in ("real_stars", "spectra")}
    settings = {
        "window": config.window,
        "continuum": config.continuum,
        "survey": survey,
        "limb_darkening": config.synthetic.limb_darkening,
    }
    inputs = {name: _library_hash(name) for name in ("grid_a", "survey_b")}
    # every file beside an HPF exposure counts: flat and masks too
    for number, path in enumerate(files):
        near = path.parent.iterdir() if path.name.startswith("Slope-") else ()
        for file in sorted({path, *(f for f in near if f.is_file() and not f.name.startswith("Slope-"))}):
            inputs[f"{number}:{file.name}"] = file_hash(file)
    return store.stage("observed", settings, inputs, ("spectra", "synthetic", "observed", "pipeline"), compute)


def _gap(store, config, keys, synthetic_vectors, observed_vectors, *, name, metric):
    """Nearest distances and the UMAP of both domains, in flux (``gap``) or latent space (``latent_gap``)."""

    def compute(folder):
        near, seen = synthetic_vectors(), observed_vectors()
        arrays = {f"distance_{arm}": gap.nearest_distance(vectors, near) for arm, vectors in seen.items()}
        for arm, vectors in seen.items():
            model_map, star_map, rows = gap.umap_map(near, vectors, config.umap, metric=metric, seed=config.seed)
            arrays |= {f"map_synthetic_{arm}": model_map, f"map_observed_{arm}": star_map, f"rows_{arm}": rows}
        save_arrays(folder / "gap.safetensors", arrays)

    settings = {"umap": config.umap, "metric": metric, "seed": config.seed}
    return store.stage(name, settings, keys, ("gap", "pipeline"), compute)


@functools.lru_cache(maxsize=2)
def _tensors(path):
    import torch

    return {name: torch.from_numpy(array) for name, array in load_arrays(path).items()}


def _flux(store, name, key, device):
    return _tensors(store.path(name, key) / f"{name}.safetensors")["flux"].to(device)


def _loss(config, flux, l1, weight):
    from .autoencoder import autoencoder_loss

    form = config.autoencoder.contractive
    return lambda m, rows: autoencoder_loss(m, flux[rows[0]], l1=l1, weight=weight, form=form)


def _new_autoencoder(config, flux, train, width, seed):
    from .autoencoder import Autoencoder

    settings = config.autoencoder
    return Autoencoder(
        flux.shape[1],
        width,
        (seed,),
        bottleneck=settings.bottleneck,
        flux_ceiling=settings.flux_ceiling,
        sample=flux[train] if settings.centred else None,
    ).to(flux.device)


def _architecture(config):
    """Settings that every autoencoder depends on; its width, L1 and seed are its own."""
    plain = dataclasses.asdict(config.autoencoder)
    return {k: plain[k] for k in plain if k not in ("widths", "l1", "n_models", "learning_rate")}


def _device(config):
    """The kind of device as a part of the key: CPU and GPU do not give the same bytes."""
    from .training import choose_device

    return {"device": choose_device(config.device).type}


def _candidate(store, config, keys, width, l1, rate, progress=None):
    """Cross-validated plain MSE of one combination of the grid search."""
    import torch

    from .training import choose_device, fit, split
    from .transfer import reconstruction_error

    def compute(folder):
        flux = _flux(store, "synthetic", keys["synthetic"], choose_device(config.device))
        train, _ = split(len(flux), config.autoencoder.test_fraction, [config.seed, 2])
        order = np.random.default_rng([config.seed, 3]).permutation(train)
        scores, parts = [], np.array_split(order, config.search.folds)
        for k, held_out in enumerate(parts):
            rest = np.sort(np.concatenate([part for j, part in enumerate(parts) if j != k]))
            model = _new_autoencoder(config, flux, rest, width, 1000 + k)
            fit(
                model,
                _loss(config, flux, torch.tensor([l1], device=flux.device), 0.0),
                rest[None],
                epochs=config.search.epochs,
                batch_size=config.autoencoder.batch_size,
                learning_rate=rate,
                seeds=[k],
                progress=progress,
            )
            scores.append(reconstruction_error(model, flux[held_out])[0].item())
        save_arrays(folder / "scores.safetensors", {"mse": np.array(scores)})

    architecture = _architecture(config)
    architecture = {
        k: architecture[k] for k in ("bottleneck", "batch_size", "test_fraction", "centred", "flux_ceiling")
    }
    settings = {
        "width": width,
        "l1": l1,
        "rate": rate,
        "search": {"folds": config.search.folds, "epochs": config.search.epochs},
        "architecture": architecture,
        "seed": config.seed,
    }
    return store.stage("candidate", settings | _device(config), {"synthetic": keys["synthetic"]}, _NETWORK, compute)


def select_architectures(table, config):
    """Rows of the search that go on: mean score below the median of the whole grid, and the learning rate of training.

    The best ``n_models`` of them, best first (paper, section 3.1: 26).

    Arguments
    ---------
    table : DataFrame of width, l1, learning_rate, mse
    """
    good = table["mse"] <= table["mse"].median()
    good &= np.isclose(table["learning_rate"], config.autoencoder.learning_rate)
    kept = table[good]
    if kept.empty:  # the learning rate of training lost everywhere: keep its best, so that there is something to train
        kept = table[np.isclose(table["learning_rate"], config.autoencoder.learning_rate)]
    return kept.sort_values("mse", kind="stable").head(config.autoencoder.n_models)


def _autoencoder(store, config, keys, width, l1, seed, progress=None):
    """Pretraining of one autoencoder on synthetic spectra."""
    import torch

    from .training import choose_device, fit, split
    from .transfer import reconstruction_error

    def compute(folder):
        flux = _flux(store, "synthetic", keys["synthetic"], choose_device(config.device))
        train, test = split(len(flux), config.autoencoder.test_fraction, [config.seed, 2])
        settings = config.autoencoder
        model = _new_autoencoder(config, flux, train, width, seed)
        penalty = torch.tensor([l1], device=flux.device)
        history = fit(
            model,
            _loss(config, flux, penalty, settings.contractive_weight),
            train[None],
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seeds=[seed],
            evaluate=lambda m: reconstruction_error(m, flux[test]),
            progress=progress,
        )
        save_arrays(folder / "weights.safetensors", model.state_dict())
        save_arrays(folder / "history.safetensors", history)

    settings = {
        "width": width,
        "l1": l1,
        "rate": config.autoencoder.learning_rate,
        "member": seed,
        "architecture": _architecture(config),
        "seed": config.seed,
    }
    return store.stage("autoencoder", settings | _device(config), {"synthetic": keys["synthetic"]}, _NETWORK, compute)


def load_autoencoder(config, folder, width, device="cpu"):
    """The autoencoder whose weights lie in a stage's folder."""
    import torch

    from .autoencoder import Autoencoder

    weights = {name: torch.from_numpy(array) for name, array in load_arrays(folder / "weights.safetensors").items()}
    n_pixels = weights["encoder.0.weight"].shape[1]
    settings = config.autoencoder
    model = Autoencoder(n_pixels, width, (0,), bottleneck=settings.bottleneck, flux_ceiling=settings.flux_ceiling)
    model.load_state_dict(weights)
    return model.to(device)


def _transfer(store, config, keys, member, width, l1, seed, progress=None):
    """Fine-tuning of one autoencoder, and the latents: synthetic from before, observed from before and after."""
    import torch

    from .training import choose_device, split
    from .transfer import fine_tune, reconstruction_error

    def compute(folder):
        device = choose_device(config.device)
        flux, stars = (
            _flux(store, "synthetic", keys["synthetic"], device),
            _flux(store, "observed", keys["observed"], device),
        )
        model = load_autoencoder(config, store.path("autoencoder", member), width, device)
        train, test = split(len(stars), config.transfer.test_fraction, [config.seed, 4])
        penalty = torch.tensor([l1], device=device)
        tuned, history = fine_tune(model, stars, train, test, config, l1=penalty, seed=seed, progress=progress)
        errors = {"before": reconstruction_error(model, stars[test]), "after": reconstruction_error(tuned, stars[test])}
        save_arrays(folder / "weights.safetensors", tuned.state_dict())
        save_arrays(folder / "history.safetensors", history | errors | {"test_rows": test})
        with torch.no_grad():
            latents = {
                "synthetic": model.encode(flux)[0],
                "direct": model.encode(stars)[0],
                "transfer": tuned.encode(stars)[0],
            }
        save_arrays(folder / "latents.safetensors", latents)

    settings = {
        "transfer": config.transfer,
        "l1": l1,
        "member": seed,
        "seed": config.seed,
        "loss": {k: _architecture(config)[k] for k in ("contractive", "contractive_weight")},
    }
    inputs = {"autoencoder": member, "observed": keys["observed"], "synthetic": keys["synthetic"]}
    return store.stage("transfer", settings | _device(config), inputs, (*_NETWORK, "transfer"), compute)


def _regression(store, config, keys, transferred, seed, progress=None):
    """All regressors on one autoencoder's latents: every parameter, ``n_models`` each, trained as one stack."""
    import torch

    from .regressor import Regressor, live_units, regression_loss
    from .training import choose_device, fit, stratified_split

    def compute(folder):
        device, settings = choose_device(config.device), config.regression
        labels = load_arrays(store.path("synthetic", keys["synthetic"]) / "synthetic.safetensors")["labels"]
        latents = _tensors(store.path("transfer", transferred) / "latents.safetensors")
        latents = {name: z.to(device) for name, z in latents.items()}
        z, column = latents["synthetic"], np.repeat(np.arange(len(PARAMETERS)), settings.n_models)
        parts = [
            stratified_split(labels[:, k], settings.test_fraction, [config.seed, 5, k]) for k in range(len(PARAMETERS))
        ]
        n_train, n_test = (min(len(part[side]) for part in parts) for side in (0, 1))
        train = np.stack([parts[k][0][:n_train] for k in column])
        test = torch.as_tensor(np.stack([parts[k][1][:n_test] for k in column]), device=device)
        target = torch.as_tensor(labels[:, column].T, dtype=torch.float32, device=device)  # E, n
        seeds = [1000 * seed + 10 * k + j for k in range(len(PARAMETERS)) for j in range(settings.n_models)]
        model = Regressor(
            z,
            torch.gather(target, 1, torch.as_tensor(train, device=device)),
            seeds,
            filters=settings.filters,
            units=settings.units,
        ).to(device)

        def error(m):
            return ((m.predict(z[test]) - torch.gather(target, 1, test)) ** 2).mean(1)

        history = fit(
            model,
            lambda m, rows: regression_loss(m, z[rows], torch.gather(target, 1, rows)),
            train,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seeds=seeds,
            evaluate=error,
            progress=progress,
        )
        save_arrays(folder / "weights.safetensors", model.state_dict())
        out = {arm: model.predict(latents[arm]) for arm in ARMS}
        out |= {"test_prediction": model.predict(z[test]), "test_truth": torch.gather(target, 1, test)}
        out |= {"column": column, "live": live_units(z).cpu().numpy().astype(np.uint8)}
        save_arrays(folder / "estimates.safetensors", out | {f"history_{k}": v for k, v in history.items()})

    settings = {
        "regression": {k: v for k, v in dataclasses.asdict(config.regression).items() if k != "n_kept"},
        "member": seed,
        "seed": config.seed,
    }
    inputs = {"transfer": transferred, "synthetic": keys["synthetic"]}
    return store.stage("regression", settings | _device(config), inputs, (*_NETWORK, "regressor"), compute)


def _catalogue(store, config, keys, regressions, stars):
    """Best-of selection, KDE and one catalogue for each arm."""

    def compute(folder):
        parts = [load_arrays(store.path("regression", key) / "estimates.safetensors") for key in regressions]
        selection = {}
        for arm in ARMS:
            table = Table(
                {"karmn": stars, "ra_gaiadr3": np.full(len(stars), np.nan), "dec_gaiadr3": np.full(len(stars), np.nan)}
            )
            for k, (name, column) in enumerate(PARAMETER_COLUMNS.items()):
                values = np.concatenate([part[arm][part["column"] == k] for part in parts])
                error = np.concatenate([part["history_test"][-1][part["column"] == k] for part in parts])
                best = estimate.best_of(error, config.regression.n_kept)
                mode, lower, upper = estimate.kde_mode(
                    values[best], grid_size=config.estimate.grid_size, rule=config.estimate.bandwidth
                )
                table[column], table[f"e_{column}"], table[f"E_{column}"] = mode, lower, upper
                selection |= {f"{arm}_{name}": values[best], f"kept_{name}": best, f"test_mse_{name}": error}
            for column, unit in (("Teff", "K"), ("vsini", "km / s"), ("ra_gaiadr3", "deg"), ("dec_gaiadr3", "deg")):
                for name in {column, f"e_{column}", f"E_{column}"} & set(table.colnames):
                    table[name].unit = unit
            table.meta = {"arm": arm, "profile": config.profile, "resolving_power": config.window.resolving_power}
            table.write(folder / f"catalogue_{arm}.ecsv")
        save_arrays(folder / "selection.safetensors", selection)

    settings = {"estimate": config.estimate, "n_kept": config.regression.n_kept, "profile": config.profile}
    inputs = {f"regression_{k}": key for k, key in enumerate(regressions)} | {"observed": keys["observed"]}
    return store.stage("catalogue", settings, inputs, ("estimate", "pipeline"), compute)


# ---------------------------------------------------------------- workers

_queue = None  # of a worker: the way of its progress to the parent


def _start_worker(progress_queue):
    global _queue
    import torch

    _queue = progress_queue
    torch.set_num_threads(1)  # one thread a process and a process a core: the same bytes, and no waiting threads


def _work(job, only_look=False):
    """One job in a worker: a candidate of the search, or an autoencoder as far as it is to go."""
    kind, root, config, keys, arguments, cost = job
    store = Store(root, only_look=only_look)

    def tick(weight):
        return (lambda: _queue.put(weight)) if _queue is not None else None

    if kind == "candidate":
        return _candidate(store, config, keys, *arguments, progress=tick(cost["candidate"]))[1]
    width, l1, seed, depth = arguments
    done = {}
    _, done["autoencoder"] = _autoencoder(store, config, keys, width, l1, seed, tick(cost["autoencoder"]))
    if depth >= 1:
        _, done["transfer"] = _transfer(
            store, config, keys, done["autoencoder"], width, l1, seed, tick(cost["transfer"])
        )
    if depth >= 2:
        _, done["regression"] = _regression(store, config, keys, done["transfer"], seed, tick(cost["regression"]))
    return done


def _costs(config, width, n_stars):
    """Rough cost of an epoch, in units of 1e9 multiply-adds, for the progress bar."""
    pixels = (config.window.stop - config.window.start) / config.window.step
    dense = 2 * (pixels * width + width * width * (3 / 4 + 3 / 8 + 1 / 8 + 1 / 32))
    n = config.synthetic.n_spectra * (1 - config.autoencoder.test_fraction)
    cnn = 32 * (2 * 64 + 128 * 32) + 32 * 32 * 256 + 256 * 128 + 128 * 64
    models = len(PARAMETERS) * config.regression.n_models
    share = (config.search.folds - 1) / config.search.folds
    return {
        "candidate": n * share * dense / 1e9,
        "autoencoder": n * dense / 1e9,
        "transfer": n_stars * dense / 1e9,
        "regression": 2.0 * n * cnn * models / 1e9,
    }


def affordable_workers(memory_each=1.2e9):
    """How many worker processes this machine has cores and memory (bytes) for, at least one.

    Containers such as Binder's show all cores of their host but allow little memory: their limit counts.
    """
    free = []
    for file, read in (
        ("/proc/meminfo", lambda text: 1024 * int(text.split("MemAvailable:")[1].split()[0])),
        ("/sys/fs/cgroup/memory.max", int),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", int),
    ):
        try:
            free.append(read(Path(file).read_text()))
        except (OSError, ValueError, IndexError):
            continue  # another system, or no limit ("max")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(min(free, default=np.inf) // memory_each) if free else cores))


def _run_jobs(config, jobs, total, label, quiet):
    """Results of jobs in order, over worker processes, with a progress bar in units of work."""
    from tqdm import tqdm

    from .training import choose_device

    done = {}
    for number, job in enumerate(jobs):
        try:
            done[number] = _work(job, only_look=True)
        except NotStored:
            pass
    missing = [number for number in range(len(jobs)) if number not in done]
    if not missing:
        return [done[number] for number in range(len(jobs))]
    total *= len(missing) / len(jobs)
    workers = config.workers or affordable_workers()
    if choose_device(config.device).type == "cuda":
        workers = 1  # one process feeds the device
    workers = min(workers, len(missing))
    bar = tqdm(
        total=round(total, 2),
        desc=label,
        unit="",
        disable=quiet,
        file=sys.stderr,
        mininterval=1.0,
        bar_format="{desc}: {percentage:3.0f}%|{bar:24}| {elapsed}<{remaining}",
    )
    context = multiprocessing.get_context("spawn")
    channel = context.Queue()
    with bar, ProcessPoolExecutor(workers, context, _start_worker, (channel,)) as pool:
        futures = {number: pool.submit(_work, jobs[number]) for number in missing}
        pending = set(futures.values())
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.3)
                for future in finished:
                    future.result()  # raises here what went wrong there
                try:
                    while True:
                        bar.update(min(channel.get_nowait(), bar.total - bar.n))
                except queue.Empty:
                    pass
        except BrokenProcessPool:
            raise DTLError(
                "a worker process died, most likely for want of memory",
                field="workers",
                remedy="set workers=1 or choose a smaller profile; what is finished is kept",
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        bar.update(bar.total - bar.n)
    done |= {number: future.result() for number, future in futures.items()}
    return [done[number] for number in range(len(jobs))]


# ---------------------------------------------------------------- a run


@dataclass
class Run:
    """What a run found, read from the store when asked for.

    Attributes: ``config``, ``store``, ``keys`` (stage -> key, or list of keys), ``search`` (DataFrame, a row a
    combination of the grid search) and ``architectures`` (its rows that were kept, best first).
    """

    config: Config
    store: Store
    keys: dict
    search: pd.DataFrame | None = None
    architectures: pd.DataFrame | None = None

    def arrays(self, stage, file, member=None):
        """Arrays that a stage stored: ``run.arrays("autoencoder", "history", 0)``."""
        key = self.keys[stage] if member is None else self.keys[stage][member]
        return load_arrays(self.store.path(stage, key) / f"{file}.safetensors")

    @property
    def wavelength(self):
        """(n_pixels,) vacuum A."""
        from .spectra import window_grid

        return window_grid(self.config.window, margin=False)

    @functools.cached_property
    def synthetic(self):
        """dict of flux (n, n_pixels) and labels (n, 4)."""
        return self.arrays("synthetic", "synthetic")

    @functools.cached_property
    def observed(self):
        """(n_stars, n_pixels) flux, the survey's stars first."""
        return self.arrays("observed", "observed")["flux"]

    @functools.cached_property
    def truth(self):
        """DataFrame of the survey's true labels."""
        return Table.read(self.store.path("observed", self.keys["observed"]) / "truth.ecsv").to_pandas()

    @functools.cached_property
    def reports(self):
        """DataFrame with a row a real star: star, velocity, correlation, masked_fraction, telluric_fraction, snr."""
        return pd.DataFrame(
            json.loads((self.store.path("observed", self.keys["observed"]) / "reports.json").read_text())
        )

    @property
    def stars(self):
        """Names of all observed stars, in the order of ``observed``."""
        return [*self.truth["karmn"], *(self.reports["star"] if len(self.reports) else [])]

    def autoencoder(self, member=0, *, tuned=False):
        """One trained autoencoder, before fine-tuning or after."""
        stage = "transfer" if tuned else "autoencoder"
        width = int(self.architectures["width"].iloc[member])
        return load_autoencoder(self.config, self.store.path(stage, self.keys[stage][member]), width)

    @property
    def catalogue(self):
        """The catalogue (astropy Table) of the transfer arm."""
        return self.catalogue_of("transfer")

    def catalogue_of(self, arm):
        """The catalogue of an arm: ``transfer``, or ``direct`` with observed latents from before fine-tuning."""
        return Table.read(self.store.path("catalogue", self.keys["catalogue"]) / f"catalogue_{arm}.ecsv")

    @functools.cached_property
    def figures(self):
        """Headline figures by name; see :mod:`dtl_core.figures`."""
        from .figures import headline

        return headline(self)

    def seconds(self):
        """Computing time, s, of every stage, summed over its members."""
        total = {}
        for stage, keys in self.keys.items():
            keys = [keys] if isinstance(keys, str) else keys
            total[stage] = float(np.nansum([self.store.seconds(stage, key) for key in keys]))
        return total


def run(profile="demo", until="catalogue", *, overrides=None, root=None, quiet=False):
    """Run the method, or find its results, up to a stage.

    Arguments
    ---------
    profile : ``smoke``, ``demo`` or ``paper``, or a Config
    until : one of ``STAGES``
    overrides : dict of dotted settings, see :func:`dtl_core.config.load_profile`
    root : folder of the results; see :func:`dtl_core.store.default_root`
    quiet : no progress on standard error

    Returns
    -------
    Run

    Errors
    ------
    ConfigError, DataError, StoreError : see the modules of the same names.
    """
    if until not in STAGES:
        raise ConfigError(f"unknown stage {until!r}", field="until", remedy=f"choose one of {', '.join(STAGES)}")
    config = profile if isinstance(profile, Config) else load_profile(profile, overrides)
    config, files = resolve(config)
    store, depth = Store(root), STAGES.index(until)
    store.sweep()
    started = time.time()
    result = Run(config, store, {})
    keys = result.keys

    def note(text):
        if not quiet:
            print(f"[{time.time() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    _, keys["synthetic"] = _synthetic_with_bar(store, config, quiet)
    note("synthetic spectra ready")
    if depth >= STAGES.index("observed"):
        _, keys["observed"] = _observed(store, config, files)
        note("observed spectra ready")
        for warning in result.reports["warning"].dropna() if len(result.reports) else []:
            note(warning)
    pair = {name: keys[name] for name in ("synthetic", "observed") if name in keys}
    if depth >= STAGES.index("gap"):
        _, keys["gap"] = _gap(
            store,
            config,
            pair,
            lambda: result.synthetic["flux"],
            lambda: {"flux": result.observed},
            name="gap",
            metric="correlation",
        )
        note("domain gap measured")
    if depth >= STAGES.index("search"):
        _search(result, quiet)
        note("grid search ready")
        if len(result.architectures) < config.autoencoder.n_models:
            note(
                f"the search keeps {len(result.architectures)} of {config.autoencoder.n_models} autoencoders asked for"
            )
    if depth >= STAGES.index("autoencoder"):
        _members(result, min(depth, STAGES.index("regression")) - STAGES.index("autoencoder"), quiet)
        note(f"{len(result.architectures)} autoencoders ready")
    if depth >= STAGES.index("transfer"):
        first = result.arrays("transfer", "latents", 0)
        _, keys["latent_gap"] = _gap(
            store,
            config,
            {"transfer": keys["transfer"][0]},
            lambda: first["synthetic"],
            lambda: {arm: first[arm] for arm in ARMS},
            name="latent_gap",
            metric="euclidean",
        )
        note("latent gap measured")
    if depth >= STAGES.index("catalogue"):
        _, keys["catalogue"] = _catalogue(store, config, keys, keys["regression"], result.stars)
        note("catalogue ready")
        _record(result, time.time() - started)
    return result


def _synthetic_with_bar(store, config, quiet):
    from tqdm import tqdm

    bar = tqdm(
        total=config.synthetic.n_spectra, desc="synthetic spectra", disable=quiet, file=sys.stderr, delay=2, leave=False
    )
    with bar:
        return _synthetic(store, config, bar.update)


def _search(result, quiet):
    config, store = result.config, result.store
    grid = [(w, l1, rate) for w, l1 in config.architectures() for rate in config.search.learning_rates]
    keys = {"synthetic": result.keys["synthetic"]}
    costs = [_costs(config, width, 0) for width, _, _ in grid]
    jobs = [("candidate", store.root, config, keys, item, cost) for item, cost in zip(grid, costs, strict=True)]
    total = sum(cost["candidate"] for cost in costs) * config.search.epochs * config.search.folds
    result.keys["candidate"] = _run_jobs(config, jobs, total, "grid search", quiet)
    table = pd.DataFrame(grid, columns=["width", "l1", "learning_rate"])
    scores = [result.arrays("candidate", "scores", k)["mse"] for k in range(len(grid))]
    table["mse"], table["mse_spread"] = [s.mean() for s in scores], [s.std() for s in scores]
    result.architectures = select_architectures(table, config).reset_index(drop=True)
    table["kept"] = table.index.isin(select_architectures(table, config).index)
    result.search = table


def _members(result, depth, quiet):
    config, store = result.config, result.store
    keys = {name: result.keys[name] for name in ("synthetic", "observed")}
    jobs, total = [], 0.0
    epochs = [
        ("autoencoder", config.autoencoder.epochs),
        ("transfer", config.transfer.epochs),
        ("regression", config.regression.epochs),
    ][: depth + 1]
    for seed, row in enumerate(result.architectures.itertuples()):
        cost = _costs(config, row.width, len(result.observed))
        total += sum(cost[name] * n for name, n in epochs)
        jobs.append(("member", store.root, config, keys, (int(row.width), float(row.l1), seed, depth), cost))
    done = _run_jobs(config, jobs, total, "autoencoders", quiet)
    for name, _ in epochs:
        result.keys[name] = [member[name] for member in done]


def _record(result, seconds):
    """Note the run for ``dtl figures``: its keys, versions, hashes and timings, in one file that is replaced whole."""
    from .store import versions

    folder = result.store.root / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    figures = result.figures
    manifest = {
        "profile": result.config.profile,
        "config": dataclasses.asdict(result.config),
        "keys": result.keys,
        "versions": versions(),
        "libraries": {name: _library_hash(name) for name in ("grid_a", "survey_b")},
        "seconds": {**result.seconds(), "this_call": seconds},
        "figures": figures,
    }
    for name in (result.config.profile, "last"):
        part = folder / f".{name}.{os.getpid()}"
        part.write_text(json.dumps(manifest, indent=1) + "\n")
        os.replace(part, folder / f"{name}.json")
