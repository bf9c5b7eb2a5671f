"""What each stage of a run computes and stores, under a key of its code, its settings and what it is made from.

The functions here know the store and the modules of the method; :mod:`dtl_core.pipeline` calls them in order.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from . import chain, estimate, gap, observed, readers, registry, synthetic
from .config import PARAMETER_COLUMNS, PARAMETERS
from .store import file_hash, load_arrays, save_arrays

__all__ = [
    "ARMS",
    "Member",
    "library_hash",
    "load_autoencoders",
    "load_regressors",
    "make_catalogue",
    "make_observed",
    "make_synthetic",
    "measure_gap",
    "regressors_of",
    "score_candidates",
    "score_regressors",
    "train_autoencoders",
    "train_regressors",
    "transfer_autoencoders",
]

ARMS = ("transfer", "direct")
_NETWORK = ("autoencoder", "stacks", "training", "stages")


def library_hash(name):
    """SHA-256 of the file of an embedded library, ``grid_a`` or ``survey_b``."""
    return file_hash(Path(synthetic.__file__).parent / "data" / "lte" / f"{name}.npz")


def make_synthetic(store, config, progress=None):
    """Stage ``synthetic``: fluxes and labels of the source domain. Returns: folder and key."""

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
    readings = (
        "readers", "spectrum", "formats", "keywords", "columns", "text", "orders", "tables", "images", "hpf",
        "carmenes", "multispec", "chiron", "eprv", "esprit", "phoenix",
    )  # fmt: skip
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
    return lambda m, rows: autoencoder_loss(m, flux[rows], l1=l1, weight=weight, form=form)


def _new_autoencoder(config, flux, train, width, seeds):
    from .autoencoder import Autoencoder

    settings = config.autoencoder
    return Autoencoder(
        flux.shape[1],
        width,
        seeds,
        bottleneck=settings.bottleneck,
        flux_ceiling=settings.flux_ceiling,
        sample=flux[train] if settings.centred else None,
    ).to(flux.device)


def _architecture(config):
    """Settings that every autoencoder depends on; its width, L1 and seed are its own."""
    plain = dataclasses.asdict(config.autoencoder)
    return {k: plain[k] for k in plain if k not in ("widths", "l1", "n_models", "learning_rate")}


def _device(config):
    """The kind of device as a part of the key, and its precision: CPU and GPU do not give the same bytes."""
    from .training import choose_device

    return {"device": choose_device(config.device).type, "precision": config.precision}


def score_candidates(store, config, keys, candidates, epochs, progress=None):
    """Cross-validated plain MSE of combinations of the grid search, all of one width and learning rate.

    Arguments: candidates, list of (width, l1, rate), which train as one stack; epochs, of each; the others as elsewhere
    here. Returns: list of keys.
    """
    import torch

    from .search import folds
    from .training import choose_device, fit, split
    from .transfer import reconstruction_error

    ((width, rate),) = {(width, rate) for width, _, rate in candidates}
    settings = config.search

    def compute(missing, folders, checkpoint):
        flux = _flux(store, "synthetic", keys["synthetic"], choose_device(config.device))
        train, _ = split(len(flux), config.autoencoder.test_fraction, [config.seed, 2])
        if settings.fraction < 1:
            _, train = (train[part] for part in split(len(train), settings.fraction, [config.seed, 6]))
        l1 = torch.tensor([candidates[number][1] for number in missing], device=flux.device)
        scores = np.empty((len(missing), settings.folds))
        for k, (rest, held_out) in enumerate(folds(train, settings.folds, [config.seed, 3])):
            model = _new_autoencoder(config, flux, rest, width, [1000 + k] * len(missing))
            fit(
                model,
                _loss(config, flux, l1, 0.0),
                np.repeat(rest[None], len(missing), 0),
                epochs=epochs,
                batch_size=config.autoencoder.batch_size,
                learning_rate=rate,
                seeds=[k] * len(missing),
                schedule=config.autoencoder.schedule,
                precision=config.precision,
                progress=progress,
            )
            scores[:, k] = np.nan_to_num(reconstruction_error(model, flux[held_out]).cpu().numpy(), nan=np.inf)
        for folder, mse in zip(folders, scores, strict=True):
            save_arrays(folder / "scores.safetensors", {"mse": mse})

    architecture = _architecture(config)
    architecture = {
        k: architecture[k] for k in ("bottleneck", "batch_size", "schedule", "test_fraction", "centred", "flux_ceiling")
    }
    common = {"rate": rate, "width": width, "architecture": architecture, "seed": config.seed} | _device(config)
    common["search"] = {"folds": settings.folds, "fraction": settings.fraction, "epochs": epochs}
    items = [(common | {"l1": l1}, {"synthetic": keys["synthetic"]}) for _, l1, _ in candidates]
    return [key for _, key in store.stages("candidate", items, (*_NETWORK, "search", "transfer"), compute)]


def score_regressors(store, config, keys, transferred, net, kinds, epochs, progress=None):
    """Cross-validated MSE of one kind of regressor on the latents of one autoencoder, all folds as one stack.

    Arguments
    ---------
    transferred : key of the autoencoder's fine-tuning
    net : RegressorConfig
    kinds : numbers of the parameters that it is tried for
    epochs : of each training

    Returns
    -------
    list of keys, one a parameter.
    """
    import torch

    from .regressor import RegressionTask
    from .search import folds
    from .training import choose_device

    settings = config.search

    def compute(missing, folders, checkpoint):
        device = choose_device(config.device)
        labels = load_arrays(store.path("synthetic", keys["synthetic"]) / "synthetic.safetensors")["labels"]
        latents = _tensors(store.path("transfer", transferred) / "latents.safetensors")["synthetic"].to(device)
        task = RegressionTask(latents[None], labels, config)
        tried = np.array([kinds[number] for number in missing])
        parts = [folds(np.asarray(row), settings.folds, [config.seed, 3]) for row in task.rows(tried)[0].cpu()]
        sides = []
        for side in (0, 1):
            length = min(len(fold[side]) for part in parts for fold in part)
            rows = np.stack([fold[side][:length] for part in parts for fold in part])
            sides.append(torch.as_tensor(rows, device=device))
        kind, number = np.repeat(tried, settings.folds), np.tile(np.arange(settings.folds), len(tried))
        _, history = task.fit(net, 0 * kind, kind, 10 * kind + number, rows=sides, epochs=epochs, progress=progress)
        scores = history["test"][-1].reshape(len(tried), settings.folds)
        for folder, mse in zip(folders, scores, strict=True):
            save_arrays(folder / "scores.safetensors", {"mse": mse.astype(float)})
        return history["seconds"]

    plain = {k: getattr(config.regression, k) for k in ("batch_size", "test_fraction", "schedule")}
    common = {"net": net, "regression": plain, "seed": config.seed, "folds": settings.folds, "epochs": epochs}
    items = [
        (common | _device(config) | {"kind": int(k)}, {"transfer": transferred, "synthetic": keys["synthetic"]})
        for k in kinds
    ]
    return [key for _, key in store.stages("regressor_candidate", items, (*_NETWORK, "regressor", "search"), compute)]


class Member(NamedTuple):
    """An autoencoder of the ensemble, with its fine-tuning and its regressors: width, L1 factor, seed."""

    width: int
    l1: float
    seed: int


def _histories(history, columns):
    """The part of a stack's history that belongs to some members, without times: two runs give the same bytes."""
    return {name: value[..., columns] for name, value in history.items() if name != "seconds"}


