"""Everything that executes notebooks, makes pages from data or code, and builds the HTML book."""

from pathlib import Path

from dtl_core import source_code

source_code.register("book.maker", Path(__file__).parent)  # what is computed here has this code in its key
