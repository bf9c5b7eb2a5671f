"""``python -m dtl_core``: the command line."""

from .cli import main

main(prog_name="dtl")