def train_autoencoders(store, config, keys, members, progress=None):
    """Pretraining of autoencoders of one width on synthetic spectra, as one stack. Returns: list of keys."""
    import torch

    from .stacks import take
    from .training import Checkpoint, choose_device, fit_members, split
    from .transfer import reconstruction_error

    settings = config.autoencoder

    def compute(missing, folders, checkpoint):
        flux = _flux(store, "synthetic", keys["synthetic"], choose_device(config.device))
        train, test = split(len(flux), settings.test_fraction, [config.seed, 2])
        chosen = [members[k] for k in missing]
        held_out = flux[test]

        def task(numbers):
            l1 = torch.tensor([chosen[k].l1 for k in numbers], device=flux.device)
            seeds = [chosen[k].seed for k in numbers]
            return {
                "model": _new_autoencoder(config, flux, train, chosen[0].width, seeds),
                "loss": _loss(config, flux, l1, settings.contractive_weight),
                "index": np.repeat(train[None], len(numbers), 0),
                "seeds": seeds,
                "evaluate": lambda m: reconstruction_error(m, held_out),
            }

        model, history = fit_members(
            task,
            len(chosen),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            schedule=settings.schedule,
            precision=config.precision,
            progress=progress,
            checkpoint=Checkpoint(checkpoint),
        )
        for number, folder in enumerate(folders):
            save_arrays(folder / "weights.safetensors", take(model, [number]))
            save_arrays(folder / "history.safetensors", _histories(history, [number]))
        return history["seconds"]

    common = {"rate": settings.learning_rate, "architecture": _architecture(config), "seed": config.seed}
    items = [
        (common | _device(config) | {"width": m.width, "l1": m.l1, "member": m.seed}, {"synthetic": keys["synthetic"]})
        for m in members
    ]
    return [key for _, key in store.stages("autoencoder", items, (*_NETWORK, "transfer"), compute)]


