"""Mutated files: whatever is in a file, a reader gives a spectrum or a one-line error, in time and within memory.

    DTL_FUZZ=10000 python -m pytest tests/reading/test_fuzz.py -s      more files than in the suite, and the figures
    python tests/reading/test_fuzz.py 10000 0 /tmp/fuzz                the same by hand: files, seed, folder

All files are read in one process of their own, whose peak memory counts, imports included.
"""

import collections
import gzip
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import layouts
import numpy as np
import pytest
from astropy.io import fits

from dtl_core import machine
from dtl_core.errors import DTLError
from dtl_core.reading import formats, readers
from dtl_core.reading.text import MAX_TEXT

LIMIT_S, LIMIT_BYTES = 10, 10**9
NUMBERS = ["0", "1", "-1", "2", "3", "7", "-64", "1000000000", "9223372036854775807", "99999999999999999999999", "-5"]
NUMBERS += ["1E400", "-1e308", "NaN", "1e-320", "T", "F", "''", "'abc'", "'1000000000D'", "'PD(1000000000)'", "'QD'"]
NUMBERS += [
    "'0D'",
    "'X'",
    "'1A'",
    "'(100000,100000)'",
    "'AWAV'",
    "'nm'",
    "'10**9999 m'",
    "'BINTABLE'",
    "'IMAGE'",
    "/",
    "",
]
KEYS = ["SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT", "TFIELDS", "EXTNAME"]
KEYS += [f"{key}{k}" for key in ("TFORM", "TTYPE", "TUNIT", "TDIM", "TSCAL", "TZERO", "TNULL", "TDISP") for k in (1, 2)]
KEYS += ["BSCALE", "BZERO", "BLANK", "CRVAL1", "CDELT1", "CRPIX1", "CTYPE1", "CUNIT1", "DC-FLAG", "GROUPS", "THEAP"]
KEYS += ["ZIMAGE", "ZNAXIS1", "ZCMPTYPE", "INSTRUME", "OBJECT", "CONTINUE", "HISTORY", "WCSAXES", "SPECSYS", "VACUUM"]
KEYS += ["PHXTEFF", "JD_FW6", "QRA", "MJD", "R", "BERV", "END", "INHERIT", "CHECKSUM", "EXTEND", "WCSDIM", "TELESCOP"]
WORDS = [
    "9" * 5000,
    "1e999",
    "-1e308",
    "nan",
    "inf",
    "\0",
    "é",
    "\u2028",
    "🔭",
    "\ufeff",
    '"',
    "'",
    "#",
    ",",
    ";",
    "\t",
]
WORDS += [
    "\r",
    "\n\n",
    "#\n",
    "--",
    "0x10",
    "1_000",
    "1,5",
    "=1+1",
    "wave_air",
    "True",
    "{",
    "[" * 300,
    "}",
    "&a",
    "*a",
]
WORDS += ["# %ECSV 1.0\n", "!!python/object/apply:os.getcwd []", "# star: \x1b[31m", "2024-01-01", "float64", "unit: K"]
SWAPS = [("float64", "string"), ("float64", "object"), ("float64", "complex256"), ("float64", "int8"), ("wave", "flux")]
SWAPS += [
    ("flux", "wave"),
    (",", ";"),
    (",", "\t"),
    (".", ","),
    ("\n", "\r"),
    ("datatype", "meta"),
    ("name", "subtype"),
]
SWAPS += [("{", "["), (" ", ""), ("e", "e9"), ("8", "88888888"), ("0", ""), ("# ", "#"), ("wavelength", "e")]


class TooSlow(BaseException):
    """Not an Exception: no reader may catch it."""


