# Everything a newcomer needs. Each target sets up what it needs; `make help` explains them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without bytecode every start recompiles torch.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode -p $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@

.PHONY: install
install: $(VENV)/installed ## make .venv with vadbench and everything to develop it

.PHONY: demo
demo: install ## run FUVAS on the embedded synthetic dataset: no download, about a minute
	$(BIN)/python -m vadbench experiment=quickstart

.PHONY: test
test: install lint ## lint, types and the default tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not bench"

.PHONY: test-all
test-all: install lint ## all tests, the long ones too
	$(BIN)/python -m pytest -m "not bench"

.PHONY: golden
golden: install ## tests/golden.json, for parts that are new or whose result version was raised
	$(BIN)/python -m tests.golden

.PHONY: coverage
coverage: install ## the default tests, and which lines of the package they reach
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not bench" --cov --cov-report=term:skip-covered

# The oldest Python that is there; the lowest versions that pyproject.toml allows.
LOWEST := .venv-lowest
LOWEST_PYTHON ?= $(firstword $(foreach v,3.10 3.11 3.12 3.13,$(if $(shell python$(v) -V 2>/dev/null),python$(v))) $(PYTHON))

.PHONY: test-lowest
test-lowest: install ## the default tests with the lowest allowed versions on the oldest Python that is there
	$(BIN)/uv venv --quiet --clear --python "$$(command -v $(LOWEST_PYTHON))" $(LOWEST)
	$(BIN)/uv pip install --quiet --resolution lowest-direct -p $(LOWEST)/bin/python -e '.[dev]'
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadgroup -m "not slow and not bench"

# Such as 'vadbench.store.entry*'; all core modules (pyproject.toml, tool.mutmut) take hours.
MODULES ?=

.PHONY: mutation
mutation: install ## which changes of the core modules no test notices (MODULES='vadbench.store.entry*': of these)
	$(BIN)/uv pip install --quiet -p $(BIN)/python -c constraints.txt -e '.[mutation]'
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2 $(if $(MODULES),'$(MODULES)')
	$(BIN)/mutmut results

.PHONY: bench
bench: install ## the tests that compare times, and what FUVAS costs here (PEER=PYTHON: beside anomalib); quiet machine
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m bench
	$(BIN)/python -m vadbench bench $(if $(PEER),--peer $(PEER))

.PHONY: lint
lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: docs
docs: install ## write the pages of docs/ that follow from files
	$(BIN)/python -m scripts.write_docs

.PHONY: ui
ui: install ## open MLflow on the runs in results/tracking (http://127.0.0.1:5000)
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --workers 1 --backend-store-uri sqlite:///results/tracking/mlflow.db

.PHONY: clean
clean: ## remove .venv and caches; results stay
	rm -rf $(VENV) $(LOWEST) mutants build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage*
