# Penstock: everything from a fresh clone. `make up` and `make test` need nothing but Python 3.11+ and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help up install install-dev test test-slow lint format lock screenshots clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: install ## Serve the project's own docs at http://127.0.0.1:7100 (OPTIONS="--port 8000").
	@$(BIN)/penstock up docs $(OPTIONS)

install: $(VENV)/.installed ## Make the virtual environment.

install-dev: $(VENV)/.installed-dev

test: install-dev ## Install what the tests need and run them.
	@sh tests/install-system.sh
	$(BIN)/python -m pytest -m "not slow"

test-slow: install-dev ## Run the tests that take minutes, too.
	@sh tests/install-system.sh
	$(BIN)/python -m pytest

lint: install-dev ## Check style and types.
	$(BIN)/ruff check src tests benchmarks scripts
	$(BIN)/ruff format --check src tests benchmarks scripts
	$(BIN)/mypy

format: install-dev ## Format the code.
	$(BIN)/ruff check --fix src tests benchmarks scripts
	$(BIN)/ruff format src tests benchmarks scripts

screenshots: install-dev ## Make the pictures of the docs anew, from the browser tests.
	@sh tests/install-system.sh
	PENSTOCK_SCREENSHOTS=1 $(BIN)/python -m pytest tests/console -k screenshot

lock: | $(VENV)/bin/python ## Pin the newest versions that pyproject.toml allows, with their hashes.
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group build $(LOCK_OPTIONS) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group build --group dev --extra llamacpp \
		-c requirements.lock $(LOCK_OPTIONS) -o requirements-dev.lock

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

clean: ## Remove the environment and the example app's data. Models stay in the user's cache.
	rm -rf $(VENV) docs/.penstock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Penstock needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing Penstock and what it needs into $(VENV); the first time takes a minute ..."
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@
