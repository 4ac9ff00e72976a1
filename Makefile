# Set-up, demonstration and gates. Needs Python 3.11 or newer with venv and pip, and make; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PLANNABLE := $(VENV)/.plannable
TRAINABLE := $(VENV)/.trainable

.PHONY: help venv demo test lint types layers pytest docs benchmark-dvh benchmark-fdp plug-in clean

help:
	@echo "make demo    the whole way on a built-in phantom; ends with the path of the report, and how to review it"
	@echo "make test    all gates: lint types layers pytest"
	@echo "make docs    write the generated pages of docs/reference anew"
	@echo "make plug-in compile the plug-in for Eclipse against the stub, with Mono"
	@echo "make benchmark-dvh  measure DVHs against closed forms and dicompyler-core"
	@echo "make clean   remove the environment and everything that was generated"

venv: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing into $(VENV), a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[cpu,gamma,report,web,dev]"
	@touch $@

# the dose engine, with which the demonstration plans
$(PLANNABLE): $(INSTALLED)
	@echo "installing the dose engine, a minute or two"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[planning]"
	@touch $@

# what training needs, and with it the tests of the networks; a plain install predicts without torch
$(TRAINABLE): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,planning,scale]"
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

# a file's tests stay together: they share what it made; a worker for each core, and a thread for each worker, since more
# of them wait for each other more than they work
pytest: $(TRAINABLE)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile -m "not slow and not gpu"

docs: venv
	$(BIN)/python -m config.reference > docs/reference/configuration.md
	$(BIN)/python -m bridge.cli_reference > docs/reference/command-line.md

# against the stub, which shows that it compiles; for Eclipse it is built on Windows
plug-in: venv
	@command -v mcs > /dev/null || { echo "Mono's C# compiler is needed: mcs (package mono-mcs)"; exit 1; }
	mkdir -p build/plug-in
	$(BIN)/python -c 'from tests.eclipse_plugin.plug_in import *; compile_all("mcs", Path("build/plug-in"))'
	@echo "compiled into build/plug-in"

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
