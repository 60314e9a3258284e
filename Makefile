# make demo   a night, an accident and a restore, in a real Airflow    make ui   the same, and stay
# make test   the test suite (about 8 minutes on two cores)            make lint ruff and mypy
# make bench  how fast it is, beside other tools (BENCH=quick: in minutes)
# make docs   write docs/reference.md anew                             make lock renew the pinned versions
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo ui test bench lint format docs lock clean

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

ui: $(READY) ## the same and a night to mend; Airflow's UI and the sample Harbor stay until Ctrl-C
	@$(BIN)/python -m tests.demo --stay

test: $(READY) ## run the test suite on all cores, about 8 minutes on two (PYTEST_ARGS="-k name": a part)
	@echo "$(if $(PYTEST_ARGS),A part of the test suite.,The whole test suite takes about 8 minutes on two cores.)"
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

docs: $(READY) ## write docs/reference.md anew, from the docstrings
	@$(BIN)/python -m tests.reference

lock: $(READY) ## renew requirements.lock from requirements.in
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --universal --no-header --no-annotate --python-version 3.10 \
		--upgrade requirements.in --output-file requirements.lock

clean: ## remove the virtual environment and what demo left
	@rm -rf $(VENV) .demo
