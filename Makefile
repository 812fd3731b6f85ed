# make demo   sets everything up and runs the main job on real Japanese text
# make test   sets everything up and passes the tests

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test lint format notebook benchmarks interop wheel clean

demo: $(READY)
	$(BIN)/jacolbert demo

test: lint
	$(BIN)/pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The notebook's outputs, from a fresh run.
notebook: $(READY)
	$(BIN)/python -m tests.examples.notebooks

benchmarks: $(READY)
	$(BIN)/python benchmarks/tokenization.py
	$(BIN)/python benchmarks/encoding.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/muvera.py
	$(BIN)/python benchmarks/first_documents.py
	$(BIN)/python benchmarks/writing.py
	$(BIN)/python benchmarks/local_stores.py

# Exports, loaded by colbert-ai, PyLate and sentence-transformers in environments of their own.
interop: $(READY)
	$(BIN)/python -m tests.interop.run

wheel: $(READY)
	$(BIN)/python -m build --wheel --no-isolation

# torch first: every other package is then content with it, whichever build it is.
$(READY): pyproject.toml constraints.txt
	@echo 'Setting up $(VENV): a few minutes the first time'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist
