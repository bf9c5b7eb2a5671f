"""The book's reference: everything public is described, every command and setting is on its page, no link is dead."""

import dataclasses
import html
import importlib
import inspect
import os
import pkgutil
import re
from pathlib import Path

import click
import docutils.core
import pytest
from click.testing import CliRunner
from rendering import cells

import dtl_core
from book.maker.settings_page import settings_page
from dtl_core.cli import main
from dtl_core.config import PROFILES, Config, load_profile

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    found.name
    for found in pkgutil.walk_packages(dtl_core.__path__, "dtl_core.")
    if not re.search(r"\._|\.cli\b", found.name)  # commands have a page of their own
]
MODULES = [importlib.import_module(name) for name in NAMES]
each_module = pytest.mark.parametrize("module", MODULES, ids=NAMES)


def public(module):
    """(name, object) of all classes and functions that a module defines and makes public, methods included."""
    for name in getattr(module, "__all__", ()):
        found = getattr(module, name)
        if getattr(found, "__module__", None) == module.__name__ and callable(found):
            yield name, found
            if inspect.isclass(found):
                for inner, method in vars(found).items():
                    if not inner.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
                        yield f"{name}.{inner}", method


# Short names that Sphinx finds in whichever module they are.
EVERYTHING = {name for module in MODULES for name, _ in public(module)}


def docstrings(module):
    yield module.__name__, module.__doc__ or ""
    for name, found in public(module):
        yield name, inspect.cleandoc(found.__doc__ or "")


# ---------------------------------------------------------------- docstrings


@each_module
def test_every_public_function_and_class_has_a_docstring_with_a_summary(module):
    assert len((module.__doc__ or "").split()) > 2
    for name, found in public(module):
        text = inspect.cleandoc(found.__doc__ or "")
        if text or "." not in name:  # methods that implement an interface need none
            assert text and not text.startswith(f"{name}("), f"{name} has no docstring"
            summary = re.split(r"\n\s*\n|(?<=[.:])\s", text)[0]
            assert len(summary) > 6 and re.search(r"[.:]$", summary), (name, summary)


@pytest.mark.slow
@each_module
def test_docstrings_are_valid_restructuredtext(module):
    from sphinx.ext.napoleon import Config as NapoleonConfig
    from sphinx.ext.napoleon import NumpyDocstring

    options = NapoleonConfig(napoleon_use_ivar=True)
    wrong = []
    for name, text in docstrings(module):
        plain = re.sub(r":[a-z:]+:`([^`]*)`", r"``\1``", str(NumpyDocstring(text, options)))
        plain = plain.replace(".. seealso::", ".. note::")  # roles and directives of Sphinx
        tree = docutils.core.publish_doctree(plain, settings_overrides={"report_level": 5})
        wrong += [(name, message.astext()) for message in tree.parse_messages]
        wrong += [(name, node.astext()) for node in tree.findall(docutils.nodes.system_message)]
    assert not wrong


@each_module
def test_names_in_docstrings_lead_somewhere(module):
    """What a docstring names is there, by its full name, as seen in its module, or public in another."""
    missing = []
    for owner, text in docstrings(module):
        for role, target in re.findall(r":(func|class|meth|mod|data|exc):`~?([^`]+)`", text):
            path = re.sub(r"^.*<(.*)>$", r"\1", target).removesuffix("()")
            places = [path] if path.startswith("dtl_core.") else [f"{module.__name__}.{path}"]
            places += [f"{module.__name__}.{owner.partition('.')[0]}.{path}"]
            if path not in EVERYTHING and not any(map(_is_there, places)):
                missing.append((owner, role, target))
    assert not missing


def _is_there(path):
    try:
        pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError):
        return False
    return True


# ---------------------------------------------------------------- command line


def commands(command=main, path=("dtl",)):
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*path, name))


@pytest.mark.parametrize(
    "path, command", list(commands()), ids=lambda value: "-".join(value) if type(value) is tuple else ""
)
def test_every_command_has_help_with_examples(path, command):
    text = CliRunner().invoke(main, [*path[1:], "--help"], terminal_width=300, prog_name="dtl").output
    assert command.help and re.search(r"[.:]$", re.split(r"\n\s*\n|(?<=[.:])\s", command.help)[0])
    if len(path) == 2:  # the examples of a group are those of its commands
        assert re.search(rf"^ +(\S+=\S+ )*{' '.join(path)}\b", text.partition("\n")[2], re.M)
    for option in command.params:
        assert not isinstance(option, click.Option) or option.hidden or option.help, option.name


# ---------------------------------------------------------------- settings


def flat(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_every_setting_is_on_the_page_and_the_profiles_follow_from_it():
    rows = {}
    for row in cells(settings_page()):
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


def test_the_same_code_gives_the_same_page_wherever_it_lies(tmp_path, monkeypatch):
    page = settings_page()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "40")
    assert settings_page() == page


@pytest.mark.uses_smoke
def test_the_reference_is_in_the_built_book(built):
    reference = built / "generated" / "reference"
    files = [*reference.rglob("*.html"), built / "command_line.html", built / "generated" / "settings.html"]
    pages = {path: path.read_text() for path in files}
    described = "".join(pages.values())
    places = [str(ROOT), str(Path.home()), os.environ["DTL_CACHE"], "site-packages", " at 0x"]
    for module in MODULES:
        page = pages[reference.joinpath(*module.__name__.split("."), "index.html")]
        for name, _ in public(module):
            assert f'id="{module.__name__}.{name}"' in page, (module.__name__, name)
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    for path, text in pages.items():
        article = text[text.index("<article") : text.index("</article>")]
        assert "system-message" not in article and not [place for place in places if place in article], path
        for page, anchor in re.findall(r'href="([^"#:]*)#([^"]+)"', article):
            target = (path.parent / page).resolve() if page else path
            assert target not in anchors or anchor in anchors[target], (path.name, page, anchor)
    assert 'href="../../errors/index.html#dtl_core.errors.DataError"' in described, "a class of another module"
    assert "genindex.html" in pages[reference / "index.html"]


@pytest.mark.uses_smoke
def test_every_command_and_option_is_in_the_built_book(built):
    page = (built / "command_line.html").read_text()
    text = html.unescape(re.sub("<[^>]*>", "", page))
    for path, command in commands():
        assert f'id="{"-".join(path)}"' in page, path
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f'id="cmdoption-{"-".join(path)}-{option.opts[0].lstrip("-")}"' in page, (path, option.name)
        examples = (command.help or "").partition("Examples:")[2].strip("\n").splitlines()
        assert all(line.strip() in text for line in examples), (path, examples)
