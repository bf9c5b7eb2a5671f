"""Files from the network into the cache, whole or not at all.

    downloader = Downloader(progress=bar.update)
    path = downloader.fetch(keeper, "published/pass18.csv")

``keeper`` is a ``pooch.Pooch``: it knows addresses and hashes, and lets a file appear under its name only when the hash
is right. On the way the bytes lie in ``<name>.part``, which a later call completes with a Range request; beside it
``<name>.part.tag`` remembers which version they belong to. Whoever writes the part holds a lock on it.
"""

from __future__ import annotations

import contextlib
import email.utils
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

from .._version import __version__
from ..errors import DataError, DTLError

__all__ = ["Downloader", "progress_bar"]


USER_AGENT = f"dtl-mdwarfs/{__version__} (+https://github.com/dtl-mdwarfs/dtl-mdwarfs)"
CONNECTIONS_PER_HOST = 2
LONGEST_WAIT = 120.0  # s; a server that asks for more is left alone
FINAL = {400, 401, 403, 404, 405, 406, 410, 414, 451}  # answers that no repetition changes
_COPY = "set DTL_DATA to a folder with a copy"
_LATER = "run the same command later"


class _Again(requests.RequestException):
    """A reason to try again."""


class Downloader:
    """Patient and polite downloads; one object serves all threads of a command.

    Arguments
    ---------
    timeout : float, s, to connect and between two pieces of a body: a line that stalls longer counts as cut
    tries : int, of one file
    backoff : float, s before the second try, doubled before each further one, times a random 0.5 to 1.5
    workers : int, files at once; never more than two connections to one server
    progress : callable, optional, called with the number of bytes since the last call (negative when a try is lost)
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
        """One file: found in the keeper's folder with the right hash, or downloaded, or completed.

        Arguments
        ---------
        keeper : pooch.Pooch
        name : str, in its registry
        limit : int, bytes; a longer file is refused

        Returns
        -------
        Path

        Errors
        ------
        DataError : one line with address and remedy. The folder then holds a part that the next call completes, or
            nothing.
        """
        import pooch

        pooch.get_logger().setLevel("WARNING")
        url, path = keeper.get_url(name), Path(keeper.abspath) / name
        try:
            with self.locked(path) as part:
                _sweep(path.parent)
                return Path(keeper.fetch(name, downloader=partial(self._complete, name, part, limit)))
        except ValueError as error:  # pooch's word for a wrong hash; it has removed the file
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
        """The part of a file, open and ours alone: others wait. It is removed again when nothing is in it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        while True:
            with open(part, "ab+") as file:
                while not _try_lock(file):
                    self._pause(0.05)
                if not _is_open_at(part, file):
                    continue  # another process finished it meanwhile
                try:
                    yield file
                finally:
                    if _is_open_at(part, file) and not file.seek(0, os.SEEK_END):
                        part.unlink()
                        Path(f"{part}.tag").unlink(missing_ok=True)
                return

    def _complete(self, name, part, limit, url, output_file, keeper):
        """pooch's downloader: completes the part and moves it to the temporary name that pooch checks."""
        os.unlink(output_file)  # a placeholder: a process killed from here on leaves the part only
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
        if have and (version or checked):  # a part of unknown version is completed only if a hash will tell
            headers = {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
        with self.session.get(url, headers=headers, stream=True, timeout=self.timeout) as reply:
            span = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", reply.headers.get("Content-Range", ""))
            first, total = span.groups() if span else (None, None)
            if reply.status_code == 416 and headers and total == str(have):
                return self._count(have)  # it was whole already
            if headers and (reply.status_code == 416 or reply.status_code == 206 and first != str(have)):
                part.truncate(0)
                raise _Again("the file has changed")
            if reply.status_code not in (200, 206 if headers else 200):
                raise requests.HTTPError(response=reply)
            if reply.status_code == 200:
                part.truncate(have := 0)
                etag, date = reply.headers.get("ETag", ""), reply.headers.get("Last-Modified", "")
                # not a weak one: it does not tell bytes apart
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
        """Call ``work`` until it succeeds, with growing pauses; DataError when that is no use or the tries run out."""
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
        """``work(item)`` for all items, several at once: (results, errors), both in the order of the items."""
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
            except BaseException:  # Ctrl-C: every thread stops after its present piece, parts stay
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [results[k] for k in sorted(results)], [errors[k] for k in sorted(errors)]


def progress_bar(total, *, quiet=False, label="fetch"):
    """A tqdm bar of bytes on the standard error: done, rate, time left. Silent when quiet or on no terminal."""
    from tqdm import tqdm

    return tqdm(total=total, unit="B", unit_scale=True, desc=label, disable=quiet or None)


def _sweep(folder, older_than=3600.0):
    """Remove the temporary files of a pooch that was killed between the last byte and the hash."""
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
    """Why a try failed, how long to wait, s (infinity where another try is no use), and what else to do at the end."""
    text, errors, never = str(error), requests.exceptions, float("inf")
    if isinstance(error, requests.HTTPError):
        reply = error.response
        answer = f"the server answers {reply.status_code} {reply.reason or ''}".strip()
        if reply.status_code in FINAL:
            return answer, never, "the file may have moved: " + _COPY
        wait = _retry_after(reply.headers.get("Retry-After", ""))
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


def _retry_after(text):
    """Seconds of a Retry-After header, a number or a date; 0 when there is none."""
    if text.isdigit():
        return float(text)
    with contextlib.suppress(ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0
