"""Files of PHOENIX-ACES with made-up spectra."""

import io

import numpy as np
from astropy.io import fits

WAVE = 8780.0 * np.exp(np.arange(6000) * 2e-6)  # 8780-8886 A at R = 500,000, as the library's own around the window


def as_bytes(data, header=None):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(header or {})
    file = io.BytesIO()
    hdu.writeto(file)
    return file.getvalue()


def wave_file():
    return as_bytes(WAVE)


def flux_of(teff, logg, mh):
    """A continuum with a line; every label leaves its mark."""
    line = np.exp(-0.5 * ((WAVE - 8809) / (0.3 + 0.1 * logg)) ** 2)
    return (1e14 * (teff / 3500) ** 4 * (1 - (0.3 + 0.1 * mh) * line)).astype("f4")


def spectrum(teff=3500, logg=5.0, mh=0.0):
    return as_bytes(flux_of(teff, logg, mh), {"PHXTEFF": teff, "PHXLOGG": logg, "PHXM_H": mh, "PHXALPHA": 0.0})
