# The two commands that a fresh machine needs: `make demo` and `make test`, which takes five minutes on
# two cores. `make test-all` adds the tests marked slow: sweeps over all networks, databases and
# commands, kills, browsers, notebooks. `make test-oldest` tests what touches Optuna on the oldest
# release that is supported; all else is that of `make test`. `make docs` builds the site in build/site.
PYTHON ?= python3
BIN = .venv/bin
# Bytecode is written whatever the environment says: processes that tests start begin sooner.
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
OLDEST = $(subst $(BIN),.venv-oldest/bin,$(PYTEST))

.PHONY: demo test test-slow test-all test-oldest lint docs clean

demo: .venv/demo
	rm -f demo.db
	$(BIN)/optuna-layerwise tune --data digits --threads 1 --storage sqlite:///demo.db

test: .venv/test
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-slow: .venv/test
	$(PYTEST) -m slow $(PYTEST_ARGS)

test-all: test test-slow

test-oldest: .venv-oldest/test
	$(OLDEST) -m "not slow" tests/samplers tests/studies tests/reporting hub
	$(OLDEST) tests/storage

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python docs/site.py

.venv/demo: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/test: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/demo

.venv-oldest/test: .venv/test
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --no-deps 'optuna==4.7.*'
	other=$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])'); \
	  own=$$(.venv-oldest/bin/python -c 'import site; print(site.getsitepackages()[0])'); \
	  echo "import site; site.addsitedir('$$other')" > "$$own/others.pth"
	touch $@

.venv/bin/pip:
	$(PYTHON) -m venv --clear .venv

clean:
	rm -rf .venv .venv-oldest
