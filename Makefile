# On a machine with Python 3.11 and make, 'make bench' and 'make test' need no other setup.
PYTHON ?= python3.11
BIN := .venv/bin

# Reference results: the group @paper with three seeds, and the variants that the figures need.
REFERENCE := results/reference
ABLATIONS := qa-moe:-quality-gate qa-moe:feature-nll
EXPERTS := qa-moe:k=1 qa-moe:k=2 qa-moe:k=8
# Results that are checked against it: the group @paper on sentiment and the quick models on emotions, one seed.
GATE := build/gate
EMOTION := results/reference-emotion
EMOTION_RUN := --protocol random-missing --seeds 1111 --data synthetic-emotion --model @quick

# The models of that group that train for longest are begun first, so that no core is left waiting for the last of them.
SLOWEST := c-mib sam-lml

# Tests start many processes, which would each compile the package again where the environment forbids to keep bytecode.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: bench test types pytest shapes check reference figures docs benchmark benchmark-peers fuzz soak format clean
.DEFAULT_GOAL := bench

# One environment for all targets, rebuilt when the dependencies or their pins change.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# The group of models that train in seconds; without --model, those of the group @paper are run.
bench: .venv/installed
	$(BIN)/qamoe-bench run --protocol random-missing --model @quick

test: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(MAKE) --jobs 2 types pytest

# Checking types takes a minute and a half on one core, next to the tests.
types: .venv/installed
	$(BIN)/mypy

pytest: .venv/installed
	$(BIN)/pytest

# The tests with shapes and types of every annotation checked at run time, which takes twice as long.
shapes: .venv/installed
	$(BIN)/pytest --jaxtyping-packages=qamoe_bench,qamoe_baselines,typechecker.check

# Check that no model is worse than in the reference; trains each with one seed unless it is stored already. It is apart
# from the tests because training takes minutes that no change of words or of a report needs; CI runs both. On a busy
# machine, the time of a model relative to the control was seen to differ by a factor of 2.3 from that on a quiet one.
check: .venv/installed
	$(BIN)/qamoe-bench run --protocol random-missing --seeds 1111 $(SLOWEST:%=--model %) --model @paper \
		--results $(GATE) > /dev/null
	$(BIN)/qamoe-bench run $(EMOTION_RUN) --results $(GATE) > /dev/null
	$(BIN)/qamoe-bench check --reference $(REFERENCE) --seeds 1111 --protocol random-missing --model @paper \
		--slowdown 3 --results $(GATE)
	$(BIN)/qamoe-bench check --reference $(EMOTION) --slowdown 3 --results $(GATE)

# Recompute the reference after a change that is meant to alter numbers; about twelve minutes on two cores.
reference: .venv/installed
	rm -rf $(REFERENCE)
	$(BIN)/qamoe-bench run --protocol random-missing --results $(REFERENCE)
	$(BIN)/qamoe-bench run --protocol fixed-missing --protocol quality-degradation --results $(REFERENCE)
	$(BIN)/qamoe-bench run --protocol mixed --seeds 1111 --model qa-moe --model sam-lml --results $(REFERENCE)
	$(BIN)/qamoe-bench run --protocol random-missing --protocol quality-degradation $(ABLATIONS:%=--model %) \
		--results $(REFERENCE)
	$(BIN)/qamoe-bench run --protocol random-missing $(EXPERTS:%=--model %) --results $(REFERENCE)
	rm -rf $(EMOTION)
	$(BIN)/qamoe-bench run $(EMOTION_RUN) --results $(EMOTION)
	rm -rf $(REFERENCE)/runs/*/checkpoints $(EMOTION)/runs/*/checkpoints
	OMP_NUM_THREADS=1 $(BIN)/qamoe-bench cost --preset paper --json > $(REFERENCE)/costs-paper.json
	$(MAKE) figures

# The tables and figures of the QA-MoE paper from the reference, next to the published numbers.
figures: .venv/installed
	$(BIN)/python paper_figures

# The documentation as a site, without a request to other hosts; open build/docs/index.html.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .docs/mkdocs.yml

# Print speed and memory; compare two versions in one session.
benchmark: .venv/installed
	$(BIN)/python tests/benchmarks/bench_corruption.py
	$(BIN)/python tests/benchmarks/bench_export.py
	$(BIN)/python tests/benchmarks/bench_large.py
	$(BIN)/python tests/benchmarks/bench_memory.py
	$(BIN)/python tests/benchmarks/bench_sweep.py
	$(BIN)/python tests/benchmarks/bench_experts.py
	$(BIN)/python tests/benchmarks/bench_training.py
	PYTHONPATH=tests/helpers $(BIN)/python tests/benchmarks/bench_report.py
	PYTHONPATH=tests/helpers $(BIN)/python tests/benchmarks/bench_engine.py
	PYTHONPATH=tests/helpers $(BIN)/python tests/benchmarks/bench_growth.py
	PYTHONPATH=tests/helpers $(BIN)/python tests/benchmarks/bench_store.py
	PYTHONPATH=tests/helpers $(BIN)/python tests/benchmarks/bench_page.py

# The same sweep with the MMSA package, which is installed into an environment of its own.
benchmark-peers: .venv-peers/installed
	TQDM_DISABLE=1 .venv-peers/bin/python tests/benchmarks/bench_peers.py

.venv-peers/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mmsa]'
	touch $@

# Feed corrupted files to every reader of data, and of protocols, studies, manifests, cells and bundles: each must be
# read or refused in one line, within limits of time and memory.
FUZZ_SECONDS ?= 600
fuzz: .venv/installed
	PYTHONPATH=tests/helpers $(BIN)/python tests/fuzz/fuzz_readers.py --seconds $(FUZZ_SECONDS)
	PYTHONPATH=tests/helpers $(BIN)/python tests/fuzz/fuzz_documents.py --seconds $(FUZZ_SECONDS)

# Rounds of a small study with random faults (killed and stopped workers and runs, full disks, edited files, ill-mannered
# models, interrupts); ten seconds each.
SOAK_ROUNDS ?= 60
soak: .venv/installed
	PYTHONPATH=tests/helpers $(BIN)/python tests/soak/soak.py --rounds $(SOAK_ROUNDS)

format: .venv/installed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv .venv-peers dist build .mypy_cache .pytest_cache .ruff_cache
