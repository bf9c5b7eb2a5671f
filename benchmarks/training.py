"""Training speed against Keras on TensorFlow and against the machine's peak, interleaved, on one core.

Autoencoder of the paper (n = 1024, batch 128), and regressors (batch 32) alone and in stacks, in model-samples per
second. Both sides do the same: forward, loss, backward, Adam. The peak is that of a float32 matrix product of 2048 x
2048, measured in each round. Every figure is a ratio within a round; printed are median, least and largest.

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
AUTOENCODER_BATCHES, REGRESSOR_STEPS = 32, {1: 100, 8: 40, 26: 16, 130: 4}


def widths():
    return [N_PIXELS, WIDTH, 3 * WIDTH // 4, WIDTH // 2, WIDTH // 4, WIDTH // 8, 32]


def flops_a_spectrum():
    """Multiply-adds count twice; three products a layer and step, but for the first layer's gradient of its input."""
    sizes = [a * b for a, b in zip(widths()[:-1], widths()[1:], strict=True)]
    return 2 * (6 * sum(sizes) - sizes[0])


def torch_worker():
    """name -> samples or operations that one call works off."""
    import torch

    from dtl_core.autoencoder import Autoencoder, autoencoder_loss
    from dtl_core.regressor import Regressor, regression_loss
    from dtl_core.training import fit

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    flux = torch.rand(N_SPECTRA, N_PIXELS, generator=generator)
    latent, target = torch.rand(N_SPECTRA, 32, generator=generator), torch.rand(1, N_SPECTRA, generator=generator)
    models = {}

    def train(name, make, loss, n_members, batch, steps):
        if name not in models:
            models[name] = make()
        index = np.repeat(np.arange(batch * steps)[None] % N_SPECTRA, n_members, 0)
        fit(models[name], loss, index, epochs=1, batch_size=batch, learning_rate=1e-4, seeds=[0] * n_members)
        return batch * steps * n_members

    def gemm():
        a = torch.rand(2048, 2048, generator=generator)
        for _ in range(4):
            a @ a
        return 4 * 2 * 2048**3

    def ae(form, weight):
        def loss(m, rows):
            return autoencoder_loss(m, flux[rows], l1=1e-7, weight=weight, form=form)

        name = f"ae {form} {weight}"
        return train(name, lambda: Autoencoder(N_PIXELS, WIDTH), loss, 1, 128, AUTOENCODER_BATCHES)

    def regressors(n):
        def loss(m, rows):
            return regression_loss(m, latent[rows], target.expand(n, -1).gather(1, rows))

        make = lambda: Regressor(latent, target.expand(n, -1), range(n))  # noqa: E731
        return train(f"cnn {n}", make, loss, n, 32, REGRESSOR_STEPS[n])

    work = {"gemm": gemm, "ae": lambda: ae("paper", 1e-4), "ae, no penalty": lambda: ae("paper", 0.0)}
    work["ae, exact penalty"] = lambda: ae("exact", 1e-4)
    return work | {f"cnn {n}": lambda n=n: regressors(n) for n in STACKS}


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
    cnn = keras.Sequential([keras.layers.Input((32, 1)), *convolution, *tail])
    cnn.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse", jit_compile=False)
    latent, target = rng.random((N_SPECTRA, 32, 1), dtype=np.float32), rng.random(N_SPECTRA, dtype=np.float32)

    def ae():
        autoencoder.fit(flux, flux, batch_size=128, epochs=1, verbose=0)
        return len(flux)

    def one():
        cnn.fit(latent, target, batch_size=32, epochs=1, verbose=0)
        return len(latent)

    return {"ae": ae, "cnn": one}


def serve(work):
    """Do what is named on standard input, and say how much was done in which time."""
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
        assert self.process.stdout.readline().strip() == "ready", f"the {kind} worker did not start"

    def rate(self, name):
        print(name, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def main(rounds=5):
    if not (KERAS / "bin" / "python").exists():
        venv.create(KERAS, with_pip=True)
        subprocess.run([KERAS / "bin" / "pip", "install", "-q", "numpy", *PINS], check=True)
    ours, theirs = Worker(sys.executable, "torch"), Worker(KERAS / "bin" / "python", "keras")
    names = ["gemm", "ae", "ae, no penalty", "ae, exact penalty", *(f"cnn {n}" for n in STACKS)]
    table = {"ours": {name: [] for name in names}, "keras": {"ae": [], "cnn": []}}
    for _ in range(rounds + 1):
        for name in names:
            table["ours"][name].append(ours.rate(name))
        for name in table["keras"]:
            table["keras"][name].append(theirs.rate(name))
    mine, peer = ({name: np.array(v[1:]) for name, v in rows.items()} for rows in table.values())  # the first warms up
    ratios = {"autoencoder, share of the sgemm peak": mine["ae"] * flops_a_spectrum() / mine["gemm"]}
    ratios["autoencoder, times Keras"] = mine["ae"] / peer["ae"]
    for form in ("no penalty", "exact penalty"):
        ratios[f"autoencoder, {form}, times the paper's"] = mine[f"ae, {form}"] / mine["ae"]
    ratios |= {f"regressors in stacks of {n}, times Keras": mine[f"cnn {n}"] / peer["cnn"] for n in STACKS}
    print(f"sgemm {np.median(mine['gemm']) / 1e9:.0f} GFLOP/s, autoencoder {np.median(mine['ae']):.0f} spectra/s")
    for name, values in ratios.items():
        print(f"{name:52s} {np.median(values):6.2f} (from {values.min():.2f} to {values.max():.2f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        serve({"torch": torch_worker, "keras": keras_worker}[sys.argv[2]]())
    else:
        main(*map(int, sys.argv[1:]))