def load_autoencoders(config, folders, width, device="cpu"):
    """The stack of autoencoders of one width whose weights lie in stages' folders."""
    import torch

    from .autoencoder import Autoencoder
    from .stacks import join

    states = [
        {name: torch.from_numpy(array) for name, array in load_arrays(folder / "weights.safetensors").items()}
        for folder in folders
    ]
    weights, settings = join(states, Autoencoder.shared), config.autoencoder
    n_pixels, seeds = len(weights["flux_mean"]), range(len(folders))
    model = Autoencoder(n_pixels, width, seeds, bottleneck=settings.bottleneck, flux_ceiling=settings.flux_ceiling)
    model.load_state_dict(weights)
    return model.to(device)


def transfer_autoencoders(store, config, keys, pretrained, members, progress=None):
    """Fine-tuning of autoencoders of one width, as one stack, and the latents: synthetic ones from before, observed
    ones from before and after. Arguments: pretrained, a key for each of the members. Returns: list of keys.
    """
    import torch

    from .stacks import take
    from .training import Checkpoint, choose_device, split
    from .transfer import fine_tune, reconstruction_error

    def compute(missing, folders, checkpoint):
        device = choose_device(config.device)
        flux, stars = (_flux(store, name, keys[name], device) for name in ("synthetic", "observed"))
        chosen = [members[k] for k in missing]
        places = [store.path("autoencoder", pretrained[k]) for k in missing]
        model = load_autoencoders(config, places, chosen[0].width, device)
        train, test = split(len(stars), config.transfer.test_fraction, [config.seed, 4])
        tuned, history = fine_tune(
            model,
            stars,
            train,
            test,
            config,
            l1=torch.tensor([m.l1 for m in chosen], device=device),
            seeds=[m.seed for m in chosen],
            progress=progress,
            checkpoint=Checkpoint(checkpoint),
        )
        errors = {"before": reconstruction_error(model, stars[test]), "after": reconstruction_error(tuned, stars[test])}
        latents = {
            "synthetic": _encode(model, flux),
            "direct": _encode(model, stars),
            "transfer": _encode(tuned, stars),
        }
        for number, folder in enumerate(folders):
            save_arrays(folder / "weights.safetensors", take(tuned, [number]))
            own = _histories(history, [number]) | {name: error[[number]] for name, error in errors.items()}
            save_arrays(folder / "history.safetensors", own | {"test_rows": test})
            save_arrays(folder / "latents.safetensors", {name: z[number] for name, z in latents.items()})
        return history["seconds"]

    loss = {k: _architecture(config)[k] for k in ("contractive", "contractive_weight")}
    common = {"transfer": config.transfer, "seed": config.seed, "loss": loss} | _device(config)
    items = [
        (
            common | {"l1": member.l1, "member": member.seed},
            {"autoencoder": key, "observed": keys["observed"], "synthetic": keys["synthetic"]},
        )
        for member, key in zip(members, pretrained, strict=True)
    ]
    return [key for _, key in store.stages("transfer", items, (*_NETWORK, "transfer"), compute)]


def _encode(model, flux, batch_size=2048):
    """Latents (E, n, n_units) of any number of spectra, in batches to spare memory."""
    import torch

    with torch.no_grad():
        return torch.cat([model.encode(part) for part in flux.split(batch_size)], dim=1)


