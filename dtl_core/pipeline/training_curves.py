"""Test errors of the networks against training time, from the record that ``make bench`` writes."""

from __future__ import annotations

import numpy as np

from ..config import load_profile

__all__ = ["curves_in_time", "samples_per_epoch", "seconds_per_sample", "seconds_until", "values_of"]


def values_of(part):
    """What was measured: as it is, or by profile where each has a day of its own."""
    return part["values"] if "values" in part else {profile: entry["values"] for profile, entry in part.items()}


def seconds_until(errors, seconds, target):
    """Time at which a falling error is first at or below a target: the end of that epoch; None if it never is."""
    below = np.flatnonzero(np.asarray(errors) <= target)
    return float(seconds[below[0]]) if len(below) else None


def seconds_per_sample(found, name):
    """Seconds that training takes for one sample by the recorded rate, or None."""
    part = found.get("training")
    return 1 / part["values"]["rates"][name] if part else None


def samples_per_epoch(profile, curves, kind):
    """How many samples an epoch of an ``autoencoder`` or a ``regressor`` of the profile has."""
    config = load_profile(profile)
    group = config.autoencoder if kind == "autoencoder" else config.regression
    return (1 - group.test_fraction) * curves["spectra"]


def curves_in_time(found, network):
    """Recorded test errors against wall time, for :func:`dtl_core.plots.method_figures.errors_against_time`.

    The faithful recipe's epochs are shown at Keras's speed and at ours, both as `make bench` measured them; the fast
    one's as they were timed.

    Arguments
    ---------
    found : values of the record "benchmarks"
    network : ``autoencoder``, or a parameter: its best regressor, without the autoencoder

    Returns
    -------
    dict of label -> (seconds, errors)
    """
    kind = "autoencoder" if network == "autoencoder" else "regressor"
    out = {}
    for profile, curves in values_of(found["accuracy"]).items():
        if kind == "autoencoder":
            errors, seconds = curves[kind]["test_mse"], curves[kind]["seconds"]
        else:
            part = curves["regressors"]
            errors, seconds = np.array(part["test_mse"][network])[:, 0], np.array(part["seconds"]) / part["together"]
        if profile == "paper":
            samples = samples_per_epoch(profile, curves, kind) * np.arange(1, len(errors) + 1)
            out["paper, in Keras"] = samples * seconds_per_sample(found, f"Keras {kind}"), errors
            own = "autoencoder" if kind == "autoencoder" else "regressors 1"
            out["paper, here"] = samples * seconds_per_sample(found, own), errors
        else:
            out[profile] = np.asarray(seconds), errors
    first = [name for name in ("paper, in Keras", "paper, here", "paper-fast") if name in out]
    return {name: out[name] for name in (*first, *(other for other in out if other not in first))}
