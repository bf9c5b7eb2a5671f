"""What the pages say is true of the code: commands, settings, links, messages, facts, tolerances, the model card."""

import ast
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import click
import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml

from book.maker import model_page
from dtl_core import __version__, config
from dtl_core.bridging import benchmark
from dtl_core.cli import main
from dtl_core.errors import ConfigError, DTLError
from dtl_core.estimates import outliers
from dtl_core.models import adapting, bulk, exports, filling, loading, making, prediction, specialist
from dtl_core.pipeline import conduct, records, store
from dtl_core.preparing import chain
from dtl_core.public_data import identifiers, phoenix, registry
from dtl_core.reading import sources
from dtl_core.spectra import spectrum
from dtl_core.synthetic import generation, physics
from dtl_core.synthetic.examples import write_examples

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted(BOOK.glob("*.md")), *sorted((BOOK / "howto").glob("*.md"))]
}
SOURCES = {
    path: path.read_text(encoding="utf-8")
    for path in [*sorted((ROOT / "dtl_core").rglob("*.py")), *sorted((BOOK / "maker").glob("*.py"))]
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CONFIG = config.load_profile("demo")
each_page = pytest.mark.parametrize("page", PAGES)


def blocks(text, *languages):
    """Contents of the code blocks of these languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.M | re.S)


def flat(text):
    return " ".join(text.split())


# ---------------------------------------------------------------- commands and settings


def simple_commands(line):
    """The simple commands of a line of shell, as lists of words without the settings of variables before them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, words = True, [[]]
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            words.append([])
        elif words[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            words[-1].append(word)
    return [command for command in words if command]


def dtl_commands(text):
    """(words after ``dtl``, whether they stand in a block) of every such command of a page."""
    lines = [line for block in blocks(text, "bash") for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    found = [(line, True) for line in lines] + [(line, False) for line in re.findall(r"`(dtl [^`]+)`", prose)]
    for line, whole in found:
        for words in simple_commands(line):
            if words[0].rpartition("/")[2] == "dtl":
                yield words[1:], whole
            elif words[:3] == ["python", "-m", "dtl_core"]:
                yield words[3:], whole


def parsed(words, whole=True):
    """Parameters of a command as click reads them, without running it; only named if not ``whole``."""
    command, context = main, click.Context(main, info_name="dtl")
    words = list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"no command {name}"
        command, context = command.commands[name], click.Context(command.commands[name], parent=context, info_name=name)
    if isinstance(command, click.Group) and not words:
        assert not whole, f"{context.command_path} alone does nothing"
        return {}
    try:
        return command.make_context(context.info_name, words, parent=context.parent).params
    except click.exceptions.Exit:  # --help or --version
        return {}
    except click.MissingParameter:
        assert not whole and not words, context.command_path
        return {}


@each_page
def test_every_command_is_one(page, capsys):
    for words, whole in dtl_commands(PAGES[page]):
        try:
            given = parsed(words, whole)
        except (click.ClickException, DTLError) as error:
            pytest.fail(f"dtl {' '.join(words)}: {error}")
        pairs = [pair.partition("=")[::2] for pair in given.get("settings", ())]
        config.load_profile(given.get("profile") or "demo", dict(pairs))
        assert given.get("until", "catalogue") in (*conduct.STAGES, "needs", "fetch")
        for name in given.get("names", ()):
            assert registry.select([name]), name


def test_the_test_of_commands_finds_wrong_ones():
    for wrong in ("predict a.fits --colour", "predicts a.fits", "models build", "models", "data fetch --teff cool"):
        with pytest.raises((click.ClickException, DTLError, AssertionError)):
            parsed(wrong.split())
    found = list(dtl_commands("```bash\nA=1 .venv/bin/dtl info | head  # dtl no\n```\n`dtl models`\n"))
    assert found == [(["info"], True), (["models"], False)]
    assert sum(len(list(dtl_commands(text))) for text in PAGES.values()) > 60


@each_page
def test_settings_exist_and_take_the_values_that_are_named(page):
    groups = {name for name, value in vars(CONFIG).items() if hasattr(value, "__dataclass_fields__")}
    settings = {setting.name for setting in config.settings(CONFIG)}
    for name, value in re.findall(r"`([a-z]+\.[a-z0-9_.]+)(?:=([^`]*))?`", PAGES[page]):
        if name.partition(".")[0] in groups and not name.endswith((".md", ".py")):
            assert name in settings
            if value:
                config.load_profile("demo", {name: value})


@each_page
def test_targets_of_make_and_variables_exist(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    for block in blocks(PAGES[page], "bash"):
        lines = block.replace("\\\n", " ").splitlines()
        for words in (words for line in lines for words in simple_commands(line)):
            if words[0] == "make":
                assert words[1] in targets
            if words[0] == "python" and words[1].endswith(".py"):
                assert (ROOT / words[1]).is_file()
            assert words[0] != "papermill" or (ROOT / words[1]).is_file()
    for name in set(re.findall(r"\bDTL_[A-Z_]+", PAGES[page])):
        assert any(name in source for source in SOURCES.values()), name


@each_page
def test_python_that_is_shown_compiles_and_imports_what_there_is(page):
    for block in blocks(PAGES[page], "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("dtl_core"):
                exec(compile(ast.Module([node], []), page, "exec"), {})


# ---------------------------------------------------------------- links


def labels():
    """Every label that a page, a notebook or the code of a generated page sets."""
    notebooks = "".join(path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb")).replace("\\n", "\n")
    text = "\n".join([*PAGES.values(), notebooks, *(source.replace("\\n", "\n") for source in SOURCES.values())])
    forms = (r"\(([a-z][\w-]*)\)=", r"^:(?:name|label): *([\w-]+)", r"^\$\$ \(([\w-]+)\)")
    return {"genindex", *(label for form in forms for label in re.findall(form, text, re.M))}


def in_contents():
    """Pages of the table of contents, without their endings, in order."""
    return re.findall(r"^[\s-]*(?:file|root): *(\S+)", (ROOT / "_toc.yml").read_text(), re.M)


@each_page
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(<?((?!https?:)[^)>\s]+)", PAGES[page]):
        target = Path(os.path.normpath(folder / link.partition("#")[0]))
        name = target.relative_to(BOOK).with_suffix("").as_posix() if target.is_relative_to(BOOK) else ""
        if name.startswith("generated/"):
            assert name in in_contents(), link
        else:
            assert target.exists() or (ROOT / f"{name}.ipynb").is_file(), link
    known = labels()
    for role, target in re.findall(r"\{(ref|numref|eq)\}`(?:[^`<]*<)?([\w-]+)>?`", PAGES[page]):
        assert target in known, f"{role} {target}"
    for kind, target in re.findall(r"https://github\.com/(dtl-mdwarfs/[\w.-]+)(/\S*?)?[)\s]", PAGES[page]):
        assert f"https://github.com/{kind}" == PROJECT["urls"]["Homepage"], target


def test_every_page_is_in_the_table_of_contents_once():
    listed = in_contents()
    written = [name.removeprefix("book/").removesuffix(".md") for name in PAGES if name.startswith("book/")]
    assert set(written) <= set(listed) and len(listed) == len(set(listed))
    made = [f"generated/{name.removesuffix('.md')}" for name in model_page.model_files()]
    assert set(made) <= set(listed)


# ---------------------------------------------------------------- words

# words that the glossary has replaced, and expressions with two meanings
RETIRED = "benchmark surveys?|shipped models?|models (?:of|in) the package|specialists?|strangers?|planted"
RETIRED += "|with(?:out)? transfer"


def prose():
    """Text of every page and notebook without code."""
    notebooks = {path.name: json.loads(path.read_text())["cells"] for path in (ROOT / "notebooks").glob("*.ipynb")}
    texts = {
        n: "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        for n, cells in notebooks.items()
    }
    texts |= {name: re.sub(r"^```(?:python|bash).*?^```", "", text, flags=re.M | re.S) for name, text in PAGES.items()}
    return {name: re.sub(r"`[^`\n]*`", "", text) for name, text in texts.items()}


def test_replaced_words_are_gone():
    used = {name: re.findall(rf"\b(?:{RETIRED})\b", flat(text), re.I) for name, text in prose().items()}
    assert not {name: words for name, words in used.items() if words}


def test_every_term_of_the_glossary_has_one_entry_and_every_link_to_it_a_target():
    glossaries = re.findall(r"^```\{glossary\}\n(.*?)^```", PAGES["book/glossary.md"], re.M | re.S)
    terms = [line.lower() for text in glossaries for line in re.findall(r"^(\S.*)$", text, re.M)]
    assert len(terms) > 30 and len(terms) == len(set(terms))
    linked = [
        t
        for text in [*PAGES.values(), *SOURCES.values()]
        for t in re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", text)
    ]
    assert linked and {term.lower() for term in linked} <= set(terms)


# ---------------------------------------------------------------- facts


def thousands(value):
    return f"{value:,.0f}".replace(",", " ")


def facts():
    """(page, what it must say, from the code)."""
    window, settings, synth = CONFIG.window, CONFIG.models, CONFIG.synthetic
    powers = sorted(settings.resolving_powers, reverse=True)
    lowest, seen = thousands(powers[-1]), f"{window.start:.0f}-{window.stop:.0f} Å"
    few = adapting.FEWEST
    star, own, faq = "book/howto/own_star.md", "book/howto/own_instrument.md", "book/faq.md"
    flags = 4 / specialist.STRANGE - 1  # four scores, see dtl_core.estimates.outliers
    anchors = "{teff:.0f} K in Teff, {logg} in log g and {mh} in [M/H]".format(**benchmark.ANCHOR_ERRORS)
    limit, count = CONFIG.chain.velocity_limit, {3: "three", 4: "four", 5: "five", 6: "six"}[len(powers)]
    fetched = len(phoenix.label_range()) * phoenix.SPECTRUM_BYTES + phoenix.WAVE_BYTES
    least = next(s.low for s in config.settings(CONFIG) if s.name == "window.resolving_power")
    alpha = physics.draw_physics(4000, np.random.default_rng(0))["alpha"]
    return [
        ("README.md", f"from a resolving power of {lowest} on"),
        ("README.md", f"With {few} or more spectra"),
        ("README.md", f"dtl_mdwarfs-{__version__}-py3-none-any.whl"),
        (star, f"covers {seen} at a resolving power of {lowest} or more"),
        (star, f"At {specialist.STRANGE} and below"),
        (star, f"shift all velocities by about {chain.AIR_SHIFT:.0f} km/s"),
        (star, f"below {settings.lowest_snr:.0f}: no errors are calibrated"),
        (star, f"With {few} or more spectra"),
        (star, f"differ from the archive by more than {identifiers.TOLERANCE} mag"),
        (star, f"a quality other than {' or '.join(identifiers.RELIABLE)},"),
        (own, f"each of {count} resolving powers: {', '.join(map(thousands, powers[:-1]))} and {lowest}"),
        (own, f"all {count} of them"),
        ("book/howto/own_library.md", f"trains all {count} models"),
        ("CHANGELOG.md", f"each of {count} resolving powers"),
        (own, f"down to {thousands(least)}"),
        (own, f"With {few} or more spectra"),
        (own, f"count as good to {anchors}"),
        (own, f"With fewer than {flags:.0f} spectra it cannot be as low as {specialist.STRANGE}"),
        (own, f"each of {adapting.N_TWINS} simulated surveys"),
        (own, f"with as many stars, at most {adapting.MOST_TWINS}"),
        ("book/howto/own_window.md", f"Models look at {seen}"),
        ("book/howto/own_window.md", "must cover {:.0f}-{:.0f} Å in the star's rest frame".format(*spectrum.WINDOW)),
        ("book/howto/own_window.md", f"a gap of more than {spectrum.GAP:.0f} Å"),
        ("book/howto/own_window.md", f"{window.margin:.0f} Å on either side of the window go to the continuum"),
        ("book/howto/own_library.md", f"fetches {fetched / 1e9:.1f} GB"),
        ("book/howto/own_library.md", f"files of about {phoenix.SPECTRUM_BYTES / 1e6:.0f} MB"),
        ("book/howto/own_library.md", f"between {synth.teff_min:.0f} K and {synth.teff_max:.0f} K"),
        ("book/howto/cluster.md", f"within {prediction.BATCH} files only"),
        ("book/howto/cluster.md", f"parts of {bulk.PART} spectra"),
        (faq, f"begin at {synth.teff_min:.0f} K"),
        (faq, f"up to {synth.teff_max:.0f} K, the hottest label"),
        (faq, f"From {synth.mh_min:.0f} to +{synth.mh_max} dex"),
        (faq, f"from {synth.vsini[0]} to {synth.vsini[-1]} km/s"),
        (faq, f"{lowest} and more"),
        (faq, f"from {settings.lowest_snr:.0f} to {settings.highest_snr:.0f} in a pixel"),
        (faq, f"Velocities within {limit:.0f} km/s"),
        (faq, f"The window is {seen}"),
        ("book/troubleshooting.md", f"a velocity beyond {limit:.0f} km/s"),
        ("book/troubleshooting.md", f"more than {spectrum.MOST_MASKED:.0%} of the window".replace("%", " %")),
        ("book/troubleshooting.md", f"fewer than {few} "),
        (
            "book/howto/own_star.md",
            f"`cool` below {specialist.COOLEST:.0f} K, `fast` above {specialist.FASTEST:g} km/s",
        ),
        ("book/method.md", f"is `cool` below {specialist.COOLEST:.0f} K"),
        ("book/method.md", f"v sin i is above {specialist.FASTEST:g} km/s"),
        ("book/method.md", f"the estimate is repeated ({('', 'once', 'twice', 'three times')[filling.ROUNDS]})"),
        (faq, f"[α/M] was drawn at random in training, between {alpha.min():.1f} and {alpha.max():.2f}"),
    ]


def test_facts_are_those_of_the_code():
    pages = PAGES | {"CHANGELOG.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")}
    wrong = [(page, text) for page, text in facts() if text not in flat(pages[page])]
    assert not wrong
    assert len(making.TEST_SNR) == len(specialist.SNR_EDGES) + 1 == 3  # "in three classes"
    assert store.Store.sweep.__defaults__ == (86_400.0,)  # "more than a day ago"


def test_the_limits_of_the_window_are_those_that_are_written():
    text = flat(PAGES["book/howto/own_window.md"])
    low, high = map(float, re.search(r"must lie within (\d+)-(\d+) Å", text).groups())
    config.load_profile("demo", {"window.start": low, "window.stop": high})
    for beyond in ({"window.start": low - 0.01}, {"window.stop": high + 0.01}):
        with pytest.raises(ConfigError, match="outside the embedded library"):
            config.load_profile("demo", beyond)
    first, last = map(float, re.search(r"computed from (\d+) to (\d+) Å in air", text).groups())
    for name in ("grid_a", "survey_b"):
        with np.load(ROOT / "dtl_core" / "data" / "lte" / f"{name}.npz") as stored:
            assert stored["wave_air"][[0, -1]] == pytest.approx([first, last])


def test_the_columns_that_are_explained_are_those_of_the_catalogue():
    part = PAGES["book/howto/own_star.md"].split("## What the columns mean")[1].split("## What `p_domain`")[0]
    explained = [name for row in re.findall(r"^\| (`.*?) \|", part, re.M) for name in re.findall(r"`([^`]+)`", row)]
    values = dict.fromkeys(("snr", "radial_velocity", "e_velocity"), 1.0) | {"star": "", "instrument": "", "file": ""}
    found = {"median": np.ones(4), "low": np.ones((4, 4)), "high": np.ones((4, 4)), "p": 1.0, "resolving_power": 1.0}
    one = SimpleNamespace(
        report=SimpleNamespace(**values), **found, strange="", flag="", method="", warnings=(), photometry=None
    )
    assert explained == prediction.as_table([one], [], SimpleNamespace(specialists=[], name="")).colnames


def test_the_scores_that_are_explained_are_those_of_the_detector():
    part = PAGES["book/howto/own_star.md"].split("## What `p_domain`")[1].split("\n## ")[0]
    assert ("strange", *outliers.SCORES) == tuple(re.findall(r"^\| `(\w+)` \|", part, re.M))


def test_formats_and_layouts_are_those_that_are_read_and_written():
    text = flat(PAGES["book/howto/own_star.md"])
    (named,) = re.findall(r"chooses its format: (.*?)\. ", text)
    assert sorted(re.findall(r"`(\.\w+)`", named)) == sorted(exports.FORMATS)
    for suffix in re.findall(r"`(\.\w+)`", PAGES["book/running.md"].split("| tables |")[1].split("\n")[0]):
        assert suffix in sources.SUFFIXES


def test_the_gpu_page_says_whether_a_gpu_was_measured():
    measured = [name for name in records.read("benchmarks")["values"] if name.endswith("(GPU)")]
    assert bool(measured) != ("No run on a GPU has been measured yet" in PAGES["book/howto/gpu.md"])


@pytest.mark.slow
def test_predicting_takes_no_more_memory_than_is_said(tmp_path):
    write_examples(tmp_path)
    (limit,) = re.findall(r"`dtl predict` stays below ([\d.]+) GB", flat(PAGES["book/faq.md"]))
    command = [sys.executable, "-m", "dtl_core", "predict", str(tmp_path), "--quiet"]
    # started by a small process: what starts another lends it its own size, and that of these tests is large
    code = "import os, subprocess, sys; process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
    code += "_, status, used = os.wait4(process.pid, 0); print(os.waitstatus_to_exitcode(status), used.ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    status, kilobytes = map(int, done.stdout.split())
    assert status == 0 and 1e8 < kilobytes * 1024 < float(limit) * 1e9


def test_a_library_written_as_shown_comes_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    teff, logg, mh = np.array([3000.0, 3500.0]), np.array([4.5, 5.0, 5.5]), np.array([-0.5, 0.5])
    wave_air, cont_wave = np.arange(8788, 8848.01, 0.02), np.arange(8788.0, 8849, 10)
    flux = 1 - 0.5 * rng.random((2, 3, 2, len(wave_air)))
    level = np.linspace(2.0, 3.0, 12 * len(cont_wave)).reshape(2, 3, 2, -1)
    writing, reading, training = blocks(PAGES["book/howto/own_library.md"], "python")
    names = {"teff": teff, "logg": logg, "mh": mh, "wave_air": wave_air, "flux": flux, "cont_wave": cont_wave}
    names["level"] = level
    exec(writing, names)
    exec(reading, names)
    library = names["library"]
    np.testing.assert_allclose(library.norm, flux.reshape(12, -1), rtol=0, atol=1.01e-5)
    np.testing.assert_array_equal(library.label[[0, -1]], [[3000, 4.5, -0.5], [3500, 5.5, 0.5]])
    np.testing.assert_allclose(library.flux.mean(1), 1)
    assert library.meta["code"].startswith("who") and len(generation.expand(library, [[3200, 4.8, 0.0]])[0]) == 3001
    unchecked = {}
    exec(training.split("specialist =")[0], unchecked)
    assert unchecked["config"].synthetic.library == "mine"
    with pytest.raises(ConfigError):
        config.load_profile("demo", {"synthetic.library": "mine"})


# ---------------------------------------------------------------- messages


def strings(source):
    """Every string of a module; what an f-string fills in becomes a NUL."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_messages_that_are_explained_are_still_given():
    text, known = PAGES["book/troubleshooting.md"], [s for source in SOURCES.values() for s in strings(source)]
    tables = re.findall(r"^\| the line says.*\n\|.*\n((?:\|.*\n)+)", text, re.M)
    stems = [m for rows in tables for row in rows.splitlines() for m in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    assert len(stems) > 55
    for stem in stems:
        for piece in re.split(r"…|; ", stem):
            assert not piece.strip() or any(piece.strip() in one for one in known), f"{stem}: {piece}"


# ---------------------------------------------------------------- precision and the model card


def file_of_tests(name):
    (path,) = (ROOT / "tests").rglob(f"test_{name}.py")
    return path


def functions(name):
    tree = ast.parse(file_of_tests(name).read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.slow
@pytest.mark.parametrize("row", model_page.CONTRACT, ids=lambda row: row[0].replace(" ", "-"))
def test_tolerances_are_those_that_the_tests_hold(row):
    _, tolerance, oracle, file, test = row
    node = functions(file)[f"test_{test}"]
    asserted = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and type(n.value) in (int, float)}
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    bare = [n for n in calls if getattr(n.func, "attr", "") in ("assert_allclose", "assert_close") and not n.keywords]
    asserted |= {1e-7} if bare else set()  # what NumPy and PyTorch take by default
    stated = re.findall(r"\b\d+(?:\.\d+)?(?:e-\d+)?", tolerance.split(" of a pixel")[0])
    assert stated and set(map(float, stated)) <= asserted
    word = next((w for w in ("PyAstronomy", "specutils", "KDEpy", "MAPIE", "GISIC") if w in oracle), None)
    source = file_of_tests(file).read_text().lower()
    assert word is None or word.lower() in source


def card(teff, library="grid_a", figures=("20-40", "100-400", "40-100")):
    """A card with figures of their own for every range of S/N."""
    found = {
        snr: {"n_stars": 1440, "false_flags": 0.021}
        | {p: {"rmse": teff + k, "bias": -0.5 * k, "inside_68": 0.68, "inside_90": 0.9} for p in config.PARAMETERS}
        for k, snr in enumerate(figures)
    }
    return {
        "library": library,
        "library_sha256": "0123456789abcdef" * 4,
        "labels": {name: [1.5, 30.0] for name in config.PARAMETERS},
        "members": 4,
        "training": {
            "n_spectra": 6000,
            "epochs": 20,
            "emulator_epochs": 100,
            "noise": 0.04,
            "reference_stars": 600,
            "seed": 3,
        },  # fmt: skip
        "made": "2026-01-02",
        "version": "0.1.0",
        "machine": {"gpu": None, "processor": "A|B"},
        "figures": found,
    }


def test_the_card_shows_the_figures_of_every_specialist_the_best_first():
    pair = [SimpleNamespace(resolving_power=r, card=card(t)) for r, t in ((94_600.0, 70.0), (53_000.0, 90.0))]
    page = model_page.models_page(pair)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    errors = [row for row in rows if len(row) == 6 and row[1].endswith(("00", "40"))]
    assert [row[:3] for row in errors[:3]] == [
        ["94\xa0600", "100–400", "71 (−0)"], ["94\xa0600", "40–100", "72 (−1)"], ["94\xa0600", "20–40", "70 (−0)"],
    ]  # fmt: skip
    assert len(errors) == 6 and errors[3][2] == "91 (−0)" and "from 51\xa0940 to 92\xa0708" in page
    assert "`0123456789ab`" in page and "A\\|B" in page and "68, 90" in page and "2.1" in page
    assert "tab-model-gravity" not in page  # these cards do not compare log g
    pair[0].card["figures"]["20-40"] |= {"relation": 0.123, "survey_relation": 66.0}
    assert "| 20–40 | 70.000 | 0.123 | 66.000 |" in model_page.models_page(pair)
    assert "tab-model-kinds" not in page  # and have no figures for single kinds of gap
    own = pair[1].card["figures"]["20-40"]
    pair[1].card["kinds"] = {"spots": own, "nlte": own | {"mh": own["mh"] | {"inside_68": 0.3}}}
    page = model_page.models_page(pair)
    assert "| 53\xa0000 | spots | 90 (−0), 68 |" in page and "Silent failures" in page
    assert "flagged as unusual: 1 of 8: \\[M/H\\] of nlte at R = 53\xa0000." in page
    del pair[1].card["kinds"]["nlte"]
    assert "flagged as unusual: none of 4." in model_page.models_page(pair)
    precise = model_page.precision_page(pair)
    assert "| Teff \\[K\\] | 71–91 | 72–92 | 70–90 |" in precise and "KDEpy" in precise
    assert all(f"`test_{row[-1]}`" in precise for row in model_page.CONTRACT)


def test_pages_without_models_say_so_and_models_without_figures_do_not_break_them():
    assert model_page.models_page([]).count("brings no trained models") == 3
    page, ensemble = model_page.models_page([]), records.read("paper_ensemble")["values"]
    assert f"{ensemble['autoencoders']} autoencoders with {ensemble['regressors']} regressors" in page
    assert f"| 100–400 | {ensemble['figures']['100-400']['teff']['rmse']:.0f} (" in page
    assert "brings no trained models" in model_page.precision_page([])
    adapted = {key: value for key, value in card(70.0).items() if key not in ("training", "figures")}
    assert "grid\\_a" not in model_page.models_page([SimpleNamespace(resolving_power=53_000.0, card=adapted)])


def test_the_pages_are_those_of_the_shipped_models():
    files = model_page.model_files()
    for one in loading.load().specialists:
        best = one.card["figures"]["100-400"]
        assert f"{best['teff']['rmse']:.0f} (" in files["models.md"]
        assert registry.get(f"models/R{one.resolving_power:06.0f}.safetensors").sha256[:12] in files["models.md"]
        assert f"| 100–400 | {one.gravity_errors()['logg']['rmse']:.3f} |" in files["models.md"]
    assert all(text.startswith("(") and "\n# " in text for text in files.values())


# ---------------------------------------------------------------- README, citation


def test_the_figure_of_the_readme_is_small_described_and_of_today():
    from tools.readme_figure import TARGET, draw

    (figure,) = re.findall(r"!\[([^\]]*)\]\((book/_static/[^)]+)\)", PAGES["README.md"])
    alt, path = figure
    assert ROOT / path == TARGET and TARGET.stat().st_size < 300_000
    assert len(alt) >= 40 and alt.endswith(".") and not re.search(r"\d|: ", alt)
    now, then = plt.imread(io.BytesIO(draw())), plt.imread(TARGET)
    assert now.shape == then.shape and np.abs(now - then).mean() < 0.02, "python tools/readme_figure.py"


def test_badges_are_true():
    text = PAGES["README.md"]
    badges = re.findall(r"^\[!\[([^\]]*)\]\(([^)]+)\)\]\(([^)]+)\)$", text, re.M)
    assert [name for name, *_ in badges] == ["ci", "Binder", "Colab", "Licence: MIT", "Python 3.11 or newer"]
    assert (ROOT / ".github" / "workflows" / "ci.yml").is_file() and "workflows/ci.yml" in badges[0][1]
    for _, _, link in badges[1:3]:
        assert (ROOT / "notebooks" / f"{link.rpartition('notebooks/')[2]}").is_file(), link
    assert PROJECT["license"] == "MIT" and PROJECT["requires-python"] == ">=3.11"
    assert "not published there" in flat(text) and "pypi.org" not in text


def test_zenodo_citation_and_project_agree():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    assert zenodo["title"] == CITATION["title"] and zenodo["license"] == CITATION["license"] == PROJECT["license"]
    authors = [author["name"] for author in CITATION["authors"]]
    assert [creator["name"] for creator in zenodo["creators"]] == authors == [a["name"] for a in PROJECT["authors"]]
    assert set(zenodo["keywords"]) == set(CITATION["keywords"]) | set(PROJECT["keywords"])
    (paper,) = CITATION["references"]
    known = {paper["doi"], *(one["value"] for one in paper["identifiers"])}
    assert {one["identifier"] for one in zenodo["related_identifiers"]} == known
    assert PROJECT["urls"]["Paper"].endswith(paper["doi"]) and PROJECT["description"] in zenodo["description"]
    window, lowest = CONFIG.window, thousands(min(CONFIG.models.resolving_powers))
    assert f"{window.start:.0f}-{window.stop:.0f} Å at a resolving power of {lowest}" in zenodo["description"]
