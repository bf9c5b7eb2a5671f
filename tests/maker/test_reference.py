"""The book's reference: everything public is there, as the code says it, and no docstring breaks a page."""

import ast
import dataclasses
import importlib
import inspect
import os
import pkgutil
import re
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rendering import cells, rendered

import dtl_core
from book.maker import builder, docstrings, pages, reference
from dtl_core import files as files_module
from dtl_core.cli import main
from dtl_core.config import PROFILES, Config, load_profile

pytestmark = pytest.mark.uses_smoke

ROOT = Path(__file__).resolve().parents[2]
NAMES = [found.name for found in pkgutil.iter_modules(dtl_core.__path__) if not found.name.startswith("_")]
OBJECT = re.compile(r"^~{3,}\{py:(\w+)\} (\w+)(.*)$", re.M)


@pytest.fixture(scope="module")
def files():
    return reference.reference_files()


@pytest.fixture(scope="module")
def modules():
    return docstrings.read_modules()


def public(name):
    return importlib.import_module(f"dtl_core.{name}").__all__


# ---------------------------------------------------------------- modules


@pytest.mark.parametrize("name", NAMES)
def test_all_that_a_module_makes_public_is_on_its_page(files, modules, name):
    assert sorted(modules[name].public) == sorted(public(name))
    page = files[f"reference/{name}.md"]
    listed = re.findall(r"^- \{py:obj\}`(\w+)(?:\(\))? <dtl_core\.\w+\.\w+>`$", page.partition("**From other")[2], re.M)
    own = [found for kind, found, _ in OBJECT.findall(page) if kind in ("function", "class", "data")]
    assert sorted(own + listed) == sorted(public(name))


def test_no_two_pages_describe_one_object_and_links_have_a_target(files):
    described = []
    for name, page in files.items():
        owner, module = "", Path(name).stem
        for kind, found, _ in OBJECT.findall(page):
            owner = f"{found}." if kind == "class" else owner
            inside = kind in ("method", "classmethod", "staticmethod", "property")
            described.append(f"dtl_core.{module}.{owner if inside else ''}{found}")
    assert len(described) == len(set(described)) > 400
    linked = {target for page in files.values() for target in re.findall(r"\{py:obj\}`[^`<]+ <([\w.]+)>`", page)}
    assert len(linked) > 60 and linked <= set(described)
    assert {
        "dtl_core.config.load_profile",
        "dtl_core.pipeline.store.Store.stage",
        "dtl_core.errors.DataError",
    } <= linked
    led = {found for page in files.values() for found in re.findall(r"\{py:mod\}`dtl_core\.(\w+)`", page)}
    assert led and led <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_public_has_a_docstring_whose_first_sentence_is_on_the_page(files, name):
    module = importlib.import_module(f"dtl_core.{name}")
    for public_name in module.__all__:
        found = getattr(module, public_name)
        if not (inspect.isclass(found) or callable(found)) or found.__module__ != module.__name__:
            continue
        text = inspect.getdoc(found) if not isinstance(found, click.Command) else found.help
        assert text and not text.startswith(f"{public_name}("), f"{name}.{public_name} has no docstring"
        first = " ".join(re.split(r"\n\s*\n|(?<=[.:])\s", text)[0].split())
        assert len(first) > 8 and re.search(r"[.:]$", first), (public_name, first)
        words = re.findall(r"\w+", re.sub(r":(?!mod|math)\w+:`~?[\w.]*?(\w+)`|:(?:mod|math):", r"\1", first))
        shown = re.sub(r" <dtl_core[\w.]+>|\{[\w:]+\}|\\", "", files[f"reference/{name}.md"])
        assert re.search(r"\W+".join(words), shown), (public_name, first)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_docstrings_lead_somewhere(modules, name):
    """Functions, classes and modules that a docstring names are public ones of the package."""
    module, missing = modules[name], []
    places = [(None, module.doc)]
    for found in module.public:
        node = module.nodes.get(found)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inner = docstrings.methods(node).values() if isinstance(node, ast.ClassDef) else ()
            places += [(node, ast.get_docstring(n) or "") for n in (node, *inner)]
    for owner, text in places:
        link = docstrings.links(modules, module, owner if isinstance(owner, ast.ClassDef) else None)
        roles = re.findall(r":(?:func|class|meth|mod):`([^`]+)`", text)
        missing += [role for role in roles if not link(role)]
    assert not missing


