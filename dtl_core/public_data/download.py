"""Downloads of public files into the cache. A file appears there complete or not at all.

    downloader = Downloader(progress=bar.update)
    path = downloader.fetch(keeper, "published/pass18.csv")

``keeper`` is a ``pooch.Pooch``. It maps names to addresses and hashes, verifies each download and moves it to its name.
This module supplies pooch's ``downloader`` and the retries. ``pooch.HTTPDownloader`` cannot resume a file, limits
neither its size nor the connections to a server, and does not lock it; pooch's retries repeat a 404 or a wrong hash
like a 503 and ignore ``Retry-After``, and those of urllib3 do not cover a body that is cut.

The bytes arrive in ``<name>.part``, which a later call completes with a Range request. ``<name>.part.tag`` records the
version of the file on the server. The process that writes a part holds a lock on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from .._version import __version__
from ..errors import DataError, DTLError

__all__ = ["Downloader", "progress_bar"]


USER_AGENT = f"dtl-mdwarfs/{__version__} (+https://github.com/dtl-mdwarfs/dtl-mdwarfs)"
CONNECTIONS_PER_HOST = 2
LONGEST_WAIT = 120.0  # s; if a server asks for more, the download fails
FINAL = {400, 401, 403, 404, 405, 406, 410, 414, 451}  # status codes that are not worth a retry
_COPY = "set DTL_DATA to a folder with a copy"
_LATER = "run the same command later"


class _Again(requests.RequestException):
    """An answer after which the download is tried again."""


class Downloader:
    """Downloads with retries, resumption and a limit on connections; safe to share between threads.

    Parameters
    ----------
    timeout : float, s
        Longest wait for a connection, and between two pieces of a body.
    tries : int
        Attempts per file.
    backoff : float, s
        Pause before the second attempt. It doubles before each further one and is multiplied by a random factor from
        0.5 to 1.5.
    workers : int
        Files at once; there are never more than two connections per server.
    progress : callable, optional
        Called with the number of bytes since the last call, negative if bytes of a failed attempt are lost.
    """

    def __init__(self, *, timeout=30.0, tries=4, backoff=1.0, workers=4, progress=None):
        self.timeout, self.tries, self.backoff, self.workers = timeout, tries, backoff, workers
        self.progress = progress
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self.session = requests.Session()
        self.session.max_redirects = 5
        self.session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS_PER_HOST, pool_block=True))

    def fetch(self, keeper, name, limit=2**30):
        """Return the path of a file, after downloading it if it is missing or its hash is wrong.

        Parameters
        ----------
        keeper : pooch.Pooch
            From ``dtl_core.public_data.registry.keeper``.
        name : str
            In the registry of ``keeper``.
        limit : int, bytes
            A longer file is refused.

        Returns
        -------
        Path

        Raises
        ------
        DataError
            The file is not available. The folder then holds a part that the next call completes, or nothing.
        """
        import pooch

        pooch.get_logger().setLevel("WARNING")
        url, path = keeper.get_url(name), Path(keeper.abspath) / name
        try:
            with self.locked(path) as part:
                _sweep(path.parent)
                return Path(keeper.fetch(name, downloader=partial(self._complete, name, part, limit)))
        except ValueError as error:  # raised by pooch for a wrong hash, after it removed the file
            hashes = re.findall(r"\b[0-9a-f]{64}\b", str(error))
            if len(hashes) != 2:
                raise
            expected, got = hashes
            raise DataError(
                f"{name} has SHA-256 {got[:12]}..., not {expected[:12]}...; nothing was kept",
                file=url,
                remedy="fetch it again; if it stays so the origin has changed: " + _COPY,
            ) from None
        except OSError as error:
            raise _unwritable(error, path) from None

    @contextlib.contextmanager
    def locked(self, path):
        """Open the part of a file and lock it against other processes; remove it afterwards if it is empty."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        while True:
            with open(part, "ab+") as file:
                while not _try_lock(file):
                    self._pause(0.05)
                if not _is_open_at(part, file):
                    continue  # another process finished it in the meantime
                try:
                    yield file
                finally:
                    if _is_open_at(part, file) and not file.seek(0, os.SEEK_END):
                        part.unlink()
                        Path(f"{part}.tag").unlink(missing_ok=True)
                return

    def _complete(self, name, part, limit, url, output_file, keeper):
        """Complete the part and move it to the temporary name that pooch verifies: a ``downloader`` of pooch."""
        os.unlink(output_file)  # a placeholder; if this process is killed from here on, only the part is left
        tag = Path(part.name + ".tag")
        stream = partial(self._stream, part, tag, limit, name, url, bool(keeper.registry[name]))
        self.retry(stream, name, url, _LATER + ": it continues where it stopped")
        part.flush()
        os.fsync(part.fileno())
        tag.unlink(missing_ok=True)
        os.replace(part.name, output_file)

    def _stream(self, part, tag, limit, name, url, checked):
        have = part.seek(0, os.SEEK_END)
        version = tag.read_text("latin-1") if tag.exists() else ""
        headers = {}
        if have and (version or checked):  # without a hash, a part of unknown version cannot be verified
            headers = {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
        with self.session.get(url, headers=headers, stream=True, timeout=self.timeout) as reply:
            span = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", reply.headers.get("Content-Range", ""))
            first, total = span.groups() if span else (None, None)
            if reply.status_code == 416 and headers and total == str(have):
                return self._count(have)  # it was complete already
            if headers and (reply.status_code == 416 or reply.status_code == 206 and first != str(have)):
                part.truncate(0)
                raise _Again("the file has changed")
            if reply.status_code not in (200, 206 if headers else 200):
                raise requests.HTTPError(response=reply)
            if reply.status_code == 200:
                part.truncate(have := 0)
                etag, date = reply.headers.get("ETag", ""), reply.headers.get("Last-Modified", "")
                # a weak ETag does not guarantee identical bytes
                tag.write_text(etag if etag.startswith('"') else date, "latin-1")
                total = None if "Content-Encoding" in reply.headers else reply.headers.get("Content-Length")
            total = int(total) if total and total.isdigit() else None
            self._save(reply, part, have, total, limit, name, url)

    def _save(self, reply, part, have, total, limit, name, url):
        self._count(have)
        try:
            for block in itertools.chain([b""], reply.iter_content(2**14)):
                if self._stopped.is_set():
                    raise KeyboardInterrupt
                part.write(block)
                have += self._count(len(block))
                if max(have, total or 0) > limit:
                    part.truncate(0)
                    problem = f"{name} is longer than the {limit} bytes expected; nothing was kept"
                    raise DataError(problem, file=url, remedy="the origin has changed: " + _COPY)
            if total not in (None, have):
                raise _Again(f"the line was cut at {have} of {total} bytes")
        except BaseException:
            self._count(-have)  # the next try counts what it finds
            raise

    def _count(self, n_bytes):
        with self._lock:
            if self.progress:
                self.progress(n_bytes)
        return n_bytes

    def retry(self, work, name, url, later=_LATER):
        """Call ``work`` until it succeeds.

        Parameters
        ----------
        work : callable
            Without arguments; raises ``requests.RequestException`` if it fails.
        name, url : str
            What is downloaded from where, for the error.
        later : str
            Remedy in the error if the attempts run out.

        Raises
        ------
        DataError
            A retry cannot help, or the attempts have run out.
        """
        for attempt in range(1, self.tries + 1):
            try:
                return work()
            except requests.RequestException as error:
                reason, wait, remedy = _judge(error, self.timeout)
            if wait > LONGEST_WAIT:
                raise DataError(f"{name} not fetched: {reason}", file=url, remedy=remedy)
            if attempt < self.tries:
                self._pause(max(wait, self.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)))
        raise DataError(f"{name} not fetched, tries: {self.tries}, last: {reason}", file=url, remedy=remedy or later)

    def _pause(self, seconds):
        if self._stopped.wait(seconds):
            raise KeyboardInterrupt

    def each(self, work, items):
        """Call ``work(item)`` for all items in threads: (results, errors), both in the order of the items."""
        results, errors = {}, {}
        with ThreadPoolExecutor(max(1, min(self.workers, len(items)))) as pool:
            try:
                futures = {pool.submit(work, item): k for k, item in enumerate(items)}
                for future in as_completed(futures):
                    try:
                        results[futures[future]] = future.result()
                    except DTLError as error:
                        errors[futures[future]] = error
                    except OSError as error:
                        errors[futures[future]] = _unwritable(error, error.filename)
            except BaseException:  # Ctrl-C: each thread stops after its current piece; parts stay
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [results[k] for k in sorted(results)], [errors[k] for k in sorted(errors)]


