# One command each, from a fresh clone: every target sets up its own virtual environment first, once.
#   make demo     the two-minute demonstration          make test    lint, types and tests
#   make PYTHON=python3.12 test                         another interpreter (3.11 or newer)
#   make TORCH_INDEX=https://download.pytorch.org/whl/cpu test      torch from another index (README, "Install")

PYTHON ?= python3
TORCH_INDEX ?=
PYTEST_ARGS ?=
BENCH ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: help setup demo test lint format types check bench wheel clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "PYTHON=$(PYTHON): Python 3.11 or newer is needed. Name one, e.g. make PYTHON=python3.11 test" >&2; exit 2; }
	@echo "setting up $(VENV) (once; some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) -e '.[dev]'
	@touch $@

$(BENCH_STAMP): $(STAMP)
	$(PIP) -e '.[dev,bench]'
	@touch $@

setup: $(STAMP)  ## make the virtual environment and install

demo: $(STAMP)  ## denoise, sample, inpaint; prints the page's path last
	$(BIN)/medidiff demo

test: lint types check  ## everything that must hold: lint, types, tests

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)  ## pyright
	$(BIN)/pyright --warnings

check: $(STAMP)  ## the tests alone: make check PYTEST_ARGS='-k haar'
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(BENCH_STAMP)  ## list the benchmarks; make bench BENCH='NAME ...' runs one
	$(BIN)/python -m benchmarks $(BENCH)

wheel: $(STAMP)  ## dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

clean:  ## remove the virtual environment, caches and builds
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.work/*' -prune -exec rm -rf {} +