def test_the_overview_names_every_module_once(files, modules):
    links = re.findall(r"^\| \[(\S+)\]\(reference/(\w+)\.md\) \| (\S.*) \|$", files["reference.md"], re.M)
    assert sorted(found for _, found, _ in links) == sorted(NAMES)
    assert all(shown.replace("\\", "") == found for shown, found, _ in links)
    order = [found for _, found, _ in links]
    assert order.index("spectra") < order.index("autoencoder") < order.index("transfer") < order.index("cli")
    assert {f"reference/{name}.md" for name in NAMES} == {name for name in files if "/" in name}


def test_a_new_module_has_its_page_by_itself(modules):
    new = '"""What is new.\n\nMore."""\n__all__ = ["thing"]\n\n\ndef thing(a: int, *, b="x"):\n    """Do it."""\n'
    more = docstrings.read_modules({"spectra": "__all__ = []", "newcomer": new, "private": "x = 1"})
    assert set(more) == {"spectra", "newcomer"}
    overview = reference._overview(more)
    assert "| [newcomer](reference/newcomer.md) | What is new. |" in overview.partition("\n## Other\n")[2]
    assert "## Other" not in reference._overview({"spectra": more["spectra"]})
    page = reference.module_page(more, more["newcomer"])
    assert "~~~{py:function} thing(a, *, b='x')\n\nDo it.\n~~~" in page and "More." in page


def test_classes_show_fields_and_methods_with_what_bases_say_of_them():
    source = '''
"""Module."""
__all__ = ["A", "B", "LONG", "ONE", "TWO", "other"]
from .other import other
ONE, TWO = 1, (2, 3)
# how long it is
LONG = {"key": "%s"}


@dataclass
class A(_Base):
    """A class. See :meth:`run`."""
    x: float = 1.5  # km/s
    y: dict | None = field(default_factory=dict)
    # above
    z: int = 0

    def run(self, a, b=2):
        """Run it."""

    @property
    def half(self):
        """Half of it, :func:`other`."""

    @staticmethod
    def make(a):
        """Make ``A``."""

    def _hidden(self):
        """Nobody sees."""


class B(A):
    """Another."""

    def __init__(self, x, *rest, **options):
        pass

    def run(self, a):
        return a
''' % ("long " * 80)  # fmt: skip
    other = '"""Other."""\n__all__ = ["other"]\ndef other():\n    """Other."""\n'
    found = docstrings.read_modules({"m": source, "other": other})
    page = reference.module_page(found, found["m"])
    rows = [[cell.strip() for cell in row] for row in cells(page)]
    assert ["`x`", "`float = 1.5`", "km/s"] in rows
    assert ["`y`", "`dict or None = dict()`", ""] in rows and ["`z`", "`int = 0`", "above"] in rows
    assert OBJECT.findall(page)[1:] == [
        ("class", "A", ""), ("method", "run", "(a, b=2)"), ("property", "half", ""), ("staticmethod", "make", "(a)"),
        ("class", "B", "(x, *rest, **options)"), ("method", "run", "(a)"),
        ("data", "LONG", ""), ("data", "ONE", ""), ("data", "TWO", ""),
    ]  # fmt: skip
    assert page.count("Run it.") == 2, "a method without docstring has that of its base"
    assert "See {py:obj}`run() <dtl_core.m.A.run>`." in page and "Base: {py:obj}`A <dtl_core.m.A>`." in page
    assert "Value: `(2, 3)`" in page and "Keys: `key`\n\nhow long it is" in page
    assert "Nobody" not in page and "_Base" not in page
    assert page.endswith("**From other modules**\n\n- {py:obj}`other() <dtl_core.other.other>`\n")


