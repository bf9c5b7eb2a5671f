"""A server on the loopback address that answers in every wrong way, and helpers to look at what a client kept."""

import hashlib
import http.server
import re
import subprocess
import sys
import threading
import time

import pytest

from dtl_core.errors import DataError
from dtl_core.public_data import registry
from dtl_core.public_data.download import Downloader
from dtl_core.public_data.registry import Resource, keeper

SCRIPT = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in the background
import sys
from dtl_core.public_data.download import Downloader
from dtl_core.public_data.registry import keeper
folder, url, digest = sys.argv[1:]
downloader = Downloader(timeout=20)
files = keeper(folder, {"b.csv": url}, {"b.csv": digest})
paths, errors = downloader.each(lambda name: downloader.fetch(files, name), ["b.csv"])
sys.exit(str(errors[0]) if errors else 0)
"""
BODY = bytes(range(256)) * 1200  # 307,200 bytes


def sha(body):
    return hashlib.sha256(body).hexdigest()


class Loopback(http.server.ThreadingHTTPServer):
    """Serves bytes by path; ``script`` lists how the first requests of a path are answered, later ones are good."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies, self.scripts, self.log, self.posts = {}, {}, [], []
        self.busy = self.busiest = 0
        self.lock, self.released = threading.Lock(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path, body, *script):
        self.bodies[path], self.scripts[path] = body, list(script)
        return self.url + path

    def seen(self, path):
        """(Range header, status, bytes sent) of every request of a path."""
        return [entry[1:] for entry in self.log if entry[0] == path]

    def handle_error(self, request, client_address):
        pass  # clients that are killed on purpose

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        with server.lock:
            script = server.scripts.get(self.path, [])
            way = script.pop(0) if script else good
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
            entry = [self.path, self.headers.get("Range"), None, 0]
            server.log.append(entry)
        self.entry = entry
        try:
            way(self, server.bodies.get(self.path))
        finally:
            with server.lock:
                server.busy -= 1

    def do_POST(self):
        self.server.posts.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.do_GET()

    def start(self, status, headers):
        self.entry[2] = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, piece):
        self.wfile.write(piece)
        self.wfile.flush()
        self.entry[3] += len(piece)

    def log_message(self, *args):
        pass


def good(request, body, *, ranges=True, tags=True, upto=None, pace=0.0, headers=None):
    """A correct answer, or the beginning of one."""
    if body is None:
        return status(404)(request, body)
    extra = {"ETag": f'"{sha(body)[:16]}"'} if tags else {}
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")) if ranges else None
    if wanted and request.headers.get("If-Range", extra.get("ETag")) == extra.get("ETag"):
        start = int(wanted[1])
        if start >= len(body):
            request.start(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            return
        extra["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        code, rest = 206, body[start:]
    else:
        code, rest = 200, body
    request.start(code, extra | {"Content-Length": str(len(rest))} | (headers or {}))
    for k in range(0, len(rest[:upto]), 50_000):
        request.send(rest[:upto][k : k + 50_000])
        time.sleep(pace)
    request.close_connection = upto is not None
    return None


def way(**options):
    return lambda request, body: good(request, body, **options)


def cut(upto, **options):
    return way(upto=upto, **options)


def stall(upto=0):
    def answer(request, body):
        good(request, body, upto=upto)
        request.server.released.wait(20)

    return answer


def status(code, **headers):
    def answer(request, body):
        headers_ = {name.replace("_", "-"): value for name, value in headers.items()}
        request.start(code, headers_ | {"Content-Length": "0"})

    return answer


def instead(other, **options):
    return lambda request, body: good(request, other, **options)


def get(server, folder, name="a/b.csv", body=BODY, digest=None, limit=2**30, **options):
    """Fetch ``name`` from the server with quick settings."""
    files = keeper(folder, {name: f"{server.url}/{name}"}, {name: sha(body) if digest is None else digest or None})
    return Downloader(**dict(timeout=0.4, tries=3, backoff=0.01) | options).fetch(files, name, limit)


def kept(folder):
    """Names of all files, for the assertion that nothing but a part is left."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def fails(server, folder, *words, left=(), **options):
    """The download ends in one line with address, words and remedy, and leaves only what is named."""
    with pytest.raises(DataError) as caught:
        get(server, folder, **options)
    line = str(caught.value)
    assert "\n" not in line and f"{server.url}/a/b.csv" in line and "; " in line
    for word in words:
        assert word in line
    assert kept(folder) == list(left)
    return line


def start(server, folder):
    command = [sys.executable, "-c", SCRIPT, str(folder), f"{server.url}/a/b.csv", sha(BODY)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def entries(monkeypatch, server, *files):
    """Replace the registry by (name, body) files of the server and return them."""
    made = {}
    for name, body in files:
        fields = dict(what="a file", licence="none", checked="no", cite=(), sha256=sha(body), size=len(body))
        made[name] = Resource(name, "published", "file", url=server.serve(f"/{name}", body), **fields)
    monkeypatch.setattr(registry, "load", lambda: made)
    return made
