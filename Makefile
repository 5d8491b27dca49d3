# `make demo` and `make test` do their own set-up; nothing else is needed before either.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# On Linux, `make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu` fetches the small CPU build of torch.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: demo run test test-survival lint format bench clean

demo: $(VENV)/.installed
	$(BIN)/qsep-live demo -o vocals.wav

run: $(VENV)/.installed
	$(BIN)/qsep-live --preset vocals

# Each room in a process of its own: what torch, OpenVINO and hosted plugins leave behind in one process has ended later
# rooms in a segmentation fault. Those that hear real time have the machine to themselves, the others share it.
TIMED := audio control engine live
QUIET := $(filter-out $(TIMED),$(notdir $(patsubst %/,%,$(sort $(dir $(wildcard tests/*/test_*.py))))))

test: $(VENV)/.installed-dev
	sh scripts/system-packages.sh --tests
	$(MAKE) --jobs=2 --output-sync=target $(QUIET:%=test-%)
	$(MAKE) $(TIMED:%=test-%)

$(QUIET:%=test-%): export OMP_NUM_THREADS = 1
test-%: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/$* --ignore=tests/live/test_survival.py

# Minutes of killed, stopped and suspended processes (docs/reliability.md).
test-survival: $(VENV)/.installed-dev
	sh scripts/system-packages.sh --tests
	$(BIN)/python -m pytest tests/live/test_survival.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.installed-dev
	for what in mask callback startup memory; do $(BIN)/qsep-live bench $$what || exit 1; done

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "qsep-live needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q python3-venv; } || \
		{ echo "python3-venv is missing: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first: whatever needs it later finds the pinned one.
$(VENV)/.torch: $(VENV)/.made constraints.txt
	$(PIP) torch
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	sh scripts/system-packages.sh
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml
	$(PIP) --editable '.[dev,train,evaluate,compose,htdemucs]'
	@touch $@

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache vocals.wav
