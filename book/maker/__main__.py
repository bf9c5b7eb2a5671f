"""``python -m book.maker``: the same as ``dtl book``."""

import sys

from dtl_core.cli import main

main(["book", *sys.argv[1:]], prog_name="dtl")
