"""The four stellar parameters: the one table of their names, units, digits and labels."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ANCHOR_ERRORS", "PARAMETERS", "PARAMETER_COLUMNS", "PUBLISHED_ERRORS", "TABLE", "Parameter", "heading"]


class Parameter(NamedTuple):
    """A stellar parameter.

    Attributes
    ----------
    name : str
        In the code and in ``PARAMETERS``.
    column : str
        Its column in catalogues, as in the published one.
    symbol : str
        As text.
    unit : str
        As text; the unit of a difference if the parameter is a logarithm.
    digits : int
        Decimals of an estimate.
    latex : str
        The symbol in a figure.
    latex_unit : str
        The unit in a figure.
    published_mse : float
        Largest test error of the regressors that the paper keeps (section 3.3), in the square of the unit.
    """

    name: str
    column: str
    symbol: str
    unit: str
    digits: int
    latex: str
    latex_unit: str
    published_mse: float


TABLE = {
    parameter.name: parameter
    for parameter in (
        Parameter("teff", "Teff", "Teff", "K", 0, r"$T_\mathrm{eff}$", "K", 353.0),
        Parameter("logg", "logg", "log g", "dex", 2, r"$\log g$", "dex", 0.0042),
        Parameter("mh", "[M/H]", "[M/H]", "dex", 2, "[M/H]", "dex", 0.0016),
        Parameter("vsini", "vsini", "v sin i", "km/s", 1, r"$v\,\sin i$", "km s$^{-1}$", 0.054),
    )
}
PARAMETERS = tuple(TABLE)
PARAMETER_COLUMNS = {name: parameter.column for name, parameter in TABLE.items()}  # name in the code: column
PUBLISHED_ERRORS = {name: parameter.published_mse for name, parameter in TABLE.items()}

# How well Teff and log g of stars with interferometric radii are known, and [M/H] of companions of FGK stars.
ANCHOR_ERRORS = {"teff": 30.0, "logg": 0.03, "mh": 0.05}


def heading(name):
    """Symbol of a parameter with its unit, which a logarithm does not have.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> from dtl_core.parameters import heading
    >>> heading("teff"), heading("logg")
    ('Teff [K]', 'log g')
    """
    parameter = TABLE[name]
    return parameter.symbol if parameter.unit == "dex" else f"{parameter.symbol} [{parameter.unit}]"
