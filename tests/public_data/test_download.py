"""Downloads against a server on the loopback address that fails in every way; a broken file never gets its name."""

import contextlib
import email.utils
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback import BODY, Loopback, cut, fails, get, good, kept, sha, stall, start, status, wait_for, way

from dtl_core.errors import DataError
from dtl_core.public_data.download import Downloader, progress_bar
from dtl_core.public_data.registry import keeper

# ---------------------------------------------------------------- the server and its ways to answer


# ---------------------------------------------------------------- what every test shares


@pytest.fixture
def server():
    loopback = Loopback()
    yield loopback
    loopback.stop()


PART = ["b.csv.part", "b.csv.part.tag"]


# ---------------------------------------------------------------- answers that are good in the end


def test_a_file_arrives_whole_and_alone(server, tmp_path):
    server.serve("/a/b.csv", BODY)
    path = get(server, tmp_path)
    assert path == tmp_path / "a" / "b.csv" and path.read_bytes() == BODY
    assert kept(tmp_path) == ["b.csv"]


def test_a_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    server.serve("/a/b.csv", BODY)
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.log) == 1 and kept(tmp_path) == ["b.csv"]


def test_a_cut_line_is_continued_with_the_remainder_only(server, tmp_path):
    server.serve("/a/b.csv", BODY, cut(98_304))
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/a/b.csv") == [[None, 200, 98_304], ["bytes=98304-", 206, len(BODY) - 98_304]]
    assert kept(tmp_path) == ["b.csv"]


def test_a_second_call_resumes_where_the_first_gave_up(server, tmp_path):
    server.serve("/a/b.csv", BODY, cut(98_304), cut(49_152))
    fails(server, tmp_path, "the line was cut", "continues where it stopped", left=PART, tries=2)
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/a/b.csv")[-1] == ["bytes=147456-", 206, len(BODY) - 147_456]
    assert kept(tmp_path) == ["b.csv"]


def test_a_damaged_note_of_the_version_costs_a_restart_and_no_more(server, tmp_path):
    server.serve("/a/b.csv", BODY, cut(98_304), cut(49_152))
    fails(server, tmp_path, "the line was cut", left=PART, tries=2)
    (tag,) = tmp_path.rglob("*.part.tag")
    tag.write_bytes(b"\xff\xfe\x80")
    assert get(server, tmp_path).read_bytes() == BODY and kept(tmp_path) == ["b.csv"]


def test_a_stalled_line_is_given_up_and_continued(server, tmp_path):
    server.serve("/a/b.csv", BODY, stall(98_304))
    assert get(server, tmp_path).read_bytes() == BODY
    assert [entry[0] for entry in server.seen("/a/b.csv")] == [None, "bytes=98304-"]


def test_a_redirect_is_followed_and_resumed(server, tmp_path):
    server.serve("/a/b.csv", b"", status(302, Location="/elsewhere"), status(302, Location="/elsewhere"))
    server.serve("/elsewhere", BODY, cut(98_304))
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/elsewhere")[1] == ["bytes=98304-", 206, len(BODY) - 98_304]


@pytest.mark.parametrize("code", [500, 502, 503, 429])
def test_a_passing_failure_is_tried_again(server, tmp_path, code):
    server.serve("/a/b.csv", BODY, status(code))
    assert get(server, tmp_path).read_bytes() == BODY
    assert [entry[1] for entry in server.seen("/a/b.csv")] == [code, 200]


def test_a_server_that_ignores_ranges_starts_the_file_over(server, tmp_path):
    server.serve("/a/b.csv", BODY, cut(98_304), way(ranges=False))
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/a/b.csv")[1] == ["bytes=98304-", 200, len(BODY)]


