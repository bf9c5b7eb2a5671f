"""The stages of a run, one module each: what a stage computes and stores, and what its key depends on.

Every stage takes the store, the configuration and the keys of earlier stages, and returns its own key.
"""

from .catalogue import make_catalogue
from .domain_gap import measure_gap
from .observed_spectra import make_observed
from .pretraining import train_autoencoders
from .recommended import make_recommended
from .regression import train_regressors
from .searching import score_candidates, score_regressors
from .shared import ENCODERS, Member
from .synthetic_spectra import make_synthetic
from .transfer import transfer_autoencoders

__all__ = [
    "ENCODERS",
    "Member",
    "make_catalogue",
    "make_observed",
    "make_recommended",
    "make_synthetic",
    "measure_gap",
    "score_candidates",
    "score_regressors",
    "train_autoencoders",
    "train_regressors",
    "transfer_autoencoders",
]