def train_regressors(store, config, keys, transferred, members, progress=None):
    """All regressors on the latents of some autoencoders: every parameter, ``n_models`` each.

    Those of one shape and learning rate train as one stack, of whichever autoencoder and parameter they are.

    Arguments: transferred, a key for each of the members; progress, called once an epoch of a stack with its share of
    all regressors. Returns: list of keys.
    """
    import torch

    from .regressor import RegressionTask, live_units
    from .stacks import take
    from .training import Checkpoint, choose_device

    settings = config.regression
    n = settings.n_models
    each = len(PARAMETERS) * n  # regressors of one autoencoder
    column = np.repeat(np.arange(len(PARAMETERS)), n)  # the parameter of each of them

    def compute(missing, folders, checkpoint):
        device = choose_device(config.device)
        labels = load_arrays(store.path("synthetic", keys["synthetic"]) / "synthetic.safetensors")["labels"]
        stored = [_tensors(store.path("transfer", transferred[k]) / "latents.safetensors") for k in missing]
        latents = {name: torch.stack([one[name] for one in stored]).to(device) for name in stored[0]}
        task = RegressionTask(latents["synthetic"], labels, config)
        owner = np.repeat(np.arange(len(missing)), each)
        kind = np.tile(column, len(missing))
        first = np.repeat([1000 * members[m].seed for m in missing], each)
        seeds = first + 10 * kind + np.tile(np.arange(n), len(kind) // n)
        nets = [getattr(settings, PARAMETERS[k]) for k in kind]
        out, histories, seconds = {}, {}, 0.0
        weights = [{} for _ in missing]
        stacks = list(dict.fromkeys(nets))
        checkpoints = [
            Checkpoint(checkpoint.with_name(f"{checkpoint.stem}-{number}.safetensors"), keep=len(stacks) > 1)
            for number in range(len(stacks))
        ]
        for net, saved in zip(stacks, checkpoints, strict=True):
            rows = np.array([k for k, other in enumerate(nets) if other == net])
            model, history = task.fit(
                net,
                owner[rows],
                kind[rows],
                seeds[rows],
                progress=progress and functools.partial(progress, len(rows) / len(nets)),
                checkpoint=saved,
            )
            seconds = seconds + history.pop("seconds")
            mine = torch.as_tensor(owner[rows], device=device)
            estimates = {arm: model.predict(latents[arm][mine]) for arm in ARMS}
            _, test = task.rows(kind[rows])
            estimates["test_prediction"] = model.predict(latents["synthetic"][mine[:, None], test])
            for name, value in estimates.items():
                out.setdefault(name, np.zeros((len(nets), value.shape[1]), np.float32))[rows] = value.cpu().numpy()
            for name, value in history.items():
                histories.setdefault(name, np.full((*value.shape[:-1], len(nets)), np.nan))[..., rows] = value
            for m, k in sorted(set(zip(owner[rows], kind[rows], strict=True))):
                own = np.flatnonzero((owner[rows] == m) & (kind[rows] == k))
                weights[m] |= {f"{PARAMETERS[k]}.{name}": value for name, value in take(model, own).items()}
        test = task.rows(column)[1]
        common = {"column": column, "test_truth": torch.gather(task.targets[column], 1, test)}
        for m, folder in enumerate(folders):
            save_arrays(folder / "weights.safetensors", weights[m])
            own = slice(m * each, (m + 1) * each)
            arrays = {name: value[own] for name, value in out.items()}
            arrays |= {f"history_{name}": value[..., own] for name, value in histories.items()}
            arrays["live"] = live_units(latents["synthetic"][m]).cpu().numpy().astype(np.uint8)
            save_arrays(folder / "estimates.safetensors", common | arrays)
        for saved in checkpoints:
            saved.remove()
        return seconds

    plain = {k: v for k, v in dataclasses.asdict(settings).items() if k != "n_kept"}
    common = {"regression": plain, "seed": config.seed} | _device(config)
    items = [
        (common | {"member": member.seed}, {"transfer": key, "synthetic": keys["synthetic"]})
        for member, key in zip(members, transferred, strict=True)
    ]
    return [key for _, key in store.stages("regression", items, (*_NETWORK, "regressor"), compute)]


def load_regressors(config, folder, parameter, members):
    """The stack of some regressors of one autoencoder and parameter, whose weights lie in a stage's folder."""
    import torch

    prefix, members = f"{parameter}.", torch.as_tensor(np.asarray(members))
    weights = {
        name.removeprefix(prefix): torch.from_numpy(array)[members]
        for name, array in load_arrays(folder / "weights.safetensors").items()
        if name.startswith(prefix)
    }
    return regressors_of(config, parameter, weights)


def regressors_of(config, parameter, weights):
    """The stack of regressors of a parameter that has these weights, tensors by name."""
    import torch

    from .regressor import Regressor

    members, _, n_units = weights["latent_mean"].shape
    net, blank = getattr(config.regression, parameter), torch.zeros(2, n_units)
    nothing = torch.zeros(members, 2)  # all that the constructor measures comes with the weights
    model = Regressor(blank, nothing, range(members), filters=net.filters, units=net.units)
    model.load_state_dict(weights)
    return model


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
