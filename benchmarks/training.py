"""Training speed against Keras on TensorFlow and against the machine's peak, interleaved, on one core.

Autoencoder of the paper (n = 1024, batch 128), and regressors (batch 32) alone and in stacks, in model-samples per
second. Both sides do the same: forward, loss, backward, Adam. The peak is that of a float32 matrix product of 2048 x
2048, measured in each round. With a GPU our side runs on it, while Keras stays on the CPU.

    python benchmarks/training.py [rounds]          Keras in its own environment, made on first use (about 2 GB)
"""

import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
KERAS = ROOT / ".venv-keras"
PINS = ["tensorflow==2.21.0", "keras==3.15.1"]
N_PIXELS, WIDTH, N_SPECTRA = 3501, 1024, 4096
STACKS = (1, 8, 26, 130)
AUTOENCODER_BATCHES, REGRESSOR_STEPS = 16, {1: 64, 8: 16, 26: 8, 130: 2}
CASES = ("peak", "autoencoder", "no penalty", "exact penalty", *(f"regressors {n}" for n in STACKS))


def widths():
    return [N_PIXELS, WIDTH, 3 * WIDTH // 4, WIDTH // 2, WIDTH // 4, WIDTH // 8, 32]


def flops_a_spectrum():
    """Multiply-adds count twice; three products per layer and step, but two for the first layer."""
    sizes = [a * b for a, b in zip(widths()[:-1], widths()[1:], strict=True)]
    return 2 * (6 * sum(sizes) - sizes[0])


def torch_worker():
    """name -> what one call processes: samples, or operations of the peak."""
    import torch

    from dtl_core.networks.autoencoder import Autoencoder, autoencoder_loss
    from dtl_core.networks.regressor import Regressor, regression_loss
    from dtl_core.networks.training import choose_device, fit

    torch.set_num_threads(1)
    device = choose_device("auto")
    generator = torch.Generator().manual_seed(0)
    flux = torch.rand(N_SPECTRA, N_PIXELS, generator=generator).to(device)
    latent = torch.rand(N_SPECTRA, 32, generator=generator).to(device)
    target = torch.rand(1, N_SPECTRA, generator=generator).to(device)
    square = torch.rand(2048, 2048, generator=generator).to(device)
    models = {}

    def train(name, make, loss, n_members, batch, steps):
        if name not in models:
            models[name] = make().to(device)
        index = np.repeat(np.arange(batch * steps)[None] % N_SPECTRA, n_members, 0)
        fit(models[name], loss, index, epochs=1, batch_size=batch, learning_rate=1e-4, seeds=[0] * n_members)
        return batch * steps * n_members

    def peak():
        for _ in range(4):
            last = square @ square
        last[0, 0].item()  # waits for a GPU
        return 4 * 2 * 2048**3

    def autoencoder(form, weight, batches=AUTOENCODER_BATCHES):
        def loss(m, rows):
            return autoencoder_loss(m, flux[rows], l1=1e-7, weight=weight, form=form)

        return train(f"{form} {weight}", lambda: Autoencoder(N_PIXELS, WIDTH), loss, 1, 128, batches)

    def regressors(n):
        def loss(m, rows):
            return regression_loss(m, latent[rows], target.expand(n, -1).gather(1, rows))

        return train(
            f"regressors {n}", lambda: Regressor(latent, target.expand(n, -1), range(n)), loss, n, 32,
            REGRESSOR_STEPS[n],
        )  # fmt: skip

    work = {"peak": peak, "autoencoder": lambda: autoencoder("paper", 1e-4)}
    work |= {"no penalty": lambda: autoencoder("paper", 0.0), "exact penalty": lambda: autoencoder("exact", 1e-4, 2)}
    return work | {f"regressors {n}": lambda n=n: regressors(n) for n in STACKS}


def keras_worker():
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rng, dense = np.random.default_rng(0), keras.layers.Dense

    class Autoencoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = [dense(n, activation="relu") for n in widths()[1:]]
            self.decoder = [dense(n, activation="relu") for n in widths()[-2:0:-1]]
            self.decoder.append(dense(N_PIXELS, activation="sigmoid"))

        def call(self, x):
            for layer in self.encoder:
                x = layer(x)
            self.latent = x
            for layer in self.decoder:
                x = layer(x)
            return x

        def train_step(self, data):
            x, _ = data
            with tf.GradientTape() as tape:
                y = self(x, training=True)
                slope = tf.square(self.latent * (1 - self.latent))
                squares = tf.stop_gradient(tf.reduce_sum(tf.square(self.encoder[-1].kernel), axis=0))
                penalty = tf.reduce_mean(tf.reduce_sum(slope * squares, axis=1))
                loss = tf.reduce_mean(tf.square(y - x)) + 1e-4 * penalty
            slopes = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(slopes, self.trainable_variables, strict=True))
            return {"loss": loss}

    flux, autoencoder = rng.random((128 * AUTOENCODER_BATCHES, N_PIXELS), dtype=np.float32), Autoencoder()
    autoencoder.compile(optimizer=keras.optimizers.Adam(1e-4), jit_compile=False)
    convolution = [keras.layers.Conv1D(n, 2, padding="same", activation="relu") for n in (64, 32)]
    tail = [keras.layers.Flatten(), *(dense(n, activation="relu") for n in (256, 128, 64)), dense(1)]
    regressor = keras.Sequential([keras.layers.Input((32, 1)), *convolution, *tail])
    regressor.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse", jit_compile=False)
    latent, target = rng.random((N_SPECTRA, 32, 1), dtype=np.float32), rng.random(N_SPECTRA, dtype=np.float32)

    def train_autoencoder():
        autoencoder.fit(flux, flux, batch_size=128, epochs=1, verbose=0)
        return len(flux)

    def train_regressor():
        regressor.fit(latent, target, batch_size=32, epochs=1, verbose=0)
        return len(latent)

    return {"autoencoder": train_autoencoder, "regressor": train_regressor}


