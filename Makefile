# Set-up, demonstration and gates. Needs Python 3.11 or newer with venv and pip, and make; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PLANNABLE := $(VENV)/.plannable
TRAINABLE := $(VENV)/.trainable

.PHONY: help venv demo test lint types layers pytest docs benchmark-dvh benchmark-fdp clean

help:
	@echo "make demo    the whole way on a built-in phantom; ends with the path of the report"
	@echo "make test    all gates: lint types layers pytest"
	@echo "make docs    write the generated pages of docs/reference anew"
	@echo "make benchmark-dvh  measure DVHs against closed forms and dicompyler-core"
	@echo "make clean   remove the environment and everything that was generated"

venv: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[cpu,gamma,report,web,dev]"
	@touch $@

# the dose engine, with which the demonstration plans
$(PLANNABLE): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[planning]"
	@touch $@

# what training needs, and with it the tests of the networks; a plain install predicts without torch
$(TRAINABLE): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,planning]"
	@touch $@

demo: $(PLANNABLE)
	$(BIN)/fdp-bridge demo

test: lint types layers pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TRAINABLE)
	$(BIN)/mypy

layers: venv
	$(BIN)/lint-imports --no-cache

# a file's tests stay together: they share what it made
pytest: $(TRAINABLE)
	$(BIN)/pytest -n auto --dist loadfile -m "not slow and not gpu"

docs: venv
	$(BIN)/python -m config.reference > docs/reference/configuration.md
	$(BIN)/python -m bridge.cli_reference > docs/reference/command-line.md

# dicompyler-core does not import with pydicom 3, so it lives in an environment of its own
DICOMPYLER := .venv-dicompyler

benchmark-dvh: venv $(DICOMPYLER)/.installed
	$(BIN)/python -m tests.benchmarks.dvh_solids --dicompyler $(DICOMPYLER)/bin/python
	$(BIN)/python -m tests.benchmarks.dvh_speed --dicompyler $(DICOMPYLER)/bin/python
	$(BIN)/python -m tests.benchmarks.dvh_pitfalls --dicompyler $(DICOMPYLER)/bin/python

$(DICOMPYLER)/.installed:
	$(PYTHON) -m venv $(DICOMPYLER)
	$(DICOMPYLER)/bin/pip install --quiet --disable-pip-version-check "dicompyler-core==0.5.6" "pydicom<3"
	@touch $@

clean:
	rm -rf $(VENV) $(DICOMPYLER) build demo-out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