def test_a_file_that_changed_is_not_glued_to_its_old_part(server, tmp_path):
    new = BODY[::-1]
    server.serve("/a/b.csv", BODY, cut(98_304))
    fails(server, tmp_path, left=PART, tries=1)
    server.serve("/a/b.csv", new)
    assert get(server, tmp_path, digest="").read_bytes() == new  # no hash would have told
    assert server.seen("/a/b.csv")[1][1] == 200


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"x"'}, {"Last-Modified": "Tue, 28 May 2024 00:00:00 GMT"}])
def test_without_hash_only_a_known_version_is_continued(server, tmp_path, headers):
    """Neither no tag nor a weak one vouches for the bytes; a date does, and a hash needs neither."""
    server.serve("/a/b.csv", BODY, cut(98_304, tags=False, headers=headers))
    get(server, tmp_path, digest="")
    assert server.seen("/a/b.csv")[1][0] == ("bytes=98304-" if "Last-Modified" in headers else None)
    server.serve("/a/c.csv", BODY, cut(98_304, tags=False), way(tags=False))
    assert get(server, tmp_path, name="a/c.csv").read_bytes() == BODY
    assert server.seen("/a/c.csv")[1] == ["bytes=98304-", 206, len(BODY) - 98_304]


def test_a_part_that_is_already_whole_is_only_checked(server, tmp_path):
    server.serve("/a/b.csv", BODY)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.csv.part").write_bytes(BODY)
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/a/b.csv") == [[f"bytes={len(BODY)}-", 416, 0]]


def test_strays_of_a_pooch_killed_while_hashing_are_swept(server, tmp_path):
    server.serve("/a/b.csv", BODY)
    (tmp_path / "a").mkdir()
    for name, age in (("tmpabcd1234", 7200), ("tmpefgh5678", 0)):
        (tmp_path / "a" / name).write_bytes(b"x")
        os.utime(tmp_path / "a" / name, (time.time() - age,) * 2)
    get(server, tmp_path)
    assert kept(tmp_path) == ["b.csv", "tmpefgh5678"]  # the younger one may be at work


@pytest.mark.parametrize("first", [b"", BODY + b"too much"])
def test_a_part_that_cannot_be_continued_starts_over(server, tmp_path, first):
    server.serve("/a/b.csv", BODY)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.csv.part").write_bytes(first)
    assert get(server, tmp_path).read_bytes() == BODY
    assert kept(tmp_path) == ["b.csv"]


def test_another_piece_than_asked_for_is_refused(server, tmp_path):
    def other_piece(request, body):
        request.start(206, {"Content-Range": f"bytes 7-{len(body) - 1}/{len(body)}", "Content-Length": "0"})

    server.serve("/a/b.csv", BODY, cut(98_304), other_piece)
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/a/b.csv")[2] == [None, 200, len(BODY)]


def test_pieces_shorter_than_the_rest_are_added_up(server, tmp_path):
    def short_piece(request, body):
        request.start(206, {"Content-Range": f"bytes 98304-147455/{len(body)}", "Content-Length": "49152"})
        request.send(body[98_304:147_456])

    server.serve("/a/b.csv", BODY, cut(98_304), short_piece)
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/a/b.csv")[2][0] == "bytes=147456-"


# ---------------------------------------------------------------- answers that stay bad


@pytest.mark.parametrize("code", [404, 403, 401, 410])
def test_a_missing_file_is_asked_for_once(server, tmp_path, code):
    server.serve("/a/b.csv", BODY, *[status(code)] * 3)
    fails(server, tmp_path, f"the server answers {code}", "may have moved", "DTL_DATA")
    assert len(server.log) == 1


def test_an_answer_without_a_file_is_no_file(server, tmp_path):
    server.serve("/a/b.csv", BODY, *[status(204)] * 3)
    fails(server, tmp_path, "answers 204", "tries: 3")


def test_a_wrong_hash_leaves_nothing_and_says_both(server, tmp_path):
    wrong = BODY[::-1]
    server.serve("/a/b.csv", wrong)
    fails(server, tmp_path, f"SHA-256 {sha(wrong)[:12]}", f"not {sha(BODY)[:12]}", "the origin has changed")
    server.serve("/a/b.csv", BODY)
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen("/a/b.csv")[1] == [None, 200, len(BODY)]  # not a continuation of the wrong one


def test_a_wrong_part_is_thrown_away_with_its_hash(server, tmp_path):
    server.serve("/a/b.csv", BODY)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.csv.part").write_bytes(b"x" * 98_304)
    fails(server, tmp_path, "SHA-256")
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_line_that_stays_silent_is_named_as_such(server, tmp_path):
    server.serve("/a/b.csv", BODY, stall(), stall())
    fails(server, tmp_path, "no answer for 0.2 s", tries=2, timeout=0.2)
    server.serve("/a/b.csv", BODY, stall(65_536), stall(1))
    fails(server, tmp_path, "no answer for 0.2 s", left=PART, tries=2, timeout=0.2)


