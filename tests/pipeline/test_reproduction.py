"""`dtl reproduce` from the first download to the compared catalogue, on imitated origins, with what can go wrong."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner
from loopback import cut, good, instead, stall, status
from paper_origins import CDS, ERRORS, TEMPLATES, PaperOrigins, starlight
from small import TINY

from dtl_core.cli import main
from dtl_core.config import load_profile
from dtl_core.errors import ConfigError, DataError
from dtl_core.files import file_hash
from dtl_core.literature import catalogues, templates
from dtl_core.literature.paper_numbers import NUMBERS, compare_numbers
from dtl_core.parameters import PARAMETERS
from dtl_core.pipeline import reproduction
from dtl_core.preparing import chain
from dtl_core.public_data import phoenix, phoenix_nodes, registry
from dtl_core.public_data.download import Downloader
from dtl_core.public_data.origins import linked_files
from dtl_core.reading import readers

LABELS = {"synthetic.teff_min": 3200, "synthetic.teff_max": 3400, "synthetic.mh_min": -0.5, "synthetic.mh_max": 0.0}
SMALL = {k: v for k, v in TINY.items() if not k.startswith("survey")} | LABELS | {"workers": 1, "search.halving": 0}
SMALL |= {"autoencoder.l1": "1e-7", "search.learning_rates": "1e-3", "autoencoder.n_models": 1, "search.epochs": 1}
NODES = reproduction.nodes_of(load_profile("smoke", reproduction.settings((), LABELS)))


def quick():
    return Downloader(timeout=1.0, tries=2, backoff=0.01)


@pytest.fixture
def origins(tmp_path, cache, monkeypatch):
    """Call it for a server of six stars; the published catalogue is in the mirror."""
    started = []

    def start(n=6, **options):
        server = PaperOrigins(tmp_path / "made", n, NODES, **options)
        monkeypatch.setenv("DTL_CARMENES_URL", server.url)
        monkeypatch.setenv("DTL_PHOENIX_URL", f"{server.url}/phoenix")
        monkeypatch.setenv("DTL_DATA", str(tmp_path / "mirror"))
        server.write_published(tmp_path / "mirror")
        started.append(server)
        return server

    # the published tables have other origins, whose downloads are tested with the registry
    monkeypatch.setattr(reproduction, "_fetch_tables", lambda *args: None)
    yield start
    for server in started:
        server.stop()


# ---------------------------------------------------------------- which nodes


def test_needed_nodes_are_those_with_weight_in_linear_interpolation():
    assert phoenix_nodes.needed_nodes([[3500, 5.0, 0.0]]) == [(3500.0, 5.0, 0.0)]
    nodes = phoenix_nodes.needed_nodes([[3425, 4.9, 0.0], [3425, 4.9, 0.1]])
    assert {n[0] for n in nodes} == {3400, 3500} and {n[2] for n in nodes} == {0.0, 0.5} and len(nodes) == 8
    with pytest.raises(DataError, match="'teff': 2200 to 2200 leaves PHOENIX-ACES' 2300 to 7000"):
        phoenix_nodes.needed_nodes([[2200, 5.0, 0.0]])


@pytest.mark.data
def test_the_papers_labels_need_fewer_nodes_than_the_range_has(monkeypatch):
    config = load_profile("paper-fast", reproduction.settings(()))
    everything = reproduction.nodes_of(config)
    monkeypatch.setattr(registry, "find", lambda name: None)
    by_rule = reproduction.nodes_of(config)
    assert set(by_rule) < set(everything) < set(phoenix.label_range()) and len(everything) == 220


@pytest.mark.slow
def test_holes_are_filled_where_no_label_looks_and_interpolated_where_one_does(origins, tmp_path):
    server = origins()
    lost = (3300.0, 5.0, -0.5)
    server.serve(server.node_path(lost), b"", *[status(404)] * 9)
    fetched = phoenix_nodes.fetch_nodes(NODES, quick(), quiet=True)
    assert list(fetched.missing) == [lost] and "404" in fetched.missing[lost] and len(fetched.paths) == len(NODES) - 1
    server.serve(server.node_path(lost), server.good(server.node_path(NODES[0])))  # another node's spectrum
    again = phoenix_nodes.fetch_nodes(NODES, quick(), quiet=True)
    assert "has the labels of another node" in again.missing[lost] and again.paths == fetched.paths
    needed = [node for node in NODES if node != (3200.0, 4.5, -0.5)]  # as if no label needed it
    have = {node: path for node, path in fetched.paths.items() if node in needed}
    replaced = phoenix_nodes.complete_grid(have, needed, tmp_path / "grid")
    assert replaced == {lost: "interpolated between lte03200-5.00-0.5 and lte03400-5.00-0.5"}
    folder = tmp_path / "grid" / "phoenix" / "cut"
    assert len(list(folder.iterdir())) == len({n[0] for n in needed}) * len({n[1] for n in needed}) * 2
    spectra = [phoenix.read_phoenix(folder / phoenix.file_name(t, 5.0, -0.5)) for t in (3200, 3300, 3400)]
    low, between, high = (flux / flux.mean() for _, flux, _ in spectra)
    np.testing.assert_allclose(between, (low + high) / 2, rtol=1e-9)
    with pytest.raises(DataError, match="nodes are missing, the first is lte03200"):
        phoenix_nodes.complete_grid(dict(list(have.items())[8:]), needed, tmp_path / "grid")


# ---------------------------------------------------------------- the spectra


@pytest.mark.slow
def test_a_cut_gives_what_the_whole_template_gives(origins, tmp_path):
    server = origins(2, full=True)
    first, second = server.truth["karmn"]
    whole = tmp_path / "whole.fits"
    whole.write_bytes(server.template(first))
    assert whole.stat().st_size > 5.4e6  # 61 orders of 3699 pixels in double precision
    found = templates.fetch_templates([first, second], quick(), quiet=True)
    assert not found.missing and found.paths[first].stat().st_size < 1.5e5
    kept = readers.read(found.paths[first])
    assert (kept.star, kept.frame, kept.resolving_power) == (first, "barycentric", 94_600.0)
    config = load_profile("paper")
    (flux, report), (reference, other) = (chain.prepare(readers.read(path), config) for path in (kept.file, whole))
    np.testing.assert_allclose(flux, reference, atol=1e-6)
    assert report.radial_velocity == pytest.approx(server.truth["rv"][0], abs=0.3) == other.radial_velocity
    model = np.interp(np.linspace(8800, 8835, 3501), *starlight(int(server.truth["row"][0]), server.truth["vsini"][0]))
    assert np.corrcoef(flux, model)[0, 1] > 0.97
    header = fits.getheader(found.paths[first], 1)
    assert header["SRCHASH"] == file_hash(whole) and header["SRCURL"].endswith(server.cds_path(first))
    assert sorted(path.name for path in (registry.cache_root() / "carmenes").rglob("*.fits")) == [
        f"{name}.fits" for name in sorted((first, second))
    ]


def test_files_without_identifiers_are_found_by_the_tables_of_cds(origins):
    server = origins(3, by_table=True, templates=())
    stars = server.truth["karmn"].tolist()
    found = templates.fetch_templates(stars[1:], quick(), quiet=True)
    assert list(found.paths) == stars[1:] and not server.seen(server.cds_path(stars[0], 0))
    assert [readers.read(path).star for path in found.paths.values()] == stars[1:]


@pytest.mark.slow
def test_every_origin_has_a_fallback_and_what_fails_is_listed(origins):
    server = origins(6, nights=())
    a, b, c, d, e, f = server.truth["karmn"]
    server.serve(server.cds_path(a), b"", status(404))
    server.serve(server.cds_path(b), server.template(b), *[stall(3000)] * 2)
    server.serve(server.cds_path(c), server.template(c)[:-9000])  # as long as announced, but not whole
    server.serve(server.cds_path(d), server.template(a))  # of another star
    for path in (server.cds_path(e), server.archive_path(e)):
        server.serve(path, b"<html>moved</html>")
    server.serve(server.cds_path(f), bytes(2**25 + 1))  # longer than any template
    found = templates.fetch_templates([a, b, c, d, e, f, "J23999+999"], quick(), quiet=True)
    assert sorted(found.paths) == sorted([a, b, c, d, f]) and sorted(found.missing) == sorted([e, "J23999+999"])
    assert "no origin lists it" in found.missing["J23999+999"] and "not a FITS file" in found.missing[e]
    assert all("\n" not in reason and "127.0.0.1" in reason for reason in [found.missing[e]])
    sources = {star: fits.getheader(path, 1)["SRCURL"] for star, path in found.paths.items()}
    assert {star for star, url in sources.items() if "getTac" in url} == {a, b, c, d, f}
    for star, path in found.paths.items():
        assert readers.read(path).star == star
    server.serve(server.cds_path(e), server.template(e))
    n = len(server.log)
    assert not templates.fetch_templates([a, b, e], quick(), quiet=True).missing
    assert [entry[0] for entry in server.log[n:] if entry[0].endswith("fits")] == [server.cds_path(e)]  # that alone


@pytest.mark.slow
def test_dead_lists_are_named_and_the_next_origin_is_used(origins):
    server = origins(2)
    server.serve(CDS, b"", *[status(503)] * 9)
    star = server.truth["karmn"][0]
    found = templates.fetch_templates([star, "J23999+999"], quick(), quiet=True)
    assert list(found.paths) == [star] and "answers 503" in found.missing["J23999+999"]
    server.serve(TEMPLATES, b"<html>" * 99, *[stall(50)] * 9)
    found = templates.fetch_templates([server.truth["karmn"][1]], quick(), quiet=True)
    (reason,) = found.missing.values()
    assert "answers 503" in reason and "no answer for 1 s" in reason


@pytest.mark.slow
def test_nights_are_coadded_for_stars_without_a_template(origins):
    server = origins(2, cds=[], templates=[], nights=["J00017+100"])
    star, other = server.truth["karmn"]
    asked = []
    found = templates.fetch_templates([star], quick(), quiet=True, confirm_nights=asked.append)
    assert asked == [templates.NIGHTS_BYTES] and "single nights were not confirmed" in found.missing[star]
    found = templates.fetch_templates([star, other], quick(), quiet=True)
    assert list(found.paths) == [star] and list(found.missing) == [other]
    flux, report = chain.prepare(readers.read(found.paths[star]), load_profile("paper"))
    assert report.radial_velocity == pytest.approx(server.truth["rv"][0], abs=0.3)
    model = np.interp(np.linspace(8800, 8835, 3501), *starlight(int(server.truth["row"][0]), server.truth["vsini"][0]))
    assert np.corrcoef(flux, model)[0, 1] > 0.97
    server.serve(server.archive_path(star, "DR1", "_VIS.zip"), server.nights(star)[:-3000])
    found.paths[star].unlink()
    (reason,) = templates.fetch_templates([star], quick(), quiet=True).missing.values()
    assert "is not a whole zip file" in reason and "\n" not in reason


def test_links_are_read_in_every_form_that_the_archives_write(origins):
    server = origins(1)
    page = '<a href="?C=N">N</a><a href="/x/">up</a><a href="a%2Bb.fits"/><a href="g.action?id=\tJ1+2_VIS.fits\t"/>'
    url = server.serve("/x/y/", (page + '<a href="sub/">s</a><a href="g.action?id=J3%2B4_VIS.fits#top">').encode())
    server.serve("/x/y/sub/", b'<a href="c.fits">')
    assert linked_files(url, quick(), folders=True) == {
        url + "a%2Bb.fits": "a+b.fits", url + "g.action?id=J1%2B2_VIS.fits": "J1+2_VIS.fits",
        url + "g.action?id=J3%2B4_VIS.fits": "J3+4_VIS.fits", url + "sub/c.fits": "c.fits",
    }  # fmt: skip
    server.serve("/x/y/", page.encode(), instead(b"\xff<p>no links", headers={"Content-Type": "text/html"}))
    assert linked_files(url, quick()) == {}


def test_two_channels_with_equal_names_are_told_from_their_folders(origins):
    server = origins(1)
    server.serve(CDS, b'<a href="ReadMe">r</a><a href="nir/">n</a><a href="vis/">v</a>')
    for channel in ("nir", "vis"):
        server.serve(f"{CDS}{channel}/", b'<a href="J00017%2B100.fits">f</a>')
    listed = templates._listed(templates.ORIGINS[0], quick(), [])
    assert listed == {"J00017+100": f"{server.url}{CDS}vis/J00017%2B100.fits"}


# ---------------------------------------------------------------- the whole


@pytest.mark.slow
def test_from_the_first_download_to_the_compared_catalogue(origins, tmp_path):
    server, results = origins(), tmp_path / "results"
    stars = server.truth["karmn"].tolist()
    for path in (server.cds_path(stars[2]), server.archive_path(stars[2])):
        server.serve(path, b"", *[status(404)] * 9)
    server.serve(server.node_path(NODES[0]), server.good(server.node_path(NODES[0])), cut(9000))
    command = ["reproduce", "--profile", "smoke", "--yes", "--results", str(results), "--timeout", "1", "--tries", "2"]
    command += [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith(f"6 of 6 CARMENES templates and {len(NODES)} of {len(NODES)} PHOENIX-ACES spectra")
    assert f"{len(NODES)} of {len(NODES)} PHOENIX-ACES spectra" in lines and "5 of 6 stars" in lines
    assert any(line.startswith(f"missing: {stars[2]}: ") and "404" in line for line in lines)
    found = reproduction.last_reproduction(results)
    assert lines[-1] == found["folder"] and found["missing_stars"].keys() == {stars[2]} and not found["missing_nodes"]
    assert found["resolving_power"] == 94_600 and found["official"] is False and not found["refused"]
    assert found["origins"] == {server.url.removeprefix("http://"): 5 + len(NODES)}
    _the_catalogue_is_right(found, server)
    n = len(server.log)
    again = reproduction.reproduce(profile="smoke", overrides=SMALL, root=results, offline=True, quiet=True)
    assert len(server.log) == n and again["key"] != found["key"]  # the star is missing for another reason
    assert {p: again["parameters"][p]["rmse"] for p in PARAMETERS} == {
        p: found["parameters"][p]["rmse"] for p in PARAMETERS
    }


def _the_catalogue_is_right(found, server):
    """The comparison is recalculated from the catalogue and the truths that the published one was made of."""
    table = Table.read(f"{found['folder']}/catalogue.ecsv").to_pandas().set_index("karmn")
    truth, published = server.truth.set_index("karmn"), catalogues.read_published().set_index("karmn")
    assert len(table) == 5 and set(table.index) < set(truth.index)
    for p in PARAMETERS:
        ours, theirs = table[p], published[p].loc[table.index]
        np.testing.assert_allclose(table[f"{p}_difference"], theirs - ours, atol=1e-6)
        row = found["parameters"][p]
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean((theirs - ours) ** 2)), rel=1e-5) and row["N"] == 5
        assert row["pearson_r"] == pytest.approx(np.corrcoef(ours, theirs)[0, 1], rel=1e-4)
        assert row["error_published"] == ERRORS[p]
        assert np.abs(theirs - truth[p].loc[table.index]).max() < 4 * ERRORS[p]
    numbers = pd.read_csv(f"{found['folder']}/numbers.csv").set_index(["source", "parameter", "subset", "statistic"])
    assert len(numbers) == len(NUMBERS) and numbers["N"].max() == 5
    other = catalogues.read_literature("Pass20").set_index("karmn")["teff"].loc[table.index]
    assert numbers.loc[("Pass20", "teff", "all", "mean_diff"), "ours"] == pytest.approx(
        (other - table["teff"]).mean(), rel=1e-5
    )


@pytest.mark.slow
def test_an_interrupted_fetch_continues(origins, tmp_path):
    server = origins()
    stars = server.truth["karmn"].tolist()
    half = lambda request, body: good(request, body, pace=0.4)  # noqa: E731
    path = server.cds_path(stars[0])
    server.serve(path, server.template(stars[0]), half)
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from dtl_core.literature import "
    code += "templates; from dtl_core.public_data.download import Downloader; "
    code += f"templates.fetch_templates({stars}, Downloader(), quiet=True)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    running = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not (server.seen(path) and server.seen(path)[0][2] > 100_000):
        assert time.monotonic() < end and running.poll() is None
        time.sleep(0.02)
    running.send_signal(2)
    assert running.wait(20) != 0 and list((registry.cache_root() / "carmenes" / "cds").glob("*.part"))
    assert not templates.fetch_templates(stars, quick(), quiet=True).missing
    assert server.seen(path)[-1][1] == 206  # the rest of the file alone


def test_what_is_wrong_before_anything_is_fetched_is_one_line(origins, tmp_path):
    server = origins()
    listed = tmp_path / "stars.txt"
    listed.write_text("karmn\n# none yet\n\n")
    for options, words in (
        (["--stars", "GJ 699"], "'GJ 699' is not a Karmn identifier; write it as J17578+046"),
        (["--stars", str(listed)], "names no star"),
        (["--profile", "huge"], "unknown profile"),
        (["--set", "synthetic.nothing=1"], "unknown setting"),
        (["--quiet"], "add --yes"),  # more than 500 MB, without a terminal
        (["--offline"], "no spectrum of any star is at hand"),
    ):
        done = CliRunner().invoke(main, ["reproduce", *options])
        assert done.exit_code == 2 and words in done.output and "Traceback" not in done.output, options
    assert not server.log
    listed.write_text(f"karmn,note\n{server.truth['karmn'][0]},x\n J11110+304W\nJ11110+304 \n")
    assert reproduction.stars_of([str(listed)]) == [server.truth["karmn"][0], "J11110+304"]
    done = CliRunner().invoke(main, ["reproduce", "--until", "needs", "--stars", str(listed)])
    assert done.output.startswith(
        "2 of 2 CARMENES templates and 218 of 218 PHOENIX-ACES spectra to fetch, about 1.4 GB"
    )
    with pytest.raises(ConfigError, match="unknown end"):
        reproduction.reproduce(until="transfer")


@pytest.mark.data
@pytest.mark.slow
def test_the_published_catalogue_gives_the_papers_numbers():
    published, sources = catalogues.read_published(), catalogues.read_sources()
    numbers = compare_numbers(published, sources)
    assert len(numbers) == len(NUMBERS) and numbers["equal"].sum() == 37 and numbers["comes_out"].sum() == 39
    one = {"Mar21": sources["Mar21"]}
    shifted = compare_numbers(published.assign(teff=published["teff"] + 60), one).set_index(["source", "statistic"])
    shifted = shifted[shifted["parameter"] == "teff"]
    assert not shifted.loc[("Mar21", "mean_diff"), "comes_out"] and shifted.loc[("Mar21", "pearson_r"), "comes_out"]
    assert not shifted.loc[("Pass20", "mean_diff"), "comes_out"] and shifted.loc[("Pass20", "mean_diff"), "N"] == 0


def test_expected_times_come_from_the_record():
    fast = reproduction.expected(286, 220)
    record = json.loads((registry.DATA / "records" / "benchmarks.json").read_text())["values"]["profiles"]["paper-fast"]
    assert fast["hours"] == record["values"]["wall_seconds"] / 3600 and fast["files"] == 507
    assert reproduction.expected(286, 220, "paper")["hours"] is None