def progress_bar(total, *, quiet=False, label="fetch"):
    """Progress bar of bytes on standard error; hidden if ``quiet`` or if standard error is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, unit="B", unit_scale=True, desc=label, disable=quiet or None)


def _sweep(folder, older_than=3600.0):
    """Remove temporary files of pooch processes that were killed before the hash was verified."""
    for stray in folder.glob("tmp????????"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - stray.stat().st_mtime > older_than:
                stray.unlink()


def _try_lock(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_open_at(path, file):
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _unwritable(error, path):
    problem = f"cannot be written ({error.strerror or error})"
    return DataError(problem, file=path, remedy="free disk space or set DTL_CACHE")


def _judge(error, timeout):
    """Reason of a failure, pause before a retry in s (infinite if a retry cannot help), and remedy."""
    text, errors, never = str(error), requests.exceptions, float("inf")
    if isinstance(error, requests.HTTPError):
        reply = error.response
        answer = f"the server answers {reply.status_code} {reply.reason or ''}".strip()
        if reply.status_code in FINAL:
            return answer, never, "the file may have moved: " + _COPY
        wait = _retry_after(reply)
        return answer, wait, f"try again in {wait:.0f} s" if wait else ""
    if isinstance(error, requests.TooManyRedirects):
        return "redirected without end", never, _COPY
    if isinstance(error, errors.InvalidSchema | errors.InvalidURL | errors.MissingSchema):
        return "the address or a redirection leads to no web page", never, _COPY
    if isinstance(error, errors.SSLError) and "CERTIFICATE_VERIFY" in text:
        return "its certificate is not trusted", never, "check the clock, then: " + _COPY
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return f"no answer for {timeout:g} s", 0.0, ""
    if isinstance(error, _Again):
        return text, 0.0, ""
    return "no connection" if isinstance(error, requests.ConnectionError) else "the line was cut", 0.0, ""


def _retry_after(reply):
    """Seconds that a server asks to wait, 0 without a valid Retry-After header."""
    with contextlib.suppress(InvalidHeader):
        return float(Retry().get_retry_after(reply) or 0)
    return 0.0
