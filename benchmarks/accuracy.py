"""How an autoencoder and its regressors approach their final error, against time: the faithful recipe and fast ones.

One autoencoder with one regressor per parameter goes through the stages of a profile, on one core, each stage in a
store of its own; the errors after every epoch come from the stored histories, the seconds from the store's timings. The
faithful recipe is the profile ``paper``; ``RECIPES`` names all. Keras takes longer for an epoch:
``benchmarks/training.py`` measures how much. The data are the simulated ones, without real stars.

    python benchmarks/accuracy.py [recipe]          paper takes more than an hour
"""

import json
import sys
import tempfile

import numpy as np

from dtl_core.config import load_profile
from dtl_core.files import load_arrays
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import conduct, stages

WIDTH, L1 = 1024, 1e-7


def curves(config, width=WIDTH, l1=L1, root=None):
    """Measure the errors of one autoencoder and of its regressors after every epoch, and the seconds until then.

    Parameters
    ----------
    config : dtl_core.config.Config
    width : int, optional
    l1 : float, optional
        L1 factor of the autoencoder.
    root : path, optional
        Folder of the stages; a temporary one by default.

    Returns
    -------
    dict
    """
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        run = conduct.run(config, until="observed", root=root or temporary)
        store, keys, member = run.store, dict(run.keys), [stages.Member(width, l1, 0)]
        trained = stages.train_autoencoders(store, run.config, keys, member, _ticker("autoencoder"))
        tuned = stages.transfer_autoencoders(store, run.config, keys, trained, member)
        fitted = stages.train_regressors(store, run.config, keys, tuned, member, _ticker("regressors"))
        history = load_arrays(store.path("autoencoder", trained[0]) / "history.safetensors")
        parts = load_arrays(store.path("regression", fitted[0]) / "estimates.safetensors")
        n_spectra = len(run.synthetic["labels"])
        timing = {name: store.timing(name, key[0]) for name, key in
                  (("autoencoder", trained), ("transfer", tuned), ("regression", fitted))}  # fmt: skip
    n = len(parts["column"])
    return {
        "width": width,
        "l1": l1,
        "pixels": len(run.wavelength),
        "spectra": n_spectra,
        "autoencoder": {
            "seconds": timing["autoencoder"]["epochs"],
            "test_mse": history["test"][:, 0].tolist(),
            "live_units": int(parts["live"].sum()),
        },
        "transfer": {"seconds": timing["transfer"]["seconds"]},
        "regressors": {
            "together": n,
            "seconds": timing["regression"]["epochs"],
            "test_mse": {
                name: np.sort(parts["history_test"][:, parts["column"] == k], axis=1).tolist()
                for k, name in enumerate(PARAMETERS)
            },
        },
    }


def _ticker(label):
    """Print a line on standard error from time to time."""
    import time

    state = {"n": 0, "start": time.monotonic(), "next": 60.0}

    def tick(share=1.0):
        state["n"] += 1
        if time.monotonic() - state["start"] > state["next"]:
            state["next"] += 60.0
            print(f"{label}: epoch {state['n']}", file=sys.stderr, flush=True)

    return tick


ONE = {"survey.real_stars": "no", "regression.n_models": 1}
RECIPES = {  # name -> profile and what is changed
    "paper-fast": ("paper-fast", {}),
    "paper-fast with the penalty": ("paper-fast", {"autoencoder.contractive_weight": 1e-4}),
    "paper": ("paper", {}),
}


def measure(recipe, root=None):
    """Curves of one of ``RECIPES``."""
    profile, changed = RECIPES[recipe]
    return curves(load_profile(profile, ONE | changed), root=root)


def main(recipe="paper-fast"):
    print(json.dumps(measure(recipe)))


if __name__ == "__main__":
    main(*sys.argv[1:])
