# Watchline: `make demo` shows it, `make test` checks it. Both make the virtual environment they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# An NVIDIA driver chooses the GPU build of onnxruntime.
EXTRA ?= $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
INSTALLED := $(VENV)/installed-$(EXTRA)
INSTALLED_DEV := $(VENV)/installed-dev
DEMO_ARGS ?=
TEST_ARGS ?=
# Tests wait for a third of their time, so there is one worker more than there are cores.
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))

.PHONY: help demo test rules lint types layers fix clean
.DEFAULT_GOAL := help

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

demo: $(INSTALLED)  ## three recorded cameras through the whole pipeline, with a report
	@$(BIN)/watchline demo $(DEMO_ARGS)

test: $(INSTALLED_DEV) lint types layers  ## lint, types, layers, and every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not alone" $(TEST_ARGS)
	$(BIN)/python -m pytest -m alone $(TEST_ARGS) tests/e2e || [ $$? -eq 5 ]  # 5: none was chosen

rules: $(INSTALLED_DEV)  ## takes each rule of governance out, and sees its tests fail
	$(BIN)/python -m tests.repo.rules --break

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED_DEV)
	$(BIN)/mypy

layers: $(INSTALLED_DEV)
	$(BIN)/lint-imports

fix: $(INSTALLED_DEV)  ## formats the code and mends what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## removes the environment and what runs have left
	rm -rf $(VENV) .watchline .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Watchline needs Python 3.11 or later")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "on Debian: apt-get install python3-venv" >&2; exit 1; }

$(INSTALLED): requirements/build.txt requirements/$(EXTRA).txt pyproject.toml | $(BIN)/pip
	@echo "installing Watchline ($(EXTRA)): about a minute"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt -r requirements/$(EXTRA).txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(INSTALLED_DEV): requirements/dev.txt $(INSTALLED)
	@echo "installing the development tools: half a minute"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@
