# Everything runs from .venv, which is made on demand from pyproject.toml and brought up to date when that changes.
# Needs Python 3.11 or newer with its venv module; PYTHON=… names another one.

PYTHON ?= $(shell command -v python3.11 2>/dev/null || echo python3)
EXAMPLE ?= examples/eight-clients.toml
WORKERS ?= 2
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help verify test lint report bench fuzz mutate diagrams vectors check-generated clean
.DELETE_ON_ERROR:

help:
	@echo 'make verify           build, sign, fund, exit and attack a factory (EXAMPLE=FILE for another one); check all properties'
	@echo 'make test             all tests; ARGS="-k word" for some'
	@echo 'make lint             style, types, layers'
	@echo 'make report           one HTML file for a reviewer: text, tables, verdicts, explorer: build/site/index.html'
	@echo 'make bench            measurements, as ratios within one run'
	@echo 'make fuzz             lives of factories for hours, until you stop it; what goes wrong is in build/fuzz/failures'
	@echo 'make mutate           every single fault of the tables, and who notices it; stop it and go on as you like (hours)'
	@echo 'make diagrams         draw the state machines into diagrams/'
	@echo 'make vectors          make the test vectors, and what is generated in spec/chapters'
	@echo 'make check-generated  fail when a generated file differs from what it is made from'
	@echo 'make clean            remove .venv, build/ and caches'

verify: $(READY)
	@mkdir -p build
	$(BIN)/superscalar-ref verify $(EXAMPLE) --json build/verify.json $(ARGS)
	$(BIN)/superscalar-ref check

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

report: $(READY)
	@mkdir -p build
	$(BIN)/superscalar-ref conform --reference --json > build/conform-reference.json
	$(BIN)/superscalar-ref report --conform build/conform-reference.json $(ARGS)

bench: $(READY)
	$(BIN)/python bench/run.py $(ARGS)

fuzz: $(READY)
	$(BIN)/python -m tests.lifecycle.fuzz $(ARGS)

mutate: $(READY)
	@mkdir -p build
	$(BIN)/superscalar-ref mutate --resume build/mutate.json $(ARGS)

diagrams: $(READY)
	$(BIN)/superscalar-ref diagrams

vectors: $(READY)
	$(BIN)/superscalar-ref vectors make
	$(BIN)/superscalar-ref chapters

check-generated: $(READY)
	$(BIN)/superscalar-ref diagrams --check
	$(BIN)/superscalar-ref vectors make --check
	$(BIN)/superscalar-ref chapters --check
	$(BIN)/superscalar-ref trace --check

clean:
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp comes last, so that a broken installation is repeated.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'This needs Python 3.11 or newer with venv (Debian: apt install python3-venv); PYTHON=… names one.' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@
