# make demo | test | quality | bench.    PYTHON=python3.12 make setup  picks the interpreter of a new .venv (3.11 - 3.13).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Test files at a time; those of the cluster take all cores themselves.
JOBS ?= 2
ALONE := tests/pipelines/test_ray.py
EXTRAS := dev,models,onnx,publish,tflite,train

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast quality bench audit report lock clean

help:
	@echo "make setup      .venv with the pinned dependencies; nothing where it is up to date"
	@echo "make demo       render a small stereo world, build a dataset from it, print five questions (some minutes)"
	@echo "make test       all tests; test-fast leaves out those of a minute and more"
	@echo "make quality    ruff and mypy"
	@echo "make bench      what a clip costs, stage by stage"
	@echo "make audit      labels of 24 test worlds against the truth (hours; goes on where it stopped)"
	@echo "make report     RUN=DIR: a gallery of a finished run, as static pages"
	@echo "make lock       new exact versions, after pyproject.toml changed"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

# What tests of publishing, training and learned models need besides: a CPU build of torch is the heaviest of it.
$(STAMP)-extras: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

demo: setup
	$(BIN)/python -m pipelines.demo

test: $(STAMP)-extras
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore $(ALONE)
	$(BIN)/python -m pytest $(ALONE)

test-fast: $(STAMP)-extras
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore $(ALONE) -m "not slow"

quality: $(STAMP)-extras
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pipelines.bench

audit: setup
	$(BIN)/python -m pipelines.simulate --split test --worlds 24 --output runs/audit/worlds
	$(BIN)/python -m pipelines.build --input runs/audit/worlds --output runs/audit/run --set shards.bench_share=0
	$(BIN)/python -m pipelines.audit --truth runs/audit/worlds runs/audit/run

report: setup
	$(BIN)/python -m pipelines.report $(RUN)

# Resolved in an empty environment, so that nothing installed by hand slips in.
lock:
	rm -rf build && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet ".[$(EXTRAS),rerun]"
	echo "# Exact versions of everything that make setup installs; made by: make lock" > constraints.txt
	build/lock/bin/python -m pip freeze --exclude mllm4d-data-factory >> constraints.txt
	rm -rf build

clean:
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build
