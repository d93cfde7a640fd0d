# Two commands on a fresh machine: `make demo` and `make test`. All that is needed is Python 3.11 with pip and venv.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TEXTS  := specs/*.arch specs/ablations/*.arch search/*.search
PHOTO  := docs/images/grace_hopper.jpg
FOUND  := demo-out/tiny_cpu
JOBS   ?= 2

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-gpu check fmt docs digests bench bench-space bench-kernels clean

help:
	@echo "make demo      build Mamba-R, run it on a photograph, then a search of about a minute"
	@echo "make test      the quick tests (5 minutes on 2 cores)"
	@echo "make test-all  every test, the slow ones too"
	@echo "make test-gpu  what needs a CUDA device"
	@echo "make check     linter, types, specs, searches"
	@echo "make fmt       format code, specs and searches"
	@echo "make docs      write the pages that come from the code"
	@echo "make digests   write the digests of the shipped architectures, behind a new version"
	@echo "make bench     measure checks, what searches cost, and a search against random (15 minutes)"
	@echo "make bench-kernels  measure scans, models and training beside others (half an hour, one core)"
	@echo "make clean     remove the environment and what was built"

# The environment: exact versions, installed once; no network afterwards.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "archdsl needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (once; downloads about 2 GB, most of it PyTorch)"
	@$(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --progress-bar off -e '.[dev,digits,ray]' 2>&1 \
	  | tee $(VENV)/install.log \
	  | awk '/^ +(Downloading|Using cached)/ || /^Installing/ { sub(/:.*/, ""); print; fflush() }' \
	  || { tail -n 20 $(VENV)/install.log; exit 1; }
	@touch $@

demo: $(READY)
	$(BIN)/archdsl check specs/*.arch
	$(BIN)/archdsl cost specs/hybrid.arch
	$(BIN)/archdsl build specs/mamba_r.arch --input $(PHOTO)
	@rm -rf $(FOUND)
	$(BIN)/archdsl search search/tiny_cpu.search --out $(FOUND)
	$(BIN)/archdsl build $(FOUND)/winner.arch

# One thread for each of the processes that share the cores, and none that waits by spinning.
test test-all: export OMP_NUM_THREADS ?= 1
test test-all: export OMP_WAIT_POLICY ?= PASSIVE

test: $(READY)
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow"

test-all: $(READY)
	@$(BIN)/python -m pytest -n $(JOBS)

test-gpu: $(READY)
	@$(BIN)/python -m pytest -m gpu tests/gpu

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/archdsl check $(TEXTS)
	@$(BIN)/archdsl fmt --check $(TEXTS)

fmt: $(READY)
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .
	@$(BIN)/archdsl fmt $(TEXTS)

docs: $(READY)
	@$(BIN)/python -m archdsl.diagnostics.reference > docs/codes.md
	@$(BIN)/python -m archdsl.ops._reference > docs/operators.md
	@$(BIN)/python -m archdsl.graph.views.families > docs/families.md
	@$(BIN)/archdsl show hybrid --svg docs/images/hybrid.svg
	@$(BIN)/python -m archdsl.cli.bench.page docs/performance.md

digests: $(READY)
	@$(BIN)/python tests/shipped_digests.py

bench: $(READY)
	@$(BIN)/archdsl bench check --out docs/results/check.json
	@$(BIN)/archdsl bench search --out docs/results/search_overhead.json
	@$(BIN)/archdsl bench sampler search/tiny_cpu.search --out docs/results/search_against_random.json \
	  --svg docs/images/search_against_random.svg

# NePS wants packages older than the constraints allow, so the tools beside ours have a folder of their own.
bench-space: export OMP_NUM_THREADS := 1
bench-space:
	@$(PYTHON) -m venv $(VENV)-space
	@$(VENV)-space/bin/python -m pip install --quiet torch==2.11.0 torchvision==0.26.0 -e '.[bench-space]'
	@$(VENV)-space/bin/archdsl bench space --out docs/results/space_cpu.json

# One thread, on a machine with nothing else to do; a run that was broken off goes on.
bench-kernels: export OMP_NUM_THREADS := 1
bench-kernels: $(READY)
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet -e '.[bench]'
	@$(BIN)/archdsl bench ops --fetch --out docs/results/scan_cpu.json --svg docs/images/scan_cpu.svg
	@$(BIN)/archdsl bench models --out docs/results/models_cpu.json --svg docs/images/models_cpu.svg
	@$(BIN)/archdsl bench train --out docs/results/train_cpu.json --svg docs/images/train_cpu.svg
	@$(BIN)/archdsl bench blocks --table $(VENV)/block_times.json --check 50 \
	  --out docs/results/latency_cpu.json --svg docs/images/latency_cpu.svg
	@$(MAKE) --no-print-directory docs

clean:
	rm -rf $(VENV) $(VENV)-space build dist demo-out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
