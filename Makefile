# `make demo` and `make test` need python3, venv and make only: everything else is installed here.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
EXTRAS := demo,parquet,enclave,tee,test
PYTEST := $(BIN)/pytest --numprocesses 2 --dist worksteal

.PHONY: help setup demo test test-all lint format docs bench lock clean

help:
	@echo "make demo      three institutions train on real data, on this machine"
	@echo "make test      lint, types, import contracts and the quick tests, on two processes"
	@echo "make test-all  the same with the slow tests, and the coverage"
	@echo "make docs      the documentation as a site, in site/, with the API from the docstrings"
	@echo "make bench     the benchmark table"
	@echo "make lock      write constraints.txt anew from a fresh install"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]' \
	 || PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	$(BIN)/python -m hansa.protocols.mpc.kernels
	touch $(STAMP)

demo: setup
	$(BIN)/hansa demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST) --cov --cov-report=term:skip-covered

docs: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]' \
	 || $(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/zensical build --clean --strict

bench: setup
	$(BIN)/hansa bench all

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet --editable '.[$(EXTRAS),docs]'
	.venv-lock/bin/python -m pip freeze --exclude-editable > constraints.txt
	rm -rf .venv-lock

clean:
	rm -rf .venv build site *.egg-info
