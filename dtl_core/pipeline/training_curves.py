"""Test errors of the networks against training time, from the record that ``make bench`` writes."""

from __future__ import annotations

import numpy as np

from ..config import load_profile

__all__ = ["curves_in_time", "samples_per_epoch", "seconds_per_sample", "seconds_until", "values_of"]


def values_of(part):
    """Values of a part of the record, by profile where each profile was measured on its own day."""
    return part["values"] if "values" in part else {profile: entry["values"] for profile, entry in part.items()}


def seconds_until(errors, seconds, target):
    """Time at the end of the first epoch with an error at or below a target; None if there is none."""
    below = np.flatnonzero(np.asarray(errors) <= target)
    return float(seconds[below[0]]) if len(below) else None


def seconds_per_sample(record, name):
    """Training time for one sample from the recorded rate, s; None where it was not measured."""
    part = record.get("training")
    return 1 / part["values"]["rates"][name] if part else None


def samples_per_epoch(profile, curves, kind):
    """Number of samples in an epoch of an ``autoencoder`` or a ``regressor`` of the profile."""
    config = load_profile(profile)
    group = config.autoencoder if kind == "autoencoder" else config.regression
    return (1 - group.test_fraction) * curves["spectra"]


def curves_in_time(record, network):
    """Recorded test errors against wall time, for :func:`dtl_core.plots.method_figures.errors_against_time`.

    Epochs of the paper's recipe are shown at the speed of Keras and of this package, both as `make bench` measured
    them; epochs of the fast recipe as they were timed.

    Parameters
    ----------
    record : dict
        Values of the record "benchmarks".
    network : str
        ``autoencoder``, or a parameter for its best regressor.

    Returns
    -------
    dict of str to (seconds, errors)
    """
    kind = "autoencoder" if network == "autoencoder" else "regressor"
    out = {}
    for profile, curves in values_of(record["accuracy"]).items():
        if kind == "autoencoder":
            errors, seconds = curves[kind]["test_mse"], curves[kind]["seconds"]
        else:
            part = curves["regressors"]
            errors, seconds = np.array(part["test_mse"][network])[:, 0], np.array(part["seconds"]) / part["together"]
        if profile == "paper":
            samples = samples_per_epoch(profile, curves, kind) * np.arange(1, len(errors) + 1)
            out["paper, in Keras"] = samples * seconds_per_sample(record, f"Keras {kind}"), errors
            own = "autoencoder" if kind == "autoencoder" else "regressors 1"
            out["paper, here"] = samples * seconds_per_sample(record, own), errors
        else:
            out[profile] = np.asarray(seconds), errors
    first = [name for name in ("paper, in Keras", "paper, here", "paper-fast") if name in out]
    return {name: out[name] for name in (*first, *(other for other in out if other not in first))}
