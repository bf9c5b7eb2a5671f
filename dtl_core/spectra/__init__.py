"""Array operators on spectra, and the type of an observed spectrum."""