def seeds(folder):
    """{path: how often it is drawn} of valid files in every layout; the large ones are drawn less often."""
    weights = {layouts.write_hpf(folder): 2, layouts.write_carmenes(folder / "car.fits"): 3}
    weights |= {folder / name: 1 for name in (layouts.FLAT, layouts.SKY_MASK, layouts.TELLURIC_MASK)}
    weights |= {layouts.write_serval(folder / "serval.fits"): 8, layouts.write_nagel(folder / "nagel.fits"): 4}
    weights |= {layouts.write_phoenix(folder): 8}
    table = layouts.columns(step=0.1, err=np.full(650, 0.01), mask=np.zeros(650, bool))
    meta = {"OBJECT": "GJ 1", "R": 90_000, "BERV": 3.0, "INSTRUME": "X"}
    for name, weight in (("a.fits", 14), ("a.ecsv", 14), ("a.csv", 10), ("a.txt", 5), ("a.dat", 5)):
        weights[layouts.write_table(folder / name, table, meta=meta, unit="nm" if "ecsv" in name else None)] = weight
    for kind in ("linear", "log10", "log"):
        weights[layouts.write_image(folder / f"{kind}.fits", kind=kind)] = 5
    freq = {"ctype": "FREQ", "unit": "Hz", "CRVAL1": 3.3837e14, "CDELT1": 7.7e7}
    weights[layouts.write_image(folder / "freq.fits", error=False, **freq)] = 3  # specutils' to read
    vectors = [fits.Column(n, "PD()", array=np.array([a], object)) for n, a in layouts.columns(step=0.1).items()]
    row = folder / "row.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(vectors)]).writeto(row, overwrite=True)
    weights[row] = 6
    packed = folder / "b.fits.gz"
    packed.write_bytes(gzip.compress((folder / "a.fits").read_bytes()))
    return weights | {packed: 4}


def _span(data, rng, longest):
    start = int(rng.integers(len(data) + 1))
    return start, start + int(rng.integers(1, longest))


def _bits(data, rng):
    data, top = bytearray(data), len(data) if rng.random() < 0.5 else min(len(data), 6000)
    for place in rng.integers(top, size=rng.choice([1, 4, 64, 1000])):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _truncate(data, rng):
    return data[: int(rng.integers(len(data)))]


def _zero(data, rng):
    start, stop = _span(data, rng, 6000)
    return data[:start] + bytes(len(data[start:stop])) + data[stop:]


def _insert(data, rng):
    start, stop = _span(data, rng, 6000)
    return data[:start] + rng.bytes(stop - start) + data[start:]


def _cut(data, rng):
    start, stop = _span(data, rng, 6000)
    return data[:start] + data[stop:]


