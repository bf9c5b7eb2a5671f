"""Figures, drawn with matplotlib from arrays and tables."""

from ..extras import import_extra

import_extra("matplotlib", "plots")
