# A fresh machine needs Python 3.11 or later and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

.PHONY: help install lint type test slow demo app bench table

help:
	@echo "make demo    train, evaluate and predict the pose task on generated data (about 5 minutes)"
	@echo "make app     the page in the browser, with the runs in runs/"
	@echo "make test    lint, types and tests    make slow   the long proofs"
	@echo "make bench   side-by-side benchmarks  make table  parameters and MACs of every backbone"

install: .venv/installed

# The stamp makes the environment a target like any other: made once, remade when its inputs change. pysodmetrics, a test oracle, is
# installed without what it asks for, because that includes opencv-python-headless, which would overwrite opencv-python.
.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -c "import sys; sys.version_info[:2] >= (3, 11) or sys.exit('Python 3.11 or later is needed, found ' + sys.version.split()[0] + '; say make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps pysodmetrics==1.6.2
	$(BIN)/python -m backbone.fast.build
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# What mypy infers where types are joined can depend on the order of a set: one seed gives one answer everywhere.
type: install
	PYTHONHASHSEED=0 $(BIN)/mypy

# Whole files go to one worker, which makes what their tests share once; tests/conftest.py sets the order.
test: lint type
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20

slow: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

demo: install
	rm -rf $(DEMO)
	$(BIN)/python -m tasks.pose.train --out $(DEMO)
	$(BIN)/python -m tasks.pose.evaluate --run $(DEMO)
	$(BIN)/python -m tasks.pose.predict --run $(DEMO) --sample 12 --out $(DEMO)/predictions
	@echo "Pictures: $(DEMO)/pictures (scored), $(DEMO)/predictions (drawn on new pictures), $(DEMO)/curves.png"

app: install
	$(BIN)/python -m app

bench: install
	for name in engine pose salient segmentation reid speaker classification depth interactive panoptic volumes detection detection_inference detection_scoring predict; do $(BIN)/python -m benchmarks.$$name || exit 1; done

table: install
	$(BIN)/python -m backbone.table
