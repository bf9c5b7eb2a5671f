"""Several models for one resolving power each, used as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..arguments import VELOCITY, a_number, a_path, checked, instance, shown
from ..errors import ConfigError, DataError
from ..preparing import chain
from ..reading.conversion import exposures
from . import filling
from .specialist import Examination, Specialist

__all__ = ["Specialists"]


def _prepared(value, name):
    """Check for a list of results of :meth:`Specialists.prepare`, or a single one."""
    value = [value] if isinstance(value, tuple) and value and isinstance(value[0], Specialist) else value
    for one in instance(list, tuple, remedy="give a list of what Model.prepare gave")(value, name):
        if not (isinstance(one, tuple) and len(one) == 3 and isinstance(one[2], chain.Report)):
            problem = f"holds {shown(one)}, which Model.prepare did not give"
            raise ConfigError(
                problem, field=name, remedy="use Model.predict or dtl_core.models.prediction.examine for spectra"
            )
    return value


class Specialists:
    """Models for several resolving powers; a spectrum uses the highest R that does not exceed its own.

    Parameters
    ----------
    specialists : list of Specialist
    name : str
    """

    def __init__(self, specialists, name="shipped"):
        self.name = str(name)
        self.specialists = sorted(specialists, key=lambda one: -one.resolving_power)

    @property
    def seen(self):
        """Names of the real stars that any of the models has seen; see :attr:`Specialist.seen`."""
        return tuple(sorted({name for specialist in self.specialists for name in specialist.seen}))

    @checked(resolving_power=a_number(nan=True, optional=False))
    def specialist_for(self, resolving_power, file=None):
        """Select the model of highest R that does not exceed that of a spectrum, within 2 %.

        Parameters
        ----------
        resolving_power : float
            Resolving power of the spectrum.
        file : str, optional
            For the error message.

        Returns
        -------
        Specialist

        Raises
        ------
        DataError
            The resolving power is unknown, or lower than that of all models.
        """
        if not np.isfinite(resolving_power):
            remedy = "give --resolution (resolving_power=), lambda / FWHM"
            raise DataError("the resolving power is not known", file=file, field="resolving_power", remedy=remedy)
        for specialist in self.specialists:
            if resolving_power >= 0.98 * specialist.resolving_power:
                return specialist
        lowest = self.specialists[-1].resolving_power
        problem = f"R = {resolving_power:.0f} is below {lowest:.0f}, the lowest that the models know"
        raise DataError(problem, file=file, field="resolving_power", remedy="take a sharper spectrum")

    @checked(spectrum=exposures, velocity=VELOCITY)
    def prepare(self, spectrum, *, velocity=None):
        """Prepare a spectrum, or exposures of one star, as network input.

        Parameters
        ----------
        spectrum, velocity
            As for :func:`dtl_core.preparing.chain.prepare`.

        Returns
        -------
        specialist : Specialist
            The one that the spectrum is estimated with.
        flux : (n_pixels,)
            Lost pixels are filled, see :mod:`dtl_core.models.filling`.
        report : dtl_core.preparing.chain.Report
        """
        first = spectrum[0]
        specialist = self.specialist_for(first.resolving_power, first.file or first.star)
        flux, report = chain.prepare(spectrum, specialist.config, velocity=velocity)
        lost = filling.lost_pixels(spectrum, report, specialist.config)
        return specialist, filling.fill(specialist, flux, lost), report

    def examine(self, prepared):
        """Estimate prepared spectra, those of one resolving power together.

        Parameters
        ----------
        prepared : list
            Results of :meth:`prepare`.

        Returns
        -------
        list of Examination
            In the same order.
        """
        prepared = _prepared(prepared, "prepared")
        out = [None] * len(prepared)
        for specialist in self.specialists:
            rows = [k for k, (one, _, _) in enumerate(prepared) if one is specialist]
            if not rows:
                continue
            flux, snr = np.stack([prepared[k][1] for k in rows]), [prepared[k][2].snr for k in rows]
            found, binned = specialist.estimate(flux, snr, real=True), specialist.input(flux)
            for n, k in enumerate(rows):
                values = {name: value[n] for name, value in found.items()}
                report = prepared[k][2]
                more = specialist.warnings(values["median"], values["p"], values["strange"], report.snr)
                if specialist.card["method"] != "combined" and specialist.has_seen(report.star):
                    more.append("this star was used to make the models: it does not test them")
                warnings = (*report.warnings, *more)
                about = {"warnings": warnings, "method": specialist.card["method"]}
                out[k] = Examination(report, specialist.resolving_power, binned[n], **values, **about)
        return out

    @checked(folder=a_path)
    def save(self, folder):
        """Write the models into a folder and return their paths."""
        return [one.save(Path(folder) / f"R{one.resolving_power:06.0f}.safetensors") for one in self.specialists]
