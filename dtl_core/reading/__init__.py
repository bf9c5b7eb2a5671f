"""Files of any layout, and objects in memory, as observed spectra."""
