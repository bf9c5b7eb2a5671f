"""What each stage of a run computes and stores, under a key of its code, its settings and what it is made from.

The functions here know the store and the modules of the method; :mod:`dtl_core.pipeline` calls them in order.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
from astropy.table import Table

from . import chain, estimate, gap, observed, readers, registry, synthetic
from .config import PARAMETER_COLUMNS, PARAMETERS
from .store import file_hash, load_arrays, save_arrays

__all__ = [
    "ARMS",
    "library_hash",
    "load_autoencoder",
    "make_catalogue",
    "make_observed",
    "make_synthetic",
    "measure_gap",
    "score_candidate",
    "select_architectures",
    "train_autoencoder",
    "train_regressors",
    "transfer_autoencoder",
]

ARMS = ("transfer", "direct")
_NETWORK = ("autoencoder", "stacks", "training", "stages")


def library_hash(name):
    return file_hash(Path(synthetic.__file__).parent / "data" / "lte" / f"{name}.npz")


def make_synthetic(store, config, progress=None):
    def compute(folder):
        flux, labels = synthetic.synthetic_set(config, progress=progress)
        save_arrays(folder / "synthetic.safetensors", {"flux": flux, "labels": labels})

    settings = {
        "window": config.window,
        "continuum": config.continuum,
        "synthetic": config.synthetic,
        "seed": config.seed,
    }
    if config.synthetic.library == "phoenix":
        inputs = {path.name: file_hash(path) for path in registry.find_all("phoenix/cut/lte*.fits")}
    else:
        inputs = {config.synthetic.library: library_hash(config.synthetic.library)}
    return store.stage("synthetic", settings, inputs, ("spectra", "synthetic", "phoenix", "stages"), compute)


def make_observed(store, config, files):
    """The survey's spectra and truth, and after them the real ones, through the chain, with their reports."""

    def compute(folder):
        flux, truth = observed.survey_set(config)
        strict = config.survey.broken == "stop"
        found, refused = readers.read_many(files, strict=strict) if files else ([], {"file": [], "error": []})
        if config.survey.coadd:
            found = chain.group_exposures(found)
        real, reports, failures = chain.prepare_many(found, config, strict=strict)
        rows, names = [], set(truth["karmn"])
        for report in map(dataclasses.asdict, reports):
            report["file"] = Path(report["file"]).name  # the same data elsewhere are the same result
            if report["star"] in names:  # a second exposure, or a name that the survey uses: a row of its own
                report["star"] += f" ({Path(report['file']).stem})"
            names.add(report["star"])
            rows.append(report)
        save_arrays(folder / "observed.safetensors", {"flux": np.concatenate([flux, real])})
        Table.from_pandas(truth).write(folder / "truth.ecsv")
        failed = [*zip(refused["file"], refused["error"], strict=True), *failures]
        record = {"stars": rows, "refused": [{"file": str(file), "error": str(error)} for file, error in failed]}
        (folder / "reports.json").write_text(json.dumps(record, indent=1))

    survey = {k: v for k, v in dataclasses.asdict(config.survey).items() if k not in ("real_stars", "spectra")}
    settings = {
        "window": config.window,
        "continuum": config.continuum,
        "chain": config.chain,
        "survey": survey,
        "limb_darkening": config.synthetic.limb_darkening,
    }
    inputs = {name: library_hash(name) for name in ("grid_a", "survey_b")}
    for number, path in enumerate(files):  # what lies beside an exposure of HPF counts too
        inputs[f"{number}:{path.name}"] = file_hash(path)
        inputs |= {f"{number}:{beside.name}": file_hash(beside) for beside in readers.companions(path)}
    readings = ("readers", "spectrum", "instruments", "tables", "formats", "phoenix")
    modules = ("spectra", "synthetic", "observed", *readings, "velocity", "chain", "stages")
    return store.stage("observed", settings, inputs, modules, compute)


def measure_gap(store, config, keys, synthetic_vectors, observed_vectors, *, name, metric):
    """Nearest distances and the UMAP of both domains, in flux (``gap``) or latent space (``latent_gap``)."""

    def compute(folder):
        near, seen = synthetic_vectors(), observed_vectors()
        arrays = {f"distance_{arm}": gap.nearest_distance(vectors, near) for arm, vectors in seen.items()}
        for arm, vectors in seen.items():
            model_map, star_map, rows = gap.umap_map(near, vectors, config.umap, metric=metric, seed=config.seed)
            arrays |= {f"map_synthetic_{arm}": model_map, f"map_observed_{arm}": star_map, f"rows_{arm}": rows}
        save_arrays(folder / "gap.safetensors", arrays)

    settings = {"umap": config.umap, "metric": metric, "seed": config.seed}
    return store.stage(name, settings, keys, ("gap", "stages"), compute)


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


def score_candidate(store, config, keys, width, l1, rate, progress=None):
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


def train_autoencoder(store, config, keys, width, l1, seed, progress=None):
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


def transfer_autoencoder(store, config, keys, member, width, l1, seed, progress=None):
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


def train_regressors(store, config, keys, transferred, seed, progress=None):
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


def make_catalogue(store, config, keys, regressions, stars):
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
    return store.stage("catalogue", settings, inputs, ("estimate", "stages"), compute)
