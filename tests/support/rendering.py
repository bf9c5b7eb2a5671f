"""Markdown of generated pages, as tables and as the book's own parser reads it."""

import re
from html.parser import HTMLParser


def cells(text):
    """The rows of all tables of a page: lists of cells."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ""

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def rendered(text):
    """Tags and text of what the book's own parser makes of it."""
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    extensions = {"amsmath", "colon_fence", "deflist", "dollarmath", "html_image"}
    found = _Text()
    found.feed(create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML).render(text))
    return found.tags, found.text
