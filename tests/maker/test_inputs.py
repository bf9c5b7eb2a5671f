"""Public data of the book: fetched where they are absent, and a book without them within seconds otherwise."""

import pytest
from loopback import BODY, Loopback, entries, kept, status

from book.maker import builder, inputs
from dtl_core.public_data.download import Downloader

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def server():
    loopback = Loopback()
    yield loopback
    loopback.stop()


def quick():
    return Downloader(timeout=1.0, tries=2, backoff=0.01)


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_what_is_missing_is_fetched_once(server, monkeypatch, cache, capsys):
    entries(monkeypatch, server, ("p/a.csv", b"aaa"), ("p/b.csv", BODY), ("p/c.csv", b"cc"))
    (cache / "p").mkdir(parents=True)
    (cache / "p/a.csv").write_bytes(b"aaa")
    assert inputs.fetch_inputs(downloader=quick())
    said = lines(capsys)
    assert len(said) == 1 and f"2 of 3 files ({(len(BODY) + 2) / 1e6:.1f} MB)" in said[0]
    assert kept(cache) == ["a.csv", "b.csv", "c.csv"] and len(server.log) == 2
    assert inputs.fetch_inputs(downloader=quick()) and inputs.fetch_inputs(offline=True)
    assert len(server.log) == 2 and len(lines(capsys)) == 2


@pytest.mark.parametrize("switch", ["argument", "variable"])
def test_offline_nothing_is_asked_for(server, monkeypatch, cache, capsys, switch):
    entries(monkeypatch, server, ("p/a.csv", b"aaa"))
    if switch == "variable":
        monkeypatch.setenv("DTL_OFFLINE", "1")
    assert not inputs.fetch_inputs(offline=switch == "argument", downloader=quick())
    assert not server.log and len(lines(capsys)) == 1 and not kept(cache)


def test_without_a_network_only_two_files_are_asked_for(server, monkeypatch, cache, capsys):
    entries(monkeypatch, server, *((f"p/{k}.csv", BODY[: 100 + k]) for k in range(30)))
    server.stop()
    fetch, asked = inputs.fetching.fetch, []
    monkeypatch.setattr(
        inputs.fetching, "fetch", lambda names, **how: asked.append((names, how)) or fetch(names, **how)
    )
    assert not inputs.fetch_inputs()
    assert [names for names, _ in asked] == [["p/0.csv"], ["p/1.csv"]]  # each once, and no wait for a silent server
    assert all(how["downloader"].timeout <= 5 and how["downloader"].tries == 1 for _, how in asked)
    said = lines(capsys)
    assert len(said) == 1 and "30 of 30" in said[0] and not kept(cache)


@pytest.mark.parametrize("gone", ["a", "c"])  # the smallest is asked for first
def test_one_file_that_has_gone_leaves_the_others(server, monkeypatch, cache, capsys, gone):
    entries(monkeypatch, server, ("p/a.csv", b"aaa"), ("p/b.csv", b"bbbb"), ("p/c.csv", b"ccccc"))
    server.serve(f"/p/{gone}.csv", b"", status(404), status(404))
    assert not inputs.fetch_inputs(downloader=quick())
    said = lines(capsys)
    assert len(said) == 2 and f"/p/{gone}.csv" in said[1]
    assert kept(cache) == [f"{name}.csv" for name in "abc" if name != gone]


def test_the_run_begins_after_the_data_are_there(server, monkeypatch, cache):
    entries(monkeypatch, server, ("p/a.csv", b"aaa"))
    seen = []
    monkeypatch.setattr(builder.conduct, "run", lambda profile: seen.append(kept(cache)))
    monkeypatch.setattr(builder, "execute", lambda *args, **options: None)
    monkeypatch.setattr(builder.pages, "write", lambda result: None)
    assert builder.make("smoke", html=False) is None
    assert seen == [["a.csv"]]
