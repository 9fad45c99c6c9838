# Each target does all its own set-up; needed are python3 (3.11 or newer), pip and make.

PYTHON ?= python3
VENV   := .venv/bin/python
BENCH  := .bench/bin/python
# Progress bars for people, silence for logs.
PIP    := -m pip install --disable-pip-version-check --root-user-action=ignore --no-warn-script-location \
          $(if $(MAKE_TERMOUT),,--quiet) -c constraints.txt
# One thread a worker: two workers of two threads each are slower than two of one on two cores.
ONE    := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs bench-env parity

help:
	@echo "make demo       train and evaluate the miniature, then write runs/demo/report.html (three to four minutes)"
	@echo "make test       run the tests"
	@echo "make lint       check style and types"
	@echo "make docs       write the generated pages of docs anew"
	@echo "make setup      only make .venv ready"
	@echo "make bench-env  make .bench ready: the same with TRL, for benchmarks/"
	@echo "make parity     compare losses and gradients with TRL's (a minute)"

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(call environment,.venv,[test])

.bench/.ready: pyproject.toml constraints.txt
	$(call environment,.bench,[bench])

demo: setup
	@$(VENV) -m pairwright demo

test: setup
	@$(ONE) $(VENV) -m pytest -n 2

lint: setup
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy

docs: setup
	@$(VENV) docs/generate.py

bench-env: .bench/.ready

parity: bench-env
	@$(ONE) $(BENCH) benchmarks/parity_trl.py

# $(1): folder of the environment, $(2): extras. Where python3 comes without ensurepip (Debian's python3 without
# python3-venv), the outer pip puts a pip into it. pip's warnings are shown when it fails; what a machine's own pip
# settings make it warn about is not our reader's business. The stamp comes last, so a broken download is done again.
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pairwright needs Python 3.11 or newer; \
this is " + sys.version.split()[0] + ". Say which with: make PYTHON=python3.12 ...")'
@echo "Setting up $(1) with the versions of constraints.txt (some minutes) ..."
@test -x $(1)/bin/python && $(1)/bin/python -m pip --version >/dev/null 2>&1 \
	|| $(PYTHON) -m venv --clear $(1) >/dev/null 2>&1 \
	|| { $(PYTHON) -m venv --clear --without-pip $(1) && $(PYTHON) -m pip --python $(1)/bin/python install --quiet pip; }
@$(1)/bin/python $(PIP) -e '.$(2)' 2>$(1)/setup.log || { cat $(1)/setup.log >&2; exit 1; }
@touch $(1)/.ready
@echo "$(1) is ready."
endef