def serve(work):
    """Do the work named on standard input, and print how much was done per second."""
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        done = work[line.strip()]()
        print(json.dumps(done / (time.perf_counter() - start)), flush=True)


class Worker:
    def __init__(self, python, kind):
        env = os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        command = [str(python), __file__, "--worker", kind]
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True, env=env)
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"the {kind} worker did not start")

    def rate(self, name):
        print(name, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def keras_python():
    """The Python of Keras's own environment, made on first use."""
    if not (KERAS / "bin" / "python").exists():
        venv.create(KERAS, with_pip=True)
    if not list(KERAS.glob("lib/*/site-packages/keras/__init__.py")):
        print(f"installing Keras into {KERAS.name} (some minutes)", file=sys.stderr, flush=True)
        subprocess.run([KERAS / "bin" / "pip", "install", "-q", "numpy", *PINS], check=True)
    return KERAS / "bin" / "python"


def measure(rounds=5):
    """Rates of both, and ratios within a round: name -> [median, least, largest]."""
    python = keras_python()
    ours, theirs = Worker(sys.executable, "torch"), Worker(python, "keras")
    table = {"ours": {name: [] for name in CASES}, "keras": {"autoencoder": [], "regressor": []}}
    for _ in range(rounds + 1):
        for side, worker in (("ours", ours), ("keras", theirs)):
            for name, values in table[side].items():
                values.append(worker.rate(name))
    for worker in (ours, theirs):
        worker.process.stdin.close()
    mine, peer = ({name: np.array(v[1:]) for name, v in rows.items()} for rows in table.values())  # the first warms up
    ratios = {"autoencoder / peak": mine["autoencoder"] * flops_a_spectrum() / mine["peak"]}
    ratios["autoencoder / Keras"] = mine["autoencoder"] / peer["autoencoder"]
    ratios |= {f"{form} / autoencoder": mine[form] / mine["autoencoder"] for form in ("no penalty", "exact penalty")}
    ratios |= {f"regressors {n} / Keras": mine[f"regressors {n}"] / peer["regressor"] for n in STACKS}
    rates = {name: float(np.median(values)) for name, values in mine.items()}
    rates |= {f"Keras {name}": float(np.median(values)) for name, values in peer.items()}
    return {
        "rounds": rounds,
        "keras": PINS,
        "rates": rates,
        "ratios": {name: [float(f(v)) for f in (np.median, np.min, np.max)] for name, v in ratios.items()},
    }


def main(rounds=5):
    found = measure(rounds)
    for name, rate in found["rates"].items():
        print(f"{name:28s} {rate:12.4g} a second")
    for name, (middle, low, high) in found["ratios"].items():
        print(f"{name:36s} {middle:6.2f} (from {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        serve({"torch": torch_worker, "keras": keras_worker}[sys.argv[2]]())
    else:
        main(*map(int, sys.argv[1:]))
