"""Fetch many files, each from the first origin that has it complete; missing files are listed with the reason."""

from __future__ import annotations

import itertools
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from ..errors import DTLError

__all__ = ["Fetched", "fetch_each", "linked_files", "text_of"]


LONGEST_PAGE = 2**24  # bytes


class Fetched(NamedTuple):
    """Result of a download of many files.

    Attributes
    ----------
    paths : dict
        Item -> Path.
    missing : dict of str
        Item -> why it is not there, in one line.
    """

    paths: dict
    missing: dict


def fetch_each(items, attempts, downloader, *, total=None, quiet=False, label="fetch"):
    """Fetch items in threads, each by the first attempt that succeeds.

    Parameters
    ----------
    items : sequence
    attempts : callable
        Returns the attempts for an item: callables without arguments that return a Path or raise a ``DTLError``.
    downloader : Downloader
    total : float, bytes, optional
        Expected size, for the progress bar.
    quiet : bool
    label : str
        Label of the progress bar.

    Returns
    -------
    Fetched

    Raises
    ------
    DataError
        A file cannot be written.
    """
    from .download import progress_bar

    def fetch(item):
        errors = ["no origin lists it"]
        for number, attempt in enumerate(attempts(item)):
            errors = errors if number else []
            try:
                return item, attempt(), None
            except DTLError as error:
                errors.append(str(error))
        return item, None, " | ".join(errors)

    with progress_bar(total, quiet=quiet or not items, label=label) as bar:
        downloader.progress = bar.update
        results, errors = downloader.each(fetch, list(items))
    for error in errors:  # of writing: the next item would fail in the same way
        raise error
    return Fetched(
        {item: path for item, path, _ in results if path}, {item: reason for item, path, reason in results if not path}
    )


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        href = dict(attrs).get("href") if tag == "a" else None
        if href:
            self.found.append("".join(href.split()))  # some pages have tabs within


def text_of(url, downloader):
    """Text of a page, at most 16 MiB of it; DataError if it is not available."""

    def ask():
        with downloader.session.get(url, stream=True, timeout=downloader.timeout) as reply:
            reply.raise_for_status()
            content = b"".join(itertools.islice(reply.iter_content(2**16), LONGEST_PAGE >> 16))
            return content.decode("utf-8", "replace")

    return downloader.retry(ask, "the list of files", url)


def linked_files(url, downloader, *, folders=False):
    """Files that a page links to, by path or as ``...?id=NAME``.

    Parameters
    ----------
    url : str
        A page, or the listing of a folder.
    downloader : Downloader
    folders : bool
        Also those of the folders below it, one level down.

    Returns
    -------
    dict of str to str
        Address -> name of the file.

    Raises
    ------
    DataError
        A page is not available.
    """
    parser, files, below = _Links(), {}, set()
    parser.feed(text_of(url, downloader))
    for href in parser.found:
        parts = urlsplit(urljoin(url, href))
        _, is_id, name = parts.query.partition("id=")
        name = unquote(name if is_id else parts.path.rpartition("/")[2])  # a page may write both + and %2B
        if is_id:
            parts = parts._replace(query=f"id={quote(name, safe='')}")
        address = parts._replace(fragment="").geturl()
        if name:
            files[address] = name
        elif not parts.query and unquote(address).startswith(unquote(url)) and unquote(address) != unquote(url):
            below.add(address)
    for address in sorted(below) if folders else ():
        files |= linked_files(address, downloader)
    return files