# ---------------------------------------------------------------- docstrings


def test_sections_entries_formulae_and_lists():
    text = r"""One sentence about :math:`a | b`, see https://doi.org/10.1/x and dtl_core.spectra.operators.

    .. math:: x_i = \frac{1}{2}

    Arguments
    ---------
    flux : (n_pixels,), continuum = 1;  n, m : int
    name : str
        It is *long*: use ``--set`` or --yes.

        More of it.

    Errors
    ------
    DataError : never
        at all

    - one
      thing
    - two

    Returns: Path. Source: nobody (2000).

        a = f(1)
    """
    links = {"DataError": "LINK"}.get
    shown = docstrings.blocks(inspect.cleandoc(text), links)
    assert "about {math}`a \\vert  b`, see <https://doi.org/10.1/x> and `dtl_core.spectra.operators`." in shown
    assert "~~~{math}\n\nx_i = \\frac{1}{2}\n" in shown
    assert "**Arguments**\n\n`flux`\n: \\(n\\_pixels,), continuum = 1\n\n`n, m`\n: int\n\n`name`\n: str. It is" in shown
    assert "*long*: use `--set` or `--yes`.\n\n  More of it.\n" in shown
    assert "**Errors**\n\nLINK\n: never at all\n" in shown
    assert "- one thing\n- two\n" in shown
    assert "**Returns:** Path.\n\n**Source:** nobody (2000).\n" in shown
    assert shown.endswith("~~~python\na = f(1)\n~~~\n")


HOSTILE = (
    "<script>alert(1)</script>", "# heading", "```{include} /etc/passwd", "~~~{eval-rst}", ":::{note}", "(target)=",
    "% comment", "+++", "---", "===", "1. one", "- x", "* y", "> quote", "| a | b |", "|---|---|", "{ref}`nowhere`",
    "{py:func}`nowhere`", ":func:`nowhere`", ":ref:`nowhere`", "`unclosed", "``unclosed", "**bold", "*stress*",
    "[a](b)", "[^1]: note", "![a](x.png)", "$x$", "$$y", r"\begin{equation}", "x_", "|sub|", "__init__",
    ".. include:: /etc/passwd",
    ".. math::", "  indented", "name : type", "    code : x", "\b", "Arguments", "---------", ": def", "&amp;", "a\\",
    ":math:`<b>|`", "<https://x.invalid>", "https://x.invalid/(", "@x", "---\ntitle: x\n---", "~~~~", "``<b>|``", "\t",
)  # fmt: skip
INLINE = {"p", "code", "em", "strong", "a"}
BLOCKS = INLINE | {"pre", "ul", "li", "dl", "dt", "dd"}


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.just(""), st.text(max_size=12)), max_size=9))
def test_no_docstring_breaks_a_page(lines):
    text = "\n".join(lines)
    page = docstrings.blocks(text)
    fenced = re.sub(r"^(~{3,})(?:\{math\}|text|python)\n(?:.*\n)*?\1$", "", page, flags=re.M)
    tags, _ = rendered(fenced)
    assert tags <= BLOCKS, (page, tags)
    bare = re.sub(r"`[^`]*`", "", re.sub(r"\\.", "", fenced))
    assert not re.search(r"\{(?!math\})", bare), "no role or directive but math"
    row = docstrings.inline(text)
    assert "\n" not in row and not re.search(r"(?<!\\)\|", row), "a cell of a table stays one"
    wrapped = reference._object("function", "f()", page)
    assert len(re.findall(rf"^{re.match('~+', wrapped)[0]}$", wrapped, re.M)) == 1, "ends where it should"


