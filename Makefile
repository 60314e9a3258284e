# make demo   a night, an accident and a restore, in a real Airflow    make ui   the same, and stay
# make test   the test suite        make lint   ruff and mypy                make lock renew the pinned versions
# make bench  how fast it is, beside other tools (BENCH=quick: in minutes)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo ui test bench lint format lock clean

help:
	@grep -h '^[a-z]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): requirements.lock setup.cfg
	@test ! -L $(VENV) || { echo "$(VENV) is a link: what it leads to is another's, and is not set up anew"; exit 1; }
	@echo "Setting up $(VENV) (once; about half a minute with a warm package cache) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## a night, an accident and a restore of a sample Harbor, in a real Airflow
	@$(BIN)/python -m tests.demo

ui: $(READY) ## the same, then leave Airflow's UI and the sample Harbor running until Ctrl-C
	@$(BIN)/python -m tests.demo --stay

test: $(READY) ## run the test suite on all cores (PYTEST_ARGS="-k name" for a part of it)
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

bench: $(READY) ## measure beside other tools (BENCH=quick for minutes; BENCH_ARGS="w1 --rtt 0")
	@$(BIN)/python -m tests.bench $(if $(filter quick,$(BENCH)),--quick) $(BENCH_ARGS)

lint: $(READY) ## ruff (with the import rule) and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY) ## let ruff format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: $(READY) ## renew requirements.lock from requirements.in
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --universal --no-header --no-annotate --python-version 3.10 \
		--upgrade requirements.in --output-file requirements.lock

clean: ## remove the virtual environment and what demo left
	@rm -rf $(VENV) .demo
