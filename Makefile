# make demo and make test each do all of their own set-up from a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test quality bench audit lock clean

setup: .venv/ready

# Exact versions come from constraints.txt, so that an install today and next year give the same.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,audit]'
	@touch $@

demo: setup
	$(BIN)/python -m pipelines.demo --output $(DEMO)

test: setup
	$(BIN)/python -m pytest

quality: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pipelines.bench

# The labels of a dataset built from test worlds, compared with what is true. Takes hours: 24 worlds are rendered once.
audit: setup
	$(BIN)/python -m pipelines.simulate --split test --worlds 24 --output runs/audit/worlds
	$(BIN)/python -m pipelines.build --input runs/audit/worlds --output runs/audit/run
	$(BIN)/python -m pipelines.audit --truth runs/audit/worlds runs/audit/run

# New exact versions, after pyproject.toml changed: resolved in an empty environment.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet '.[dev,audit]'
	build/lock/bin/python -m pip freeze --exclude mllm4d-data-factory > constraints.txt

clean:
	rm -rf .venv build $(DEMO)
