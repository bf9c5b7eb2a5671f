"""Figures, drawn with matplotlib from arrays and tables."""
