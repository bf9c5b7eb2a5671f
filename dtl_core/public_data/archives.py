"""Tables from public archives via astroquery: catalogues of CDS/VizieR, and Gaia DR3."""

from __future__ import annotations

import csv
import http.client
import os
import re
import shutil
import socket
import threading
import time
import uuid
import warnings
from contextlib import contextmanager

from ..errors import DataError
from ..extras import import_extra
from ..files import atomic_path
from .registry import cache_root, find, get, record

__all__ = ["fetch_gaia", "fetch_vizier", "gaia_rows", "gaia_table"]


GAIA_COLUMNS = (
    "source_id ref_epoch ra ra_error dec dec_error parallax parallax_error pmra pmra_error pmdec pmdec_error ruwe "
    "radial_velocity radial_velocity_error phot_g_mean_mag phot_bp_mean_mag phot_rp_mean_mag"
).split()


GAIA_CHUNK = 100  # stars per query
_ASTROQUERY = threading.Lock()  # its cache switch and its warnings are global


@contextmanager
def _astroquery(timeout):
    """Switch off astroquery's cache and warnings, and give its TAP client a timeout, which it lacks."""
    from astroquery import cache_conf

    before = socket.getdefaulttimeout()
    with _ASTROQUERY, cache_conf.set_temp("cache_active", False), warnings.catch_warnings(action="ignore"):
        socket.setdefaulttimeout(timeout)
        try:
            yield
        finally:
            socket.setdefaulttimeout(before)


def _server(resource):
    return os.environ.get(f"DTL_{resource.kind.upper()}_URL", resource.url).rstrip("/")


def _provenance(resource):
    import astroquery

    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"server": _server(resource), "fetched": date, "astroquery": astroquery.__version__}


def fetch_vizier(resource, downloader):
    """Write all tables of a CDS catalogue as ECSV files into a new folder of the cache, all or none."""
    import_extra("astroquery", "archives")
    from astroquery.exceptions import TableParseError
    from astroquery.vizier import VizierClass

    server, target = _server(resource), cache_root() / resource.name
    vizier = VizierClass(columns=["**"], row_limit=-1, timeout=downloader.timeout)
    vizier._server_to_url = lambda return_type="votable": f"{server}/viz-bin/{return_type}"

    def ask():
        reply = vizier.get_catalogs_async(resource.catalogue)
        reply.raise_for_status()
        return vizier._parse_result(reply)

    try:
        with _astroquery(downloader.timeout):
            tables = downloader.retry(ask, resource.name, server)
    except TableParseError:
        tables = None
    if not tables:
        raise DataError(f"{resource.catalogue} came without tables", file=server, remedy="try again later")
    work = target.parent / f".{uuid.uuid4().hex}"
    work.mkdir(parents=True)
    try:
        for name, table in zip(tables.keys(), tables.values(), strict=True):
            origin = {"catalogue": resource.catalogue, "table": name, "cite": list(resource.cite)}
            table.meta = {"description": table.meta.get("description", "")} | origin | _provenance(resource)
            stem = name.removeprefix(resource.catalogue).strip("/").replace("/", "_") or "table"
            table.write(work / f"{stem}.ecsv", format="ascii.ecsv")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    record(sorted(target.iterdir()), server)


def _ask_gaia(server, query, downloader):
    """Table that the Gaia archive returns for an ADQL query."""
    import requests
    from astroquery.utils.tap.core import TapPlus

    def ask():
        try:
            return TapPlus(url=server).launch_job(query).get_results()
        except requests.HTTPError as error:  # raised without the response; the status is in the text
            error.response = requests.Response()
            error.response.status_code = int((re.search(r"Error (\d{3})", str(error)) or [0, 500])[1])
            raise
        except (OSError, http.client.HTTPException) as error:
            cut = isinstance(error, http.client.IncompleteRead)
            raise (requests.exceptions.ChunkedEncodingError if cut else requests.ConnectionError)(str(error)) from None
        except Exception as error:  # each parser raises its own
            problem = f"the answer is not a table ({type(error).__name__})"
            raise DataError(problem, file=server, remedy="try again later") from None

    with _astroquery(downloader.timeout):
        return downloader.retry(ask, "Gaia DR3", server)


def gaia_rows(query, identifiers, downloader=None):
    """Query the Gaia archive for many stars.

    Parameters
    ----------
    query : str
        In ADQL, up to the list of the identifiers.
    identifiers : sequence of int or str
        At least one.
    downloader : Downloader, optional
        For its timeout and retries.

    Returns
    -------
    astropy.table.Table
        The rows for all of them, with the provenance in ``meta``.

    Raises
    ------
    ConfigError
        astroquery is not installed.
    DataError
        The archive does not answer.
    """
    import_extra("astroquery", "archives")
    from astropy.table import vstack

    from .download import Downloader

    resource, downloader = get("gaia/dr3_286.ecsv"), downloader or Downloader()
    parts = []
    for k in range(0, len(identifiers), GAIA_CHUNK):
        chosen = ", ".join(map(repr, identifiers[k : k + GAIA_CHUNK]))  # quotes around text
        parts.append(_ask_gaia(_server(resource), f"{query} IN ({chosen})", downloader))
    table = vstack([part for part in parts if len(part)] or parts[:1], metadata_conflicts="silent")
    table.meta = _provenance(resource)
    return table


def gaia_table(source_ids, downloader=None):
    """Query astrometry, photometry and velocities of stars in Gaia DR3.

    Parameters
    ----------
    source_ids : sequence of int
        Gaia DR3 identifiers.
    downloader : Downloader, optional
        For its timeout and retries.

    Returns
    -------
    astropy.table.Table
        One row per star in Gaia DR3, sorted by ``source_id``. ``meta["missing"]`` lists the other identifiers.

    Raises
    ------
    DataError
        The archive does not answer, or has none of the stars.
    """
    ids = sorted({int(star) for star in source_ids})
    query = f"SELECT {', '.join(GAIA_COLUMNS)} FROM gaiadr3.gaia_source WHERE source_id"
    table = gaia_rows(query, ids, downloader) if ids else ()
    if not len(table):
        server, remedy = _server(get("gaia/dr3_286.ecsv")), "give Gaia DR3 identifiers"
        raise DataError("knows none of the stars", file=server, field="source_id", remedy=remedy)
    table.sort("source_id")
    missing = sorted(set(ids) - set(table["source_id"].tolist()))
    table.meta = {"catalogue": "gaiadr3.gaia_source", "missing": missing} | table.meta
    return table


def fetch_gaia(resource, downloader):
    """Write the Gaia table of the paper's stars into the cache; see :func:`gaia_table`."""
    stars = find("published/stars_286.csv")
    if stars is None:
        raise DataError(
            f"{resource.name} needs published/stars_286.csv", remedy="set DTL_DATA, or give gaia_table your identifiers"
        )
    with open(stars, encoding="utf-8", newline="") as file:
        ids = [row["gaia_dr3_id"] for row in csv.DictReader(file) if row["gaia_dr3_id"]]
    table, path = gaia_table(ids, downloader), cache_root() / resource.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        table.write(part, format="ascii.ecsv")
    record([path], _server(resource))