def _repeat(data, rng):
    start = 2880 * int(rng.integers(max(1, len(data) // 2880)))
    return data[: start + 2880] + data[start:]


def _floats(data, rng):
    data = bytearray(data)
    special = np.array([np.nan, np.inf, -np.inf, 1e308, -1e308, 0, -1, 5e-324], ">f8")
    for place in 8 * rng.integers(max(1, len(data) // 8), size=rng.choice([1, 10, 500])):
        data[place : place + 8] = special[rng.integers(8)].tobytes()
    return bytes(data)


def _cards(data):
    return [m.start() for m in re.finditer(rb"[A-Z][A-Z0-9_-]{0,7} *=[ ].{70}", data[:40_000], re.DOTALL)]


def _card(data, rng):
    """Another value in some card, or another keyword in its place."""
    data, places = bytearray(data), _cards(data)
    for place in rng.choice(places, size=min(len(places), int(rng.choice([1, 1, 3])))) if places else ():
        key = str(rng.choice(KEYS)) if rng.random() < 0.5 else data[place : place + 8].decode("ascii", "replace")
        value = str(rng.choice(NUMBERS))
        data[place : place + 80] = f"{key:8.8s}= {value:>20}".encode("ascii", "replace").ljust(80)[:80]
    return bytes(data)


def _size(data, rng):
    """A number that says how long something is, changed where it stands."""
    keys = [rb"NAXIS\d? ", b"BITPIX", b"PCOUNT", b"TFORM", b"TFIELDS"]
    found = list(re.finditer(rng.choice(keys) + rb" *\d? *= ", data[:40_000]))
    if not found:
        return _card(data, rng)
    place = found[rng.integers(len(found))].end()
    return data[:place] + f"{rng.choice(NUMBERS):>20}".encode()[:20] + data[place + 20 :]


def _names(data, rng):
    """Two extension names or column names change places."""
    found = list(re.finditer(rb"(?:EXTNAME |TTYPE\d  )= ('.{8,20})", data, re.DOTALL))
    if len(found) < 2:
        return _bits(data, rng)
    one, other = sorted(rng.choice(len(found), 2, replace=False))
    (a, b), (c, d) = found[one].span(1), found[other].span(1)
    return data[:a] + data[c:d].ljust(b - a)[: b - a] + data[b:c] + data[a:b].ljust(d - c)[: d - c] + data[d:]


def _word(data, rng):
    text = data.decode("utf-8", "replace")
    for _ in range(rng.choice([1, 1, 5, 50])):
        place = int(rng.integers(len(text) if rng.random() < 0.5 else min(len(text), 600)) if text else 0)
        text = text[:place] + str(rng.choice(WORDS)) + text[place + int(rng.integers(4)) :]
    return text.encode("utf-8", "replace")


def _swap(data, rng):
    old, new = SWAPS[rng.integers(len(SWAPS))]
    return data.replace(old.encode(), new.encode(), int(rng.choice([1, 3, 10**6])))


def _lines(data, rng):
    lines = data.split(b"\n")
    keep = [line for line in lines for _ in range(rng.choice([0, 1, 1, 1, 1, 2]))]
    return b"\n".join(keep if rng.random() < 0.5 else rng.permutation(np.array(lines, object)))


ANY = [_bits, _truncate, _zero, _insert, _cut, _repeat]
FITS = [*ANY, _floats, _card, _card, _card, _card, _size, _size, _size, _size, _names, _names]
TEXT = [*ANY, _word, _word, _word, _swap, _swap, _swap, _lines, _lines]


def mutate(data, rng):
    """Another file, by one to three mutations."""
    packed = data.startswith(b"\x1f\x8b") and rng.random() < 0.7
    data = gzip.decompress(data) if packed else data
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        kinds = FITS if data.startswith(b"SIMPLE") else TEXT
        data = kinds[rng.integers(len(kinds))](data, rng) or b"\0"
    return gzip.compress(data, 1) if packed else data


def worst(folder):
    """The longest files that the limits let through, and what is slow about them: names and contents in turn."""
    text, values = MAX_TEXT - 100, formats.MAX_VALUES
    yield "short_rows.csv", b"1\n" * (text // 2)
    yield "equal_rows.csv", b"wave,flux\n" + b"1,1\n" * (text // 4)
    yield "words.csv", b"wave,flux\n" + "".join(f"{k:x}z,q{k:x}\n" for k in range(text // 16)).encode()
    yield "blanks.csv", b"wave flux\n" + b" " * text
    yield "digits.csv", b"wave,flux\n1," + b"9" * text
    yield "wide.csv", b",".join(b"wave%d" % k for k in range(490)) + b"\n" + (b"1," * 489 + b"1\n") * (text // 980 - 9)
    yield "knots.ecsv", b"# %ECSV 1.0\n# ---\n# datatype: " + b"[" * 90_000 + b"\nwave flux\n1 1\n"
    axis = fits.Header({"CRVAL1": 8760.0, "CDELT1": 120 / values})
    image = fits.PrimaryHDU(np.ones(values, "f4"), header=axis)
    many = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(readers.MAX_HDUS - 1))])
    more = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(formats.MAX_HDUS - 1))])
    cards, most = (fits.PrimaryHDU(header=fits.Header({f"K{k}": k for k in range(n)})) for n in (3_700, 13_000))
    columns = {"WAVE": np.linspace(8000, 9000, values - 10_000), "FLUX": np.ones(values - 10_000)}
    table = fits.BinTableHDU.from_columns([fits.Column(name, "D", array=a) for name, a in columns.items()])
    vectors = np.array([np.arange(2.0)] * formats.MAX_VECTORS, dtype=object)
    vectors = fits.BinTableHDU.from_columns([fits.Column(name, "PD()", array=vectors) for name in columns])
    files = {"image": image, "many": many, "more": more, "cards": cards, "most": most, "table": table}
    for name, hdus in (files | {"vectors": vectors}).items():
        hdus.writeto(folder / "made", overwrite=True)
        yield f"{name}.fits", (folder / "made").read_bytes()


def check(star):
    """What holds of every spectrum that a reader gives."""
    arrays = (star.wavelength, star.flux, star.uncertainty, star.mask, star.telluric)
    assert {a.shape for a in arrays} == {star.wavelength.shape} and len(star.wavelength) >= 10
    assert np.isfinite(star.wavelength).all() and np.isfinite(star.flux).all() and np.all(np.diff(star.wavelength) > 0)
    assert star.mask.dtype == bool == star.telluric.dtype
    assert star.star.isprintable() and star.star and star.frame in ("observatory", "barycentric", "rest")
    assert all("\n" not in note for note in star.notes)
    assert np.isnan(star.resolving_power) or 100 <= star.resolving_power <= 1e7


def peak_bytes():
    """Peak memory of this process. Not ``ru_maxrss``: that one starts at the size of the parent, which is pytest."""
    return int(machine.peak_memory())


def run(n, seed, folder):
    """Read ``n`` mutated files, or with a negative seed the worst ones each in its process; a summary."""
    if seed < 0:
        return [_alone(folder / name, data) for name, data in worst(folder)]
    weights = seeds(folder)
    whole = {path: path.read_bytes() for path in weights}
    chance = np.array(list(weights.values()), float)
    paths, outcome, bad, slowest, growth = list(weights), collections.Counter(), [], (0.0, ""), (0, "")
    signal.signal(signal.SIGALRM, _ring)
    before = peak_bytes()
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        path = paths[rng.choice(len(paths), p=chance / chance.sum())]
        changed = mutate(whole[path], rng)
        path.write_bytes(changed)
        beside = path.name in (layouts.FLAT, layouts.SKY_MASK, layouts.TELLURIC_MASK)
        if beside:  # what is read is the exposure
            paths[0].write_bytes(whole[paths[0]])
        start = time.perf_counter()
        signal.alarm(LIMIT_S)
        try:
            star = readers.read(paths[0] if beside else path)
            check(star)
            outcome["accepted"] += 1
        except DTLError as error:
            line = str(error)
            if not line or "\n" in line or "; " not in line or len(line) > 1000:
                bad.append((k, path.name, f"not one line: {line[:300]}"))
            outcome[_what(line)] += 1
        except BaseException:
            bad.append((k, path.name, traceback.format_exc(limit=-3)))
        finally:
            signal.alarm(0)
        slowest = max(slowest, (time.perf_counter() - start, f"{k} {path.name}"))
        now = peak_bytes()
        growth, before = max(growth, (now - before, f"{k} {path.name}")), now
        if beside:
            path.write_bytes(whole[path])
    return {
        "files": n,
        "bad": bad,
        "outcome": dict(outcome.most_common()),
        "slowest": slowest,
        "peak_rss_mb": before / 1e6,
        "largest_growth_mb": (growth[0] / 1e6, growth[1]),
    }


def _alone(path, data):
    """Name, seconds, peak memory [MB] and the outcome of one file read in a process of its own."""
    path.write_bytes(data)
    code = """
import sys, time
from dtl_core import errors, machine, readers
start = time.perf_counter()
try:
    line = f"{len(readers.read(sys.argv[1]).flux)} pixels"
except errors.DTLError as error:
    line = str(error)
seconds = time.perf_counter() - start
peak = machine.peak_memory() / 1e6
print(seconds, peak, line, sep="|")"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    path.unlink()
    seconds, peak, line = done.stdout.split("|", 2) if done.returncode == 0 else ("inf", "inf", done.stderr[-300:])
    return path.name, float(seconds), float(peak), line.strip()


def _ring(*_):
    raise TooSlow


def _what(line):
    """A kind of error, from its line."""
    kinds = [
        "cut short",
        "cannot be read",
        "not strictly increasing",
        "NaN",
        "is missing",
        "covers",
        "no possible size",
    ]
    kinds += [
        "median of zero",
        "not a column",
        "gzip",
        "shape",
        "neither FITS",
        "steps of up to",
        "not between",
        "empty",
    ]
    kinds += ["valid BITPIX", "no length", "rows", "aliases", "masked", "two columns", "good pixels", "usable pixels"]
    kinds += ["compressed image", "not a FITS", "not one spectrum", "is not a number", "columns"]
    return next((kind for kind in kinds if kind in line), "other")


@pytest.mark.slow
def test_mutated_files_give_a_spectrum_or_one_line(tmp_path):
    n = int(os.environ.get("DTL_FUZZ", 1500))
    command = [sys.executable, __file__, str(n), "0", str(tmp_path)]
    places = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=places, capture_output=True, text=True, timeout=60 + n / 10)
    assert done.returncode == 0 and not done.stderr, done.stderr[-3000:]
    found = json.loads(done.stdout)
    print(json.dumps(found, indent=1))
    assert not found["bad"]
    assert found["slowest"][0] < LIMIT_S and found["peak_rss_mb"] * 1e6 < LIMIT_BYTES
    assert sum(found["outcome"].values()) == n and 0.1 < found["outcome"]["accepted"] / n < 0.6


@pytest.mark.slow
@pytest.mark.skipif("DTL_FUZZ" not in os.environ, reason="DTL_FUZZ is not set: takes a minute")
def test_the_longest_files_are_read_or_refused_in_time(tmp_path):
    found = run(0, -1, tmp_path)
    print(*found, sep="\n")
    for name, seconds, peak, _ in found:
        assert seconds < LIMIT_S and peak * 1e6 < LIMIT_BYTES, name


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (4 * LIMIT_BYTES, 4 * LIMIT_BYTES))  # a runaway ends here
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
