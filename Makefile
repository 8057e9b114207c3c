# Candlecast. `make run` is all a newcomer needs; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
EXTRA := $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
# The first interpreter that answers and is new enough; a shim that answers nothing is passed over.
PYTHON ?= $(shell for each in python3 python3.12 python3.11 python3.13; do \
	$$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$each && break; done)
FRONTEND := $(shell find frontend -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: help setup run test check bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.ready frontend/dist/.ready ## install everything and build the dashboard; nothing to do the second time
	@:

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Candlecast needs Python 3.11, 3.12 or 3.13 on the PATH"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRA),dev]'
	@touch $@

frontend/dist/.ready: $(VENV)/.ready $(FRONTEND)
	$(BIN)/python frontend/build.py
	@touch $@

run: setup ## start everything: database, demo market, Ray, the graph, a first model
	$(BIN)/candlecast up $(ARGS)

check: setup ## ruff, mypy, import contracts, configuration, TypeScript
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/candlecast check-config
	$(BIN)/python frontend/build.py check

test: setup ## every test that this machine can run
	$(BIN)/python -m pytest -m "not gpu and not ollama" $(ARGS)

bench: setup ## the measurements of docs/benchmarks.md
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what setup made; state in .candlecast stays
	rm -rf $(VENV) frontend/node_modules frontend/dist