def test_hostile_docstrings_build_and_are_shown_as_they_are(tmp_path):
    """Sphinx itself, with every warning an error, on a module that is as bad as can be."""
    body = "\n\n".join(line.replace("\b", "") for line in HOSTILE)
    names = "\n".join(f"def f{k}(a='{{`~<b>', *, b={line!r}):\n    {line!r}\n" for k, line in enumerate(HOSTILE))
    public = [*(f"f{k}" for k in range(len(HOSTILE))), "C", "VALUE"]
    source = f"{body!r}\n__all__ = {public}\nVALUE = {body[:200]!r}  # <b>|`{{ref}}`x`\n{names}\n"
    source += f"class C(A | B):\n    {body!r}\n    x: dict = {body[:99]!r}  # | <script>\n"
    source += f"    def f(self):\n        {body!r}\n"
    modules = docstrings.read_modules({"bad": source})
    root = tmp_path / "clone"
    (root / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: generated/reference\nchapters:\n  - glob: generated/reference/*\n"
    )
    files_module.write_atomic(root / "book/generated/reference/bad.md", reference.module_page(modules, modules["bad"]))
    overview = re.sub(r"^The \[command line.*\n", "", reference._overview(modules), flags=re.M)
    files_module.write_atomic(root / "book/generated/reference.md", overview)
    notebook = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    for name in ("notebooks/01_x.ipynb", "book/notebooks/01_x.ipynb"):
        files_module.write_atomic(root / name, notebook)
    html = builder.build(root).parent / "generated" / "reference" / "bad.html"
    page = html.read_text()
    article = page[page.index("<section") : page.rindex("</section>")]
    assert not re.search(r"<(script|b|img|form|iframe|hr)\b", article) and "passwd&quot;" not in page
    assert article.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert all(f'id="dtl_core.bad.{name}"' in article for name in [*public, "C.f"])
    assert "root:" not in article and len(re.findall(r"<h\d", article)) == 1


# ---------------------------------------------------------------- command line


def commands(command=main, path=("dtl",)):
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*path, name))


def test_every_command_and_option_is_on_the_page(files):
    page = files["command_line.md"]
    sections = dict(re.findall(r"^## (dtl.*)\n((?:(?!^## ).*\n?)*)", page, re.M))
    assert list(sections) == [" ".join(path) for path, _ in commands()] and len(sections) >= 10
    for path, command in commands():
        section = sections[" ".join(path)]
        text = CliRunner().invoke(main, [*path[1:], "--help"], terminal_width=300, prog_name="dtl").output
        assert f"~~~text\n{text.splitlines()[0].removeprefix('Usage: ')}\n~~~" in section
        names, _, options = text.partition("Options:\n")
        told = re.findall(r"^  (-\S.*?)(?:  |$)", options.partition("Commands:")[0], re.M)
        rows = {row[0].strip(): row[1].strip() for row in cells(section)}
        assert told and {name.strip() for name in told} <= {key.strip("`").replace("\\", "") for key in rows}
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                (shown,) = (what for key, what in rows.items() if parameter.opts[-1] in re.findall(r"--?[\w-]+", key))
                words = re.findall(r"\w+", parameter.help or "")
                assert words == re.findall(r"\w+", shown.replace("\\", ""))[: len(words)]
                if parameter.show_default:
                    assert f"default: {parameter.default}" in shown
        for name in getattr(command, "commands", {}):
            target = "-".join([*path, name])
            assert f"{{ref}}`{name} <{target}>`" in section and page.count(f"\n({target})=\n") == 1


def test_help_of_a_hostile_command_does_no_harm():
    @click.command(help="<script>x</script>\n\n\b\nExamples:\n  a | b  # ~~~\n\n# no heading")
    @click.option("--x", default="|", show_default=True, help="a | b <b>")
    def bad(x):
        pass

    page = reference.command_page(bad)
    text = page[page.index("## ") :]
    tags, _ = rendered(re.sub(r"^~~~(text|\{table\}\n:class: names\n)$|^~~~$", "", text, flags=re.M))
    assert not tags & {"script", "b", "h1"} and text.count("## ") == 1
    assert {len(row) for row in cells(text)} == {2}
    assert "**Examples:**\n\n~~~text\na | b  # ~~~\n~~~" in text.replace("  a | b", "a | b")


# ---------------------------------------------------------------- settings


def flat(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_every_setting_is_on_the_page_and_the_profiles_follow_from_it():
    rows = {}
    for row in cells(reference.settings_page()):
        if found := re.match(r" `([\w.]+)`<br>(.*) $", row[0]):
            assert found[1] not in rows
            rows[found[1]] = (found[2], row[1].strip().split("<br>"), row[2].strip())
    assert list(rows) == [name for name, _ in flat(dataclasses.asdict(Config()))]
    given = {profile: {} for profile in PROFILES}
    for name, (_, shown, _) in rows.items():
        first, *others = [re.fullmatch(r"(?:(.*): )?(?:`(.*)`|\(none\))", text).groups("") for text in shown]
        assert first[0] == ""
        for profile in PROFILES:
            (value, *_) = [value for who, value in others if profile in who.split(", ")] or [first[1]]
            given[profile][name] = value
    for profile, overrides in given.items():
        overrides["profile"] = profile
        assert load_profile("paper", overrides) == load_profile(profile), profile
    assert sum(len(shown) > 1 for _, shown, _ in rows.values()) >= 25
    assert rows["window.resolving_power"] == (
        "float",
        ["`94600.0`"],
        "Wavelength over FWHM; the default is CARMENES VIS.<br>From 5000 to 300000.",
    )
    assert rows["window.margin"][2].endswith("<br>From 1 to 6 A.") and rows["window.stop"][2].endswith("<br>In A.")
    assert rows["autoencoder.widths"][0] == "list of int"
    assert all(what for _, _, what in rows.values())
    assert rows["chain.tellurics"][2].endswith("One of `keep`, `mask`.")


# ---------------------------------------------------------------- all pages


def test_the_same_code_gives_the_same_pages_wherever_it_lies(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "40")
    assert reference.reference_files() == files
    places = [str(ROOT), str(Path.home()), os.environ["DTL_CACHE"], str(tmp_path), "site-packages", " at 0x"]
    for name, page in files.items():
        assert not [place for place in places if place in page], name
        assert page.startswith("# ") and page.endswith("\n")


def test_the_page_of_a_module_that_is_no_more_goes(tmp_path, monkeypatch):
    root = tmp_path / "clone"
    (root / "notebooks").mkdir(parents=True)
    (root / "_config.yml").write_text("")
    for name in ("reference/gone.md", "reference/kept.md", "registry.md"):
        files_module.write_atomic(root / "book" / "generated" / name, "# Old\n")

    class Run:
        def document(self, name, settings, inputs, compute):
            compute(tmp_path / "stored")
            return tmp_path / "stored"

    monkeypatch.setattr(pages, "_files", lambda run: {"reference/kept.md": "# New\n", "reference.md": "# New\n"})
    pages.write(Run(), root)
    left = {p.relative_to(root / "book/generated").as_posix(): p.read_text() for p in root.rglob("*.md")}
    assert left == {"reference/kept.md": "# New\n", "reference.md": "# New\n", "registry.md": "# Old\n"}


def test_the_reference_is_in_the_built_book(built):
    folder = built / "generated"
    pages_ = {path: path.read_text() for path in [*folder.glob("reference/*.html"), folder / "reference.html",
                                                  folder / "command_line.html", folder / "settings.html"]}  # fmt: skip
    assert {path.stem for path in pages_ if path.parent.name == "reference"} == set(NAMES)
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages_.items()}
    for path, text in pages_.items():
        article = text[text.index("<article") : text.index("</article>")]
        assert "system-message" not in article and "{py:" not in article and "~~~" not in article
        for page, anchor in re.findall(r'href="([^"#:]*)#([^"]+)"', article):
            target = (path.parent / page).resolve() if page else path
            assert target not in anchors or anchor in anchors[target], (path.name, page, anchor)
    spectra = pages_[folder / "reference" / "spectra.html"]
    assert (
        'id="dtl_core.spectra.operators.air_to_vacuum"' in spectra
        and 'href="#dtl_core.spectra.operators.vacuum_to_air"' in spectra
    )
    assert 'href="errors.html#dtl_core.errors.DataError"' in spectra
    assert "genindex.html" in pages_[folder / "reference.html"]