def test_no_server_at_all(server, tmp_path):
    server.stop()
    fails(server, tmp_path, "no connection", "tries: 2", tries=2)


def test_a_redirect_loop_ends(server, tmp_path):
    server.serve("/a/b.csv", b"", *[status(302, Location="/a/b.csv")] * 20)
    fails(server, tmp_path, "redirected without end")
    assert len(server.log) == 6


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://:80/x"])
def test_a_redirect_to_anything_but_the_web_is_refused(server, tmp_path, target):
    server.serve("/a/b.csv", b"", status(302, Location=target))
    fails(server, tmp_path, "leads to no web page")
    assert len(server.log) == 1


@pytest.mark.parametrize("options", [{}, {"headers": {"Content-Encoding": "identity"}}])
def test_a_file_longer_than_expected_is_refused(server, tmp_path, options):
    """By its announced length at once, and else when it grows too long."""
    server.serve("/a/b.csv", BODY, way(**options))
    fails(server, tmp_path, "longer than the 1000 bytes expected", "nothing was kept", limit=1000)


def test_a_cache_that_cannot_be_written_is_one_line(server, tmp_path):
    server.serve("/a/b.csv", BODY)
    (tmp_path / "a").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written .*; free disk space or set DTL_CACHE"):
        get(server, tmp_path)


def test_a_full_disk_is_one_line(server, tmp_path, monkeypatch):
    server.serve("/a/b.csv", BODY)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"b.csv: cannot be written \(No space left on device\); free disk space"):
        get(server, tmp_path)


def test_an_untrusted_certificate_is_not_tried_again(tmp_path, monkeypatch, server):
    import requests

    calls = []

    def untrusted(*args, **kwargs):
        calls.append(args)
        raise requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED: self-signed certificate")

    monkeypatch.setattr(requests.Session, "get", untrusted)
    fails(server, tmp_path, "certificate is not trusted", "check the clock")
    assert len(calls) == 1


# ---------------------------------------------------------------- manners


@pytest.mark.slow
def test_retry_after_is_honoured_in_seconds_and_as_a_date(server, tmp_path):
    date = email.utils.format_datetime(email.utils.localtime())
    server.serve("/a/b.csv", BODY, status(429, Retry_After="1"), status(503, Retry_After=date))
    started = time.monotonic()
    get(server, tmp_path)
    assert 1.0 <= time.monotonic() - started < 3.0
    assert [entry[1] for entry in server.seen("/a/b.csv")] == [429, 503, 200]


def test_a_server_that_wants_a_long_pause_is_left_alone(server, tmp_path):
    server.serve("/a/b.csv", BODY, status(429, Retry_After="3600"))
    fails(server, tmp_path, "answers 429", "try again in 3600 s")
    assert len(server.log) == 1


def test_pauses_between_tries_double(server, tmp_path, monkeypatch):
    server.serve("/a/b.csv", BODY, *[status(500)] * 4)
    pauses = []
    monkeypatch.setattr(Downloader, "_pause", lambda self, seconds: pauses.append(seconds))
    fails(server, tmp_path, "answers 500", tries=4, backoff=8.0)
    assert all(0.5 <= pause / (8.0 * 2**k) <= 1.5 for k, pause in enumerate(pauses)) and len(pauses) == 3


def test_the_server_learns_who_asks(server, tmp_path):
    seen = {}

    def look(request, body):
        seen.update(request.headers)
        good(request, body)

    server.serve("/a/b.csv", BODY, look)
    get(server, tmp_path)
    assert re.match(r"dtl-mdwarfs/\d+\.\d+\.\d+ \(\+https://", seen["User-Agent"])
    assert seen["Accept-Encoding"] == "identity"


