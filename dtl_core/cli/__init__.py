"""The command line: ``dtl predict``, ``dtl explain``, ``dtl run``, ``dtl book``, ``dtl data`` and others.

Commands import what they need when they are called, so that help and usage errors appear immediately.
"""

from . import data, models, predicting, reproducing, running, system
from .root import main

__all__ = ["data", "main", "models", "predicting", "reproducing", "running", "system"]  # each adds its commands to main
