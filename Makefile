# make demo | test | quality | bench.    PYTHON=python3.12 make setup  picks the interpreter of a new .venv (3.11 - 3.13).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast quality bench clean

help:
	@echo "make setup      .venv with the pinned dependencies; nothing where it is up to date"
	@echo "make demo       render a small stereo world, build a dataset from it, print five questions (some minutes)"
	@echo "make test       all tests; test-fast leaves out those of a minute and more"
	@echo "make quality    ruff and mypy"
	@echo "make bench      what a clip costs, stage by stage"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,audit]"
	touch $(STAMP)

demo: setup
	$(BIN)/python -m pipelines.demo

test: setup
	$(BIN)/python -m pytest

test-fast: setup
	$(BIN)/python -m pytest -m "not slow"

quality: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pipelines.bench

clean:
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build
