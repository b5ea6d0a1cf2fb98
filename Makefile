# The two commands that a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint clean

demo: .venv/demo
	rm -f demo.db
	$(BIN)/optuna-layerwise tune --data digits --threads 1 --storage sqlite:///demo.db

test: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/demo: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/test: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/demo

.venv/bin/pip:
	$(PYTHON) -m venv --clear .venv

clean:
	rm -rf .venv
