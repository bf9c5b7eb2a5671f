"""The origins of ``dtl reproduce`` on the loopback address: CDS, the CARMENES archive, PHOENIX-ACES, published tables.

The layouts are the published ones as far as they are known, the spectra our own: stars of set B, nodes of grid A.
"""

import functools
import io
import zipfile
from urllib.parse import quote

import layouts
import numpy as np
import pandas as pd
from astropy.io import fits
from loopback import Loopback

from dtl_core.config import load_profile
from dtl_core.parameters import PARAMETER_COLUMNS
from dtl_core.public_data.phoenix import WAVE_FILE, file_name
from dtl_core.spectra import operators
from dtl_core.synthetic import generation, libraries, simulated_survey

CDS, TEMPLATES, NIGHTS = "/ftp/J/A+A/680/A73/", "/gto/jsp/tellurics_tac.jsp", "/gto/jsp/dr1Public.jsp"
ERRORS = {"teff": 50.0, "logg": 0.05, "mh": 0.08, "vsini": 0.5}  # of the published catalogue, known
PASS20 = {"teff": -35.0, "logg": -0.04, "mh": 0.2, "vsini": 1.6}  # what its table adds to the published catalogue
STEP = 0.3  # km/s

READ_ME = """J/A+A/680/A73       CARMENES M dwarf template library              (Nagel+ 2023)
================================================================================
An imitation: its spectra are simulated.
================================================================================

File Summary:
--------------------------------------------------------------------------------
 FileName   Lrecl  Records   Explanations
--------------------------------------------------------------------------------
ReadMe         80        .   This file
list.dat       46   {n:6d}   List of the spectra
--------------------------------------------------------------------------------

Byte-by-byte Description of file: list.dat
--------------------------------------------------------------------------------
   Bytes Format Units   Label     Explanations
--------------------------------------------------------------------------------
   1- 12  A12   ---     Karmn     Identifier of the star
  14- 45  A32   ---     FileName  Name of the file
--------------------------------------------------------------------------------

================================================================================
(End)                                                                  01-Jan-2024
"""


def star_names(n):
    return [f"J{1000 * k + 17:05d}{'+-'[k % 2]}{k + 100:03d}" for k in range(n)]


def truths(n):
    """Known parameters of n simulated stars that the labels of the paper enclose, evenly along Teff, and their rows."""
    truth, rows = simulated_survey.draw_truth(libraries.load_library("survey_b"), load_profile("paper"))
    inside = np.flatnonzero(truth["teff"].between(2700, 4200) & truth["mh"].between(-0.8, 0.4) & (truth["vsini"] < 15))
    order = inside[np.argsort(truth["teff"].to_numpy()[inside])]
    chosen = order[np.linspace(0, len(order) - 1, n).round().astype(int)]
    truth = truth.iloc[chosen].reset_index(drop=True)[[*PARAMETER_COLUMNS]]
    velocity = np.random.default_rng(1).uniform(-70, 70, n).round(2)
    return truth.assign(karmn=star_names(n), row=rows[chosen], rv=velocity)


@functools.cache
def starlight(row, vsini):
    """A star of set B as CARMENES would see it, at rest: wavelength, flux."""
    library = libraries.load_library("survey_b")
    grid = operators.log_grid(library.wavelength[0], library.wavelength[-1], STEP)
    raw = operators.resample(library.wavelength, library.flux[[row]], grid, "spline")
    return grid, operators.broaden(raw, STEP, 94_600.0, np.array([vsini]), 0.6)[0]


@functools.cache
def phoenix_wave(full):
    return np.exp(np.linspace(np.log(500), np.log(55_000), 1_569_128)) if full else np.arange(8780.0, 8860.0, 0.02)


def as_fits(data, header=()):
    file = io.BytesIO()
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(dict(header))
    hdu.writeto(file)
    return file.getvalue()


def node_file(teff, logg, mh, full):
    """A node of PHOENIX-ACES with the spectrum of grid A, which ends at [M/H] = 0.6."""
    library, wave = libraries.load_library("grid_a"), phoenix_wave(full)
    own = generation.expand(library, [[teff, logg, min(mh, 0.6)]])[0]
    flux = np.ones(len(wave), "f4")
    near = slice(*np.searchsorted(wave, [8700, 8900]))
    flux[near] = np.interp(wave[near], library.wavelength, own)
    flux *= np.float32(1e14 * (teff / 3500) ** 4)
    return as_fits(flux, {"PHXTEFF": teff, "PHXLOGG": logg, "PHXM_H": mh, "PHXALPHA": 0.0})


class _Bodies(dict):
    """Bodies by path; a callable makes its body when it is asked for."""

    def get(self, path, default=None):
        body = super().get(path, default)
        return body() if callable(body) else body


def listing(path, names):
    rows = "".join(f'<img src="/icons/x.gif"> <a href="{name}">{name}</a>  2023-10-18 09:12  5.2M\n' for name in names)
    parent = path.rstrip("/").rpartition("/")[0] + "/"
    sort = '<a href="?C=N;O=D">Name</a> <a href="?C=S;O=A">Size</a>'
    return f'<html><body><h1>Index of {path}</h1><pre>{sort} <a href="{parent}">Parent Directory</a>\n{rows}</pre>'


