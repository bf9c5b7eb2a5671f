"""Sphinx extension of the book: the API reference, which sphinx-autoapi makes from the sources of ``dtl_core``.

``_config.yml`` loads this module after ``autoapi.extension``.
"""

from __future__ import annotations

from pathlib import Path

import dtl_core

__all__ = ["resolve", "setup"]


def setup(app):
    """Connect :func:`resolve` with a Sphinx application; name autoapi its sources and the search its order."""
    from astroid.builder import AstroidBuilder

    # Types of attributes, which autoapi does not show: to infer them astroid would parse NumPy, PyTorch and others.
    AstroidBuilder.delayed_assattr = lambda self, node: None
    app.config.autoapi_dirs = [str(Path(dtl_core.__file__).parent)]
    app.config.html_search_scorer = str(Path(__file__).with_name("search_scorer.js"))
    app.connect("missing-reference", resolve)
    app.connect("sphinx-click-process-description", _keep)
    app.connect("config-inited", _collapse)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _collapse(app, config):
    """Show only the current part of the contents beside a page: all 200 pages of it would take a third of the build."""
    config.html_theme_options["collapse_navbar"] = True


def _keep(app, context, lines):
    """Keep the help of a command as it is: patterns such as ``**/*.fits``, and columns and ``--`` in examples."""
    kept, inside = [], False
    for line in lines:
        before, inside = inside, line.startswith("| ")
        text = line.removeprefix("| ")
        if inside and before:
            kept.append(f"   {text}")
        else:
            kept += [text.replace("*", "\\*"), *(["", ".. code-block:: none", ""] if inside else [])]
    lines[:] = kept


def resolve(app, env, node, contnode):
    """Resolve a short name in a docstring, which may be that of a class in another module.

    Parameters
    ----------
    app : sphinx.application.Sphinx
    env : sphinx.environment.BuildEnvironment
    node : docutils.nodes.Element
        The reference that Sphinx could not resolve.
    contnode : docutils.nodes.Node
        Its text.

    Returns
    -------
    docutils.nodes.Node or None
        A link, or plain text where none is needed: words in the types of parameters, base classes that are not public.
        None for a reference that should be there.
    """
    if node.get("refdomain") != "py":
        return None
    if node.get("refspecific") or (node["reftype"] == "obj" and node["refdoc"].startswith(app.config.autoapi_root)):
        return contnode
    node["refspecific"] = True  # Sphinx then also looks in the other modules
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], node["reftarget"], node, contnode)
