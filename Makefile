# Everything a fresh machine needs: python3 with venv, and make.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.ready
# Two processes, each with whole files: half of the time is waiting for browsers and processes.
# In the order of the files: by default those with few tests come last, and some of them are long.
PYTEST := $(BIN)/pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

KERNELS := src/convscope/kernels

.PHONY: demo test check fast format clean

demo: $(SETUP)           ## train LeNet-5 on the embedded digits and say where the report lies
	$(BIN)/convscope train lenet5-augmented --data mnist-sample

test: $(SETUP)           ## format, lint, types, all tests
	$(MAKE) --no-print-directory check
	$(PYTEST)

check: $(SETUP)          ## format, lint and strict types (the page's, too): before a commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	if [ -d node_modules ]; then npm run --silent check; else echo "the page is not checked: npm ci"; fi

fast: $(SETUP)           ## the tests that take no more than a few seconds each
	$(PYTEST) -m "not slow"

format: $(SETUP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(SETUP): pyproject.toml constraints.txt hatch_build.py | $(KERNELS)/.compiled
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[sample,lab,onnx,serve,tune,track,dev]"
	touch $(SETUP)

# Changed sources are compiled again; without a compiler, everything works without the kernels.
$(KERNELS)/.compiled: $(wildcard $(KERNELS)/*.c $(KERNELS)/*.h) $(KERNELS)/build.py
	-$(PYTHON) $(KERNELS)/build.py
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
