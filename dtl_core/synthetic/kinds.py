"""Kinds of gap between synthetic and observed spectra, as settings of the simulated survey.

A method that has only met one kind of gap cannot say how it fares with another. The benchmark, the calibration of the
shipped models and their model card go through all of these: errors of the line list, which are those of the benchmark
survey; another code alone; other physics, by either code, alone and with errors of the line list; and the foreign
effects one by one, none of which any method was made for.
"""

from __future__ import annotations

from ..config import FOREIGN_EFFECTS

__all__ = ["KINDS"]


_LINE_LIST = ("line_strength", "missing_lines", "unknown_lines")
_WITHOUT = {f"survey.{name}": 0.0 for name in _LINE_LIST}

KINDS = {
    "line list": {},
    "other code": _WITHOUT,
    "other physics": {"survey.library": "survey_c_a"} | _WITHOUT,
    "other physics and code": {"survey.library": "survey_c_b"} | _WITHOUT,
    "other physics and line list": {"survey.library": "survey_c_a"},
    **{name.replace("_", " "): {f"survey.foreign.{name}": 1.0} for name in FOREIGN_EFFECTS},
    "all together": {"survey.library": "survey_c_b"} | {f"survey.foreign.{name}": 0.5 for name in FOREIGN_EFFECTS},
}
