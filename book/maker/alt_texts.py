"""Sphinx extension of the book: a figure that a page takes from a notebook keeps the notebook's alternative text.

``{glue:figure}`` has the option ``:alt:``, but works in its own notebook only. ``{glue}`` with ``:doc:``, which shows a
figure on another page, has no such option, and metadata of cells do not get that far: the name of the file would be
read aloud. ``_config.yml`` loads this module.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from docutils import nodes

__all__ = ["fill", "setup"]


def setup(app):
    """Connect :func:`fill` with a Sphinx application, when all pages are read and links are resolved."""
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def fill(app, doctree, docname):
    """Give each image without a text that of the same image in a notebook: the name of its file is a hash of it."""
    bare = [image for image in doctree.findall(nodes.image) if not image.get("alt")]
    if bare:
        texts = _texts(app.env)
        for image in bare:
            if (name := _name(image)) in texts:
                image["alt"] = texts[name]


def _texts(env):
    names = sorted((name for name in env.found_docs if name.startswith("notebooks/")), reverse=True)
    pages = [env.get_doctree(name) for name in names]  # backwards: of two that show one image the first counts
    images = [image for page in pages for image in page.findall(nodes.image)]
    return {_name(image): image["alt"] for image in images if image.get("alt")}


def _name(image):
    return PurePosixPath(image["uri"]).name
