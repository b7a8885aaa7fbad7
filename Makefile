# Thin on purpose: every target is one command that also works by hand. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: accelerators help setup demo test check format bench data ui serve loadtest clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"found Python {v[0]}.{v[1]}; expected 3.11 or 3.12; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

setup: $(READY) ## Create .venv from requirements.lock

accelerators: $(READY) $(VENV)/.accelerators .venv-triton/.ready ## Add TensorRT and a real Triton server (0.2 GB to fetch)

$(VENV)/.accelerators: requirements-accelerators.lock $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements-accelerators.lock
	@touch $@

# Triton's Python backend needs numpy 1, everything else here numpy 2.
.venv-triton/.ready: requirements-triton.lock $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-triton
	$(BIN)/uv pip install --quiet --python .venv-triton/bin/python -r requirements-triton.lock
	@touch $@

demo: $(READY) ## Drive the whole loop on real loans (ARGS="--keep" leaves it up)
	$(BIN)/modelway demo $(ARGS)

test: $(READY) ## Run every test this machine can run
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY) ## Lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Format and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Print every benchmark's table
	@for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

data: $(READY) ## Fetch all 899,164 loans (54 MB, pinned by sha256)
	$(BIN)/modelway data fetch credit

ui: $(READY) ## Prefect, MLflow and the reports in the browser
	$(BIN)/modelway ui

serve: $(READY) ## Serve the champion behind the local gateway
	$(BIN)/modelway serve credit

loadtest: $(READY) ## Hold the running gateway against its SLO
	$(BIN)/modelway loadtest run $(ARGS)

clean: ## Remove the state of this checkout (not .venv)
	rm -rf .modelway .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