def test_many_files_come_over_two_connections_at_most(server, tmp_path):
    names = [f"a/{k}.csv" for k in range(8)]
    for name in names:
        server.serve(f"/{name}", BODY, way(pace=0.01))
    server.serve("/a/3.csv", BODY, status(404))
    counted = []
    downloader = Downloader(timeout=2, backoff=0.01, workers=4, progress=counted.append)
    files = keeper(tmp_path, {name: f"{server.url}/{name}" for name in names}, dict.fromkeys(names, sha(BODY)))
    paths, errors = downloader.each(lambda name: downloader.fetch(files, name), names)
    assert server.busiest == 2
    assert [path.name for path in paths] == [f"{k}.csv" for k in range(8) if k != 3]
    assert len(errors) == 1 and "answers 404" in str(errors[0])
    assert sum(counted) == 7 * len(BODY)


def test_progress_counts_every_byte_once_whatever_happens(server, tmp_path):
    server.serve("/a/b.csv", BODY, cut(98_304), way(ranges=False, upto=65_536), status(500), stall(49_152))
    counted = []
    get(server, tmp_path, tries=5, progress=counted.append)
    assert sum(counted) == len(BODY) and min(counted) < 0


def test_the_bar_shows_rate_and_time_left_on_a_terminal_only(capsys, monkeypatch):
    with progress_bar(1000) as bar:
        bar.update(500)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_bar(1000, quiet=True) as bar:
        bar.update(500)
    assert capsys.readouterr().err == ""
    with progress_bar(1_000_000, label="fetch") as bar:
        bar.update(500_000)
        bar.refresh()
    text = capsys.readouterr().err
    assert "fetch:  50%" in text and "500k/1.00M" in text and "B/s" in text and "<" in text


# ---------------------------------------------------------------- processes


@contextlib.contextmanager
def stopped_midway(server, folder, signal_number):
    """A downloading process that gets a signal with half of the file on disk."""
    server.serve("/a/b.csv", BODY, way(pace=0.2) if signal_number == signal.SIGINT else stall(196_608))
    part = folder / "b.csv.part"
    with start(server, folder) as process:
        wait_for(lambda: part.exists() and part.stat().st_size >= 163_840)
        os.kill(process.pid, signal_number)
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_leaves_a_part_that_the_next_call_resumes(server, tmp_path, signal_number):
    with stopped_midway(server, tmp_path, signal_number) as process:
        assert process.wait(15) != 0
    assert kept(tmp_path) == PART
    have = (tmp_path / "b.csv.part").stat().st_size
    files = keeper(tmp_path, {"b.csv": f"{server.url}/a/b.csv"}, {"b.csv": sha(BODY)})
    assert Downloader().fetch(files, "b.csv").read_bytes() == BODY
    assert server.seen("/a/b.csv")[-1] == [f"bytes={have}-", 206, len(BODY) - have]
    assert kept(tmp_path) == ["b.csv"]


@pytest.mark.slow
def test_two_processes_that_want_one_file_share_one_download(server, tmp_path):
    server.serve("/a/b.csv", BODY, way(pace=0.15))
    with start(server, tmp_path) as one, start(server, tmp_path) as two:
        assert (one.wait(20), two.wait(20)) == (0, 0), one.stderr.read() + two.stderr.read()
    assert (tmp_path / "b.csv").read_bytes() == BODY
    assert kept(tmp_path) == ["b.csv"] and len(server.log) == 1


def test_who_waited_for_one_that_failed_starts_afresh(server, tmp_path):
    """The part that both had open is gone with the failure: the second must not write into it."""
    began, go_on = threading.Event(), threading.Event()

    def late_refusal(request, body):
        began.set()
        go_on.wait(10)
        status(404)(request, body)

    server.serve("/a/b.csv", BODY, late_refusal)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(get, server, tmp_path, timeout=10)
        assert began.wait(10)
        second = pool.submit(get, server, tmp_path)
        time.sleep(0.2)
        go_on.set()
        assert "404" in str(first.exception()) and second.result().read_bytes() == BODY
    assert kept(tmp_path) == ["b.csv"]


@pytest.mark.slow
def test_a_waiting_process_takes_over_from_one_that_dies(server, tmp_path):
    with stopped_midway(server, tmp_path, signal.SIGSTOP) as first, start(server, tmp_path) as second:
        time.sleep(1.0)
        assert second.poll() is None and len(server.log) == 1  # it waits
        first.kill()
        assert second.wait(15) == 0, second.stderr.read()
    assert (tmp_path / "b.csv").read_bytes() == BODY
    assert server.seen("/a/b.csv")[1][1] == 206
