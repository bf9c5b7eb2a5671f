"""Trained models that come with the package: from spectra to calibrated estimates, without training anything.

    model = dtl_core.load()
    table = model.predict("my_star.fits")

A model holds specialists, one for each resolving power; a spectrum goes to the sharpest that is not sharper than
itself. A specialist is one safetensors file: an ensemble of networks on randomised fluxes, an emulator whose fit is the
second opinion, and what they said of simulated stars of known truth, which calibrates errors and p-values.
"""

from __future__ import annotations

import functools
from pathlib import Path

from ..arguments import a_path, checked
from ..errors import DataError
from ..files import file_hash
from ..public_data import registry
from .adapting import adapt
from .prediction import as_table, examine
from .specialist import read_specialist
from .specialists import Specialists

__all__ = ["Model", "hashes", "load"]


NAMES = ("shipped", "paper")  # of models that the registry knows


class Model(Specialists):
    """A trained model for spectra of several resolving powers, with all that a user calls.

    Arguments: specialists, a list; name, of the whole.
    """

    def predict(self, spectra, **options):
        """Parameters of stars.

        Arguments
        ---------
        spectra, options : as for :func:`dtl_core.models.prediction.examine`

        Returns
        -------
        astropy.table.QTable, a row a star; see :func:`dtl_core.models.prediction.as_table`.

        Errors
        ------
        DataError : a spectrum cannot be used, and ``strict`` is true.
        """
        return as_table(*examine(self, spectra, **options), self)

    def adapt(self, spectra, **options):
        """A model for the instrument of these spectra; see :func:`dtl_core.models.adapting.adapt`."""
        return adapt(self, spectra, **options)


@functools.cache
def _loaded(paths):
    return tuple(read_specialist(path) for path in paths)


@checked(name=a_path)
def hashes(name="shipped"):
    """SHA-256 of the files of a model, sorted: which model it is, wherever it lies. Errors: as for :func:`load`."""
    return sorted(file_hash(path) for path in (_registered(str(name)) if str(name) in NAMES else _files(name)))


def _files(name):
    path = Path(name)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise DataError("holds no model", file=path, remedy="dtl models build -o FOLDER")
    for file in files:
        if not file.is_file():
            known = " or ".join(NAMES)
            remedy = f"give {known}, or the folder of a model; dtl models list"
            raise DataError("is not a file" if file.exists() else "not found", file=file, remedy=remedy)
    return files


def _registered(name):
    """Paths of the models of a name, compared with what the registry knows of them."""
    known = [one.name for one in registry.resources("models") if (one.kind == "embedded") == (name == "shipped")]
    if not known:
        remedy = "reinstall the package" if name == "shipped" else "dtl models export makes them"
        raise DataError(f"lists no {name} models", file="registry.toml", remedy=remedy)
    for row in registry.verify(known):
        # what a release holds has no hash before it is made: then the one that was noted when it came counts
        if row.status not in ("ok", "unverifiable"):
            remedy = "reinstall the package" if name == "shipped" else registry.remedy(row.name)
            raise DataError(f"is {row.status}", file=row.path or row.name, remedy=remedy)
    return tuple(registry.find(one) for one in known)


@checked(name=a_path)
def load(name="shipped"):
    """A trained model.

    Arguments
    ---------
    name : ``shipped``, the one in the package; ``paper``, the paper's ensemble, once ``dtl data fetch`` has brought it;
        both are compared with the hashes of the registry; or a folder or file that ``dtl models build`` wrote

    Returns
    -------
    Model

    Errors
    ------
    DataError : a file is missing, damaged or not the one that the registry knows.
    """
    if str(name) in NAMES:
        return Model(_loaded(_registered(str(name))), str(name))
    return Model([read_specialist(file) for file in _files(name)], Path(name).name)
