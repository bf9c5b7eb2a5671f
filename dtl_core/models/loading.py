"""Trained models: from spectra to calibrated estimates, without training.

    model = dtl_core.load()
    table = model.predict("my_star.fits")

A model consists of one :class:`dtl_core.models.specialist.Specialist` per resolving power; a spectrum is estimated by
the one of highest R that does not exceed the spectrum's. A specialist is one safetensors file with an ensemble of
networks trained on randomised fluxes, an emulator whose fit is a second estimate, and estimates of simulated stars of
known truth, which calibrate errors and p-values.
"""

from __future__ import annotations

import functools
from pathlib import Path

from ..arguments import a_path, checked
from ..errors import DataError
from ..extras import import_extra
from ..files import file_hash
from ..public_data import registry
from .photometric import add_photometry, checked_photometry
from .prediction import as_table, examine
from .specialist import read_specialist
from .specialists import Specialists

__all__ = ["Model", "hashes", "load"]


NAMES = ("shipped", "paper")  # of models in the registry


class Model(Specialists):
    """A trained model for spectra of several resolving powers.

    Parameters
    ----------
    specialists : list of Specialist
    name : str
    """

    def predict(self, spectra, *, photometry=None, **options):
        """Estimate the parameters of stars.

        Parameters
        ----------
        photometry : dict or path, optional
            Magnitudes and parallaxes of some of the stars, as of
            :func:`dtl_core.models.photometric.read_photometry`, or a table to read them from.
        spectra, **options
            As for :func:`dtl_core.models.prediction.examine`.

        Returns
        -------
        astropy.table.QTable
            One row per star; see :func:`dtl_core.models.prediction.as_table`.

        Raises
        ------
        DataError
            A spectrum cannot be used, and ``strict`` is true.

        Examples
        --------
        >>> import tempfile
        >>> import dtl_core
        >>> from dtl_core.synthetic.examples import write_examples
        >>> paths, truth = write_examples(tempfile.mkdtemp())
        >>> table = dtl_core.load().predict(paths[0])
        >>> print(f"true Teff {truth['teff'][0]:.0f} K, estimate {table['Teff'][0]:.0f}")
        true Teff 3173 K, estimate 3158 K
        """
        known = checked_photometry(photometry)
        examined, refused = examine(self, spectra, **options)
        examined = examined if known is None else add_photometry(examined, self, known)
        return as_table(examined, refused, self)

    def adapt(self, spectra, **options):
        """Adapt the model to an instrument; see :func:`dtl_core.models.adapting.adapt`."""
        import_extra("torch", "train")
        from .adapting import adapt

        return adapt(self, spectra, **options)


@functools.cache
def _loaded(paths):
    return tuple(read_specialist(path) for path in paths)


@checked(name=a_path)
def hashes(name="shipped"):
    """SHA-256 of the files of a model, sorted, which identify it.

    Parameters
    ----------
    name : str or path
        As for :func:`load`.

    Returns
    -------
    list of str
    """
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
    """Paths of the models of a name, after their hashes were compared with the registry."""
    names = [entry.name for entry in registry.resources("models") if (entry.kind == "embedded") == (name == "shipped")]
    if not names:
        remedy = "reinstall the package" if name == "shipped" else "dtl models export makes them"
        raise DataError(f"lists no {name} models", file="registry.toml", remedy=remedy)
    for row in registry.verify(names):
        # files of a release have no hash in the registry: they are compared with the hash noted at the download
        if row.status not in ("ok", "unverifiable"):
            remedy = "reinstall the package" if name == "shipped" else registry.remedy(row.name)
            raise DataError(f"is {row.status}", file=row.path or row.name, remedy=remedy)
    return tuple(registry.find(entry) for entry in names)


@checked(name=a_path)
def load(name="shipped"):
    """Load a trained model.

    Parameters
    ----------
    name : str or path
        ``shipped``, the model in the package; ``paper``, the paper's ensemble, after ``dtl data fetch models``; or a
        folder or file that ``dtl models build`` wrote. The first two are checked against the hashes of the registry.

    Returns
    -------
    Model

    Raises
    ------
    DataError
        A file is missing, damaged or has another hash than in the registry.
    """
    if str(name) in NAMES:
        return Model(_loaded(_registered(str(name))), str(name))
    return Model([read_specialist(file) for file in _files(name)], Path(name).name)
