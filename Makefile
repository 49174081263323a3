# Everything a newcomer needs: `make demo` and `make test`. Each makes its own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
REFERENCE ?= ../shared/reference
ENGINES := zeldovich 2lpt cola cola:mesh_factor=2 pm emulator:fast emulator vnet p3m

.PHONY: demo test lint format bench tables docs browse linkcheck clean

$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zeldo needs Python 3.11 or newer: make PYTHON=python3.12 demo")'
	@echo "installing zeldo into $(VENV), some minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.developer: $(VENV)/.runtime
	@$(PIP) install -c constraints.txt -e '.[test,train]'
	@$(PIP) install -c constraints.txt -e '.[halos]' 2>/dev/null || echo "kdcount did not build (no C compiler?): halos by SciPy"
	@touch $@

$(VENV)/.docs: $(VENV)/.developer
	@$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@

demo: $(VENV)/.runtime
	@mkdir -p demo
	@echo "== a universe from a cosmology and a seed, by every engine: snapshots in demo/"
	@set -e; for engine in $(ENGINES); do \
	  $(BIN)/zeldo run --cosmology quijote --box 125 --n 64 --seed 7 --engine $$engine \
	    -o demo/$$(echo $$engine | tr ":=" "--").hdf5; done
	@echo "== every engine against a real N-body run (MP-Gadget) on the same phases"
	@$(BIN)/zeldo compare --reference small $(foreach engine,$(ENGINES),--engine $(engine)) -o demo/report
	@echo "open demo/report/index.html in a browser"

test: $(VENV)/.developer
	@$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.developer
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.developer
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.developer
	@$(PIP) install -c constraints.txt -e '.[bench]' || echo "PySCo did not install: its comparison is left out"
	@ZELDO_REFERENCE=$(REFERENCE) $(BIN)/python -m benchmarks

tables: $(VENV)/.developer
	@$(BIN)/python -m benchmarks.tables

docs: $(VENV)/.docs
	@PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
	  $(BIN)/sphinx-build -q -W --keep-going --jobs=2 -b html docs build/docs/html
	@echo "open build/docs/html/index.html in a browser"

browse: docs
	@$(PIP) install -c constraints.txt -e '.[browser]' || echo "playwright did not install: the site is not opened"
	@$(BIN)/python -m pytest tests/test_site.py || test $$? -eq 5  # nothing to run without playwright

linkcheck: $(VENV)/.docs
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sphinx-build -q -W --keep-going -b linkcheck docs build/docs/links

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .mypy_cache
