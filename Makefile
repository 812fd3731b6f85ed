# make demo   sets everything up and runs the main job on real Japanese text
# make test   sets everything up and passes the tests

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
LOWEST := .venv-lowest
OLD_CLIENT := .old-client
CORE_TESTS := tests/test_extras.py tests/test_query_length.py tests/text tests/checkpoints tests/encoding tests/scoring \
	tests/explaining tests/stores/test_addresses.py tests/stores/test_memory.py tests/stores/test_stored_nodes.py

.PHONY: demo test test-server test-newcomer test-lowest test-old-client lint format notebook benchmarks interop wheel clean

demo: $(READY)
	$(BIN)/jacolbert demo

test: lint
	$(BIN)/pytest

# What the package's core promises of a plain installation: the lowest versions that are allowed, and no extras. The
# warnings of old versions about each other are theirs. Two tests are of what these versions themselves do otherwise:
# transformers 5.0 saves no custom code, and llama-index-core 0.14.2 reads one spelling of a separator less.
test-lowest: $(LOWEST)/ready
	$(LOWEST)/bin/python -m pytest -o filterwarnings=default --disable-warnings $(CORE_TESTS) \
		--deselect tests/checkpoints/test_other_models.py::test_jina_survives_a_save_in_both_layouts \
		--deselect tests/stores/test_stored_nodes.py::test_the_other_spelling_of_the_separator

# The wheel in an empty environment, the demonstration, and files of one's own.
test-newcomer: $(READY)
	$(BIN)/python -m tests.newcomer

# The oldest client, for the oldest servers. Its local mode, behind the imitated server, finds nothing by an empty list.
test-old-client: $(READY)
	test -d $(OLD_CLIENT) || $(BIN)/python -m pip install --quiet --no-deps --target $(OLD_CLIENT) \
		"$$(grep '^qdrant-client==' lowest.txt)"
	PYTHONPATH=$(CURDIR)/$(OLD_CLIENT) $(BIN)/pytest tests/qdrant tests/stores \
		--deselect tests/qdrant/test_grpc.py::test_ranks_as_in_memory

$(LOWEST)/ready: pyproject.toml lowest.txt
	@echo 'Setting up $(LOWEST): a few minutes the first time'
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint lowest.txt torch
	$(LOWEST)/bin/python -m pip install --quiet --constraint lowest.txt --editable . pytest hypothesis
	touch $@

# The same against a real server: make test-server QDRANT_URL=http://localhost:6333 [QDRANT_GRPC_PORT=6334]. Its key is
# read from $QDRANT_API_KEY.
test-server: $(READY)
	@test -n "$(QDRANT_URL)" || { echo 'Say which server: make test-server QDRANT_URL=http://localhost:6333'; exit 2; }
	JACOLBERT_TEST_SERVER="$(QDRANT_URL)" JACOLBERT_TEST_GRPC_PORT="$(QDRANT_GRPC_PORT)" $(BIN)/pytest \
		-k 'server-rest or server-grpc or server-strict or test_metadata_filters' tests/qdrant tests/stores tests/llama_index \
		tests/test_flows_on_a_server.py

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

# Exports, loaded by colbert-ai, PyLate and sentence-transformers in environments of their own; and the pretrained
# weights, beside the engine of the package that brings them.
interop: $(READY)
	$(BIN)/python -m tests.interop.run
	$(BIN)/python -m tests.interop.pretrained

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
	rm -rf $(VENV) $(LOWEST) $(OLD_CLIENT) build dist
