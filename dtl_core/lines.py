"""Strong spectral lines in the window, one list shared by simulations, figures and pages."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ACTIVE_LINES", "LINES", "STRONG_LINES", "Line"]


class Line(NamedTuple):
    """A line in the window.

    Attributes
    ----------
    wavelength : float, vacuum A
        At rest.
    species : str
    measured : float or None, vacuum A
        On a CARMENES template.
    """

    wavelength: float
    species: str
    measured: float | None


# Strong lines of M dwarfs between 8800 and 8835 A. Fe I, Mg I, Ti I: Gaia-ESO list (Heiter+ 2021), the same in
# linemake; FeH: Dulick+ 2003 as distributed by linemake (Placco+ 2021), blended lines averaged with their strength at
# 3300 K as weights. Both lists are in air. ``measured``: template of Luyten's star, Lafarga+ 2020. The table has the
# lines whose depth is 8 % or more in the HPF spectra of GJ 699 and G 9-40.
LINES = (
    Line(8802.74, "FeH", 8802.77),
    Line(8803.43, "FeH", 8803.44),
    Line(8804.22, "FeH", 8804.22),
    Line(8805.31, "FeH", None),
    Line(8807.04, "Fe I", 8807.06),
    Line(8809.18, "Mg I", 8809.19),
    Line(8811.25, "FeH", 8811.27),
    Line(8813.72, "FeH", 8813.72),
    Line(8821.84, "Ti I", 8821.82),
    Line(8823.87, "FeH", 8823.88),
    Line(8826.65, "Fe I", 8826.65),
    Line(8828.81, "FeH", 8828.81),
    Line(8830.11, "FeH", 8830.11),
    Line(8831.53, "FeH", 8831.53),
    Line(8832.15, "FeH", 8832.15),
)

# Atomic lines that are strong in all M dwarfs, vacuum A by species; activity fills in the two strongest.
STRONG_LINES = {
    species: tuple(line.wavelength for line in LINES if line.species == species) for species in ("Fe I", "Mg I")
}
ACTIVE_LINES = (STRONG_LINES["Mg I"][0], STRONG_LINES["Fe I"][1])
