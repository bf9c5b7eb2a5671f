"""What coarser pixels lose: the profile ``paper-fast`` with steps of 0.01, 0.02 and 0.03 A.

For each step and seed one autoencoder is trained, fine-tuned and given one regressor per parameter, on one core. The
comparison covers its reconstruction of synthetic test spectra, the errors of the regressors on the synthetic test set
and on the simulated survey, whose truth is known, and the time.

    python benchmarks/sampling.py [seeds]
"""

import sys
import tempfile

import numpy as np
import torch

from dtl_core.config import load_profile
from dtl_core.files import load_arrays
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import conduct, stages

STEPS, WIDTH, L1 = (0.01, 0.02, 0.03), 1024, 1e-7


def one(step, seed, root):
    config = load_profile(
        "paper-fast", {"window.step": step, "survey.real_stars": "no", "regression.n_models": 2, "device": "cpu"}
    )
    run = conduct.run(config, until="observed", root=root, quiet=True)
    store, member = run.store, [stages.Member(WIDTH, L1, seed)]
    trained = stages.train_autoencoders(store, config, run.keys, member)
    tuned = stages.transfer_autoencoders(store, config, run.keys, trained, member)
    fitted = stages.train_regressors(store, config, run.keys, tuned, member)
    parts = load_arrays(store.path("regression", fitted[0]) / "estimates.safetensors")
    history = load_arrays(store.path("autoencoder", trained[0]) / "history.safetensors")
    after = load_arrays(store.path("transfer", tuned[0]) / "history.safetensors")["after"]
    out = {"seed": seed, "test_mse": float(history["test"][-1, 0]), "transfer_mse": float(after[0])}
    out["seconds"] = sum(store.seconds(*pair) for pair in
                         (("autoencoder", trained[0]), ("transfer", tuned[0]), ("regression", fitted[0])))  # fmt: skip
    for k, name in enumerate(PARAMETERS):
        own, truth = parts["column"] == k, run.truth[name].to_numpy()
        out[f"test_{name}"] = float(np.sqrt(parts["history_test"][-1][own].mean()))
        for encoder in ("transfer", "direct"):
            estimate = parts[encoder][own][:, : len(truth)].mean(0)
            out[f"{encoder}_{name}"] = float(np.sqrt(np.mean((estimate - truth) ** 2)))
    return out


def measure(seeds=2):
    """Rows of every step and seed, rmse in the parameters' units: dict."""
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as root:
        for seed in range(seeds):
            for step in STEPS:
                rows.append({"step": step} | one(step, seed, root))
                print(rows[-1], file=sys.stderr, flush=True)
    return {"width": WIDTH, "l1": L1, "seeds": seeds, "rows": rows}


if __name__ == "__main__":
    measure(*map(int, sys.argv[1:]))
