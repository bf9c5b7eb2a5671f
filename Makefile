# Thin: each target calls one command of the virtual environment, which is made on first use.
SHELL := bash
.DEFAULT_GOAL := help

PROFILE ?= demo
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
# Some machines set it; then each of the many processes of a run or of the tests compiles every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env book app paper test test-all test-quick coverage lint bench transfer clean

help:  ## what each target does
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 12
	@echo "PROFILE=smoke|demo|paper-fast|paper chooses the size of the run (default: demo; of make paper: paper-fast)"

book: .venv/.installed  ## fetch public data (not with OFFLINE=1), run everything, build _build/html
	$(BIN)/python -m book.maker --profile $(PROFILE) $(if $(filter-out 0,$(OFFLINE)),--offline)

app: .venv/.installed  ## a page in the browser: choose a spectrum, see its parameters (on this machine only)
	cd notebooks && ../$(BIN)/voila app.ipynb  # its settings are in voila.json

paper: PROFILE = paper-fast
paper: .venv/.installed  ## fetch the spectra and models of the paper, run it on them, compare (hours; STARS="..." for some)
	$(BIN)/dtl reproduce --profile $(PROFILE) $(addprefix --stars ,$(STARS))

test: lint  ## lint, then the tests
	$(BIN)/python -m pytest -n 3 --no-loadscope-reorder -m "not nightly"

test-all: lint  ## the same with those of every night: processes killed at random, workflow engine, timed surveys
	$(BIN)/python -m pytest -n 3 --no-loadscope-reorder

test-quick: lint  ## the tests that train no networks and take less than a second
	$(BIN)/python -m pytest -n 3 -m "not nightly and not slow and not trained and not uses_smoke and not uses_tiny"

coverage: lint  ## all tests, and which lines they reach (takes 40 % longer)
	$(BIN)/python -m pytest -n 3 --no-loadscope-reorder --cov --cov-report=term:skip-covered

lint: .venv/.installed  ## ruff, notebooks included, and the order of the imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

bench: .venv/.installed  ## what the book's page on speed shows, into its record (hours; PARTS="training chain" for some)
	$(BIN)/python benchmarks/run.py $(PARTS)

transfer: .venv/.installed  ## what notebook 07 shows of the test bench, into its record: what is missing or stale (hours; PARTS="arms real" for some)
	$(BIN)/python benchmarks/transfer.py $(PARTS)

env: .venv/.installed  ## the virtual environment alone

# Only the names of the direct dependencies are shown; errors come through whole. Modules are compiled when they are first
# imported: compiling all of them here takes over a minute on one core.
.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is not: say make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "installing into .venv (some minutes the first time, 2 GB):"
	@set -o pipefail; $(BIN)/pip install --no-compile --progress-bar off -e '.[app,book,test]' | sed -u -n \
	  -e 's/^Collecting \([^ ]*\) (from dtl-mdwarfs.*/  \1/p' -e 's/^Installing collected.*/  unpacking/p'
	@touch $@

clean:  ## remove what was built; the environment and the stored results stay
	rm -rf _build build book/notebooks book/generated .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
