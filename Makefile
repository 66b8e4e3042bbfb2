# install · demo · test · bench · check-gpu · lint · lock · clean. All set-up is done by the first two commands that need it.
PYTHON ?= python3
BIN := .venv/bin
PRESETS := config/config.yaml config/demo.yaml
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A run starts thousands of short processes, half of whose time would go into compiling what they import.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install demo test bench check-gpu lint format lock clean

install: .venv/installed

# No dependency resolution: the lock has everything. Only torch is asked for what it needs besides: where pip finds its
# CUDA build, that comes with NVIDIA's libraries. Compiled on all cores, which pip does on one; some files are templates.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --no-compile -r requirements.lock
	$(BIN)/pip install --quiet --no-compile --constraint requirements.lock torch
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	touch $@

# The file lock dies with the processes that hold it, so a killed demo starts again without --unlock (they may take
# some seconds to die).
demo: install
	@mkdir -p .snakemake
	flock --verbose --timeout 20 .snakemake/demo.lock \
		$(BIN)/snakemake --nolock --profile profiles/demo --configfile $(PRESETS)
	@echo "The report: results/report.html"

# Files in their order: the long ones (dag, e2e, slurm) begin first.
test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

bench: install
	$(BIN)/python tests/bench --write docs/benchmarks.md

# What this machine's GPU does with the paper's network, in some minutes; without one, a small twin on the CPU.
check-gpu: install
	$(BIN)/python tests/bench --only gpu

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint --configfile $(PRESETS)

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

lock: install
	$(BIN)/python envs/write_lock.py

clean:
	rm -rf results logs benchmarks .snakemake
