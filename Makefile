# make demo   install, draw conformations from the shipped model, analyse them
# make test   linters, types, and the tests that belong to every change
# make test-all  the same with every test: slow ones, and the matrix
# make matrix every force field and molecule against OpenMM
# make docs   the documentation as a site, docs/_build/index.html
# make notebooks  the notebooks in docs/notebooks, executed in full
# make minimum  every command, with the oldest dependencies that pyproject.toml admits (Python 3.11)
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-minimum
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
SOURCES := $(shell find boltzgen systems -type f -not -path '*/__pycache__/*')
# A development install serves the demo too; it always runs the checkout.
READY := $(if $(wildcard $(DEV)),$(DEV),$(INSTALLED))

# Each worker has one thread (tests/conftest.py).
WORKERS ?= auto
PYTEST := $(BIN)/pytest -q -n $(WORKERS) --dist worksteal

.PHONY: demo checked kernels lint test test-all matrix minimum docs notebooks venv dev clean

demo: $(READY)
	mkdir -p demo
	$(BIN)/boltzgen sample alanine_dipeptide -n 20000 -o demo/samples.h5 --force
	$(BIN)/boltzgen analyze demo/samples.h5 -o demo --html demo/report.html --force

# The kernels are compiled, and found on disk by all workers later, while mypy keeps another core busy.
checked: $(DEV)
	$(MAKE) --jobs 2 lint kernels

kernels: $(DEV)
	$(BIN)/pytest -q tests/kernels

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The kernels' tests have run by then.
test: checked
	$(PYTEST) --ignore tests/kernels

test-all: checked $(DOCS)
	$(PYTEST) -m ""

# Every force field, solvent model and molecule against OpenMM: minutes.
matrix: $(DEV)
	$(PYTEST) -m matrix tests/energy

# Without a warning, or not at all.
docs: $(DOCS)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build

notebooks: $(DOCS)
	$(BIN)/python docs/notebooks/execute.py

# Gigabytes and minutes: the old torch comes with CUDA, unless pip's own settings name an index of CPU builds.
minimum:
	rm -rf $(OLDEST)
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --constraint minimum.txt .
	.ci/smoke $(OLDEST)/bin/boltzgen

venv: $(READY)

dev: $(DEV)

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "boltzgen needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml $(SOURCES) | $(BIN)/pip
	$(BIN)/pip install --quiet .
	touch $@

$(DEV): pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	touch $@

$(DOCS): pyproject.toml | $(DEV)
	$(BIN)/pip install --quiet --no-compile --editable '.[docs]'
	touch $@

clean:
	rm -rf demo docs/_build docs/jupyter_execute docs/api build dist $(OLDEST) *.egg-info .mypy_cache .ruff_cache .pytest_cache