class PaperOrigins(Loopback):
    """All origins; ``full`` for files of the published size.

    Attributes: truth, one row per star; folder, for files that are made.
    """

    def __init__(self, folder, n_stars, nodes, *, full=False, by_table=False, cds=None, templates=None, nights=()):
        super().__init__()
        self.bodies, self.folder, self.full, self.truth = _Bodies(), folder, full, truths(n_stars)
        everyone = self.truth["karmn"].tolist()
        folder.mkdir(parents=True, exist_ok=True)
        self._serve_cds(everyone if cds is None else cds, by_table)
        self._serve_archive(everyone if templates is None else templates, list(nights))
        self.serve(f"/phoenix/{WAVE_FILE}", lambda: as_fits(phoenix_wave(full)))
        for node in nodes:
            self.serve(self.node_path(node), functools.partial(node_file, *node, full))

    def good(self, path):
        """The body of a path as published, for answers that give a part of it."""
        return self.bodies.get(path)

    @staticmethod
    def node_path(node):
        name = file_name(*node)
        return f"/phoenix/PHOENIX-ACES-AGSS-COND-2011/Z{name[13:17]}/{name}"

    @staticmethod
    def cds_path(star, number=None):
        return f"{CDS}fits/{f'sp{number:04d}' if number is not None else f'{star}.vis'}.fits"

    @staticmethod
    def archive_path(star, kind="Tac", end="_VIS.fits"):
        return f"/gto/get{kind}DataPublic.action?id={quote(star + end, safe='')}"

    def _serve_cds(self, stars, by_table):
        paths = {star: self.cds_path(star, k if by_table else None) for k, star in enumerate(stars)}
        names = [path.rpartition("/")[2] for path in paths.values()]
        near_infrared = [name.replace(".vis.", ".nir.") for name in names if ".vis." in name]
        self.serve(CDS, listing(CDS, ["ReadMe", "list.dat", "fits/"]).encode())
        self.serve(f"{CDS}fits/", listing(f"{CDS}fits/", names + near_infrared).encode())
        self.serve(f"{CDS}ReadMe", READ_ME.format(n=len(stars)).encode())
        rows = (f"{star:12s} {'fits/' + name:32s}\n" for star, name in zip(stars, names, strict=True))
        self.serve(f"{CDS}list.dat", "".join(rows).encode())
        for star, path in paths.items():
            self.serve(path, functools.partial(self.template, star))

    def _serve_archive(self, stars, nights):
        def page(stars, columns):
            rows = "".join(f"<tr><td>{s}</td><td>GJ 1</td>{''.join(map(str, columns(s)))}</tr>\n" for s in stars)
            return f"<html><body><table>{rows}</table></body></html>".encode()

        def link(kind, text):
            return f'<td><a href="../get{kind}DataPublic.action?id=\t{text}\t">get</a></td>'

        self.serve(TEMPLATES, page(stars, lambda s: [link("Tac", f"{s}_VIS.fits"), link("Tac", f"{s}_NIR.fits")]))
        zipped = [link("DR1", "{}_VIS.zip"), link("DR1", "{}_SERVAL+RACOON.csv")]
        self.serve(NIGHTS, page(nights, lambda s: [cell.format(s) for cell in zipped]))
        for star in stars:
            self.serve(self.archive_path(star), functools.partial(self.template, star))
        for star in nights:
            self.serve(self.archive_path(star, "DR1", "_VIS.zip"), functools.partial(self.nights, star))

    def _star(self, star):
        row = self.truth.set_index("karmn").loc[star]
        return {"star": starlight(int(row["row"]), float(row["vsini"])), "velocity": row["rv"], "OBJECT": star}

    def template(self, star):
        """A template of 61 orders, of ``full`` length only, else those near the window."""
        number = self.truth["karmn"].tolist().index(star)
        path = layouts.write_nagel(
            self.folder / f"{star}.fits", snr=250.0, seed=number, all_orders=self.full, **self._star(star)
        )
        body = path.read_bytes()
        path.unlink()
        return body

    def nights(self, star, n=3):
        """A zip file of reduced spectra, in folders, as of data release 1."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for k in range(n):
                berv = [-20.0, 3.0, 18.0][k % 3]
                path = layouts.write_carmenes(
                    self.folder / f"{star}_{k}.fits", snr=150.0, seed=k, berv=berv, **self._star(star)
                )
                archive.write(path, f"{star}/car-2017010{k}T20h00m00s-sci-gtoc-vis_A.fits")
                path.unlink()
        return content.getvalue()

    def write_published(self, folder):
        """The published catalogue, truths with known errors, and a table that it is compared with; the catalogue."""
        rng, n, folder = np.random.default_rng(3), len(self.truth), folder / "published"
        folder.mkdir(parents=True)
        out = pd.DataFrame({"karmn": self.truth["karmn"], "ra_gaiadr3": 0.0, "dec_gaiadr3": 0.0})
        other = pd.DataFrame({"KARMN": self.truth["karmn"]})
        theirs = dict(zip(PARAMETER_COLUMNS, ("TEFF", "LOGG", "ZETA", "VSINI"), strict=True))
        for name, column in PARAMETER_COLUMNS.items():
            values = self.truth[name] + rng.normal(0, ERRORS[name], n)
            out[column] = values.clip(lower=0.5) if name == "vsini" else values
            out[f"e_{column}"] = out[f"E_{column}"] = ERRORS[name]
            other[f"{theirs[name]}_MODE"] = out[column] + PASS20[name]
            other[f"{theirs[name]}_STD"] = ERRORS[name]
        out.to_csv(folder / "mas_buitrago_2024.csv", index=False)
        other.to_csv(folder / "dl.csv", index=False)
        return out
