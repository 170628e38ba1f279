# Front door of the project. `make help` lists what there is.
PYTHON ?= python3
RUN = .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup up down status preview check test clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install everything a fresh clone needs (registries only, no root)
	@$(PYTHON) tools/setup.py

up: setup ## bring the world of this clone up: 15 regions, live
	@$(RUN)/meridian up

down: ## stop it; nothing is left running
	@if [ -x $(RUN)/meridian ]; then $(RUN)/meridian down; else echo "down: nothing was set up"; fi

status: setup ## table of regions
	@$(RUN)/meridian status

preview: setup ## what `up` would change
	@$(RUN)/meridian preview

check: setup ## fast loop, under a minute: lint, types, arrows, topology, components
	@$(RUN)/python tools/check.py

test: setup ## everything, the real engine, Postgres, Redis, Envoy and the page included
	@$(RUN)/python tools/check.py --all

clean: down ## remove what was made here; the shared cache stays
	@rm -rf .meridian .venv console/node_modules console/dist .mypy_cache .ruff_cache .pytest_cache
