# 'make bench' and 'make test' are all that anyone needs on a machine with Python 3.11 and make.
PYTHON ?= python3.11
BIN := .venv/bin

# The models that train in seconds; without --model, all of them are run.
QUICK := mean text-only late-fusion qa-moe qa-moe-plus

.PHONY: bench test benchmark format clean
.DEFAULT_GOAL := bench

# One environment for both; made again when the dependencies or their pins change.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

bench: .venv/installed
	$(BIN)/qamoe-bench run --protocol random-missing $(QUICK:%=--model %)

test: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest

# Speed and memory, printed and not judged: compare two versions in one session.
benchmark: .venv/installed
	$(BIN)/python tests/benchmarks/bench_corruption.py
	$(BIN)/python tests/benchmarks/bench_large.py
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/bench_report.py

format: .venv/installed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache
