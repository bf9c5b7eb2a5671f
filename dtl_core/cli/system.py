"""``dtl info`` and ``completion``."""

from __future__ import annotations

import json

import click

from .._version import __version__
from .root import main
from .terminal import say

__all__ = ["completion", "info"]


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def info(as_json):
    """Show versions, device, caches and embedded data.

    \b
    Examples:
      dtl info
      dtl info --json
    """
    from .. import machine
    from ..pipeline.store import default_root
    from ..public_data import registry
    from ..source_code import versions

    embedded = [entry for entry in registry.resources() if entry.kind == "embedded"]
    status = {row.name: row.status for row in registry.verify([entry.name for entry in embedded])}
    found = {
        "version": __version__,
        "packages": versions(),
        "machine": machine.describe(),
        "results": str(default_root()),
        "mirror (DTL_DATA)": str(registry.data_mirror() or "-"),
        "cache (DTL_CACHE)": str(registry.cache_root()),
        "embedded": {entry.name: f"{entry.size / 1e6:.1f} MB, {status[entry.name]}" for entry in embedded},
    }
    if as_json:
        say(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        if not isinstance(value, dict):
            say(f"{name:18s} {value}")
            continue
        say(name)
        for key, item in value.items():
            say(f"  {key:28s} {'-' if item is None else item}")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell):
    """Print the script that makes a shell complete commands and options.

    \b
    Examples:
      dtl completion bash >> ~/.bashrc
      dtl completion zsh >> ~/.zshrc
      dtl completion fish > ~/.config/fish/completions/dtl.fish
    """
    from click.shell_completion import get_completion_class

    say(get_completion_class(shell)(main, {}, "dtl", "_DTL_COMPLETE").source())
