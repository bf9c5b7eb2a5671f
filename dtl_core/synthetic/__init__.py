"""Model spectra: libraries, the grid of labels, synthetic sets, and simulated surveys of known truth."""
