# From a fresh clone: `make demo`, `make test`. Everything goes into .venv; nothing needs root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Which test goes to which process is said in tests/handing_out.py.
PYTEST = $(BIN)/pytest --numprocesses 2
PACKAGING = tests/packaging tests/upgrades

CAMPAIGN_OF_FAULTS = $(BIN)/python -m tests.faults.campaign --seed $(or $(SEED),1) \
	$(if $(ONLY),--only $(ONLY)) $(if $(DATABASE),--database $(DATABASE)) $(if $(WRITE),--write $(WRITE))

.DEFAULT_GOAL := help
.PHONY: help setup check test packaging faults faults-long mutations bench demo up docs reference links \
	walk clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(READY) ## Install everything into .venv

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Lastword needs Python 3.11 or newer; run make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: $(READY) ## Format, lint, types, layering
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: $(READY) ## The tests, on real Redis, RabbitMQ, SQLite and PostgreSQL
	@tests/install_servers.sh
	$(PYTEST) $(PACKAGING:%=--ignore=%)

packaging: $(READY) ## Tests of the package on every Python, and beside the release before
	$(PYTEST) $(PACKAGING)

faults: $(READY) ## Each fault once on a running system; ONLY="flushall clock" SEED=7 for less
	@tests/install_servers.sh
	@$(CAMPAIGN_OF_FAULTS) --rounds 1 --minutes 8

faults-long: $(READY) ## The tests of faults with all their runs and strikes, then an hour of seeds
	@tests/install_servers.sh
	CAMPAIGN=long $(PYTEST) --timeout 1200 tests/faults
	@$(CAMPAIGN_OF_FAULTS) --minutes $(or $(MINUTES),60)
	@for target in message filters cron odata; do \
		$(BIN)/python -m tests.faults.fuzzing $$target --seconds 150 || exit 1; done

mutations: $(READY) ## Take each guard away in turn: a named test must miss it; ONLY="claim" for less
	@tests/install_servers.sh
	@$(BIN)/python -m tests.faults.mutating $(ONLY)

bench: $(READY) ## All measurements, or ONLY="latency memory" (QUICK=1: short, OUT=file: JSON)
	@$(BIN)/python -m benchmarks $(ONLY)

demo: $(READY) ## Run the whole system, kill and empty things, and see every run end right
	@$(BIN)/lastword demo

up: $(READY) ## The system of the demo, kept running until Ctrl-C
	@$(BIN)/lastword up

docs: $(READY) ## Build the site of the documentation into build/site, strictly
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean --quiet
	@echo "build/site/index.html"

reference: $(READY) ## Write docs/reference anew, from the code
	@$(BIN)/python -m docs.building.reference

walk: $(READY) ## Walk the tutorial in a fresh clone, and print what each step takes
	@$(BIN)/python -m tests.documents.walk

links: $(READY) ## Ask every link of the documentation to another host whether it is there
	@$(BIN)/python -m docs.building.links --ask

clean: ## Remove what was installed and cached here
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
