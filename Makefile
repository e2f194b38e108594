# make demo   all steps on a synthetic corpus, offline
# make test   the test suite; make test-all also its slow tests
# Both set up .venv first. requirements.txt lists every package, so pip has nothing to resolve. Installing and compiling
# take two minutes each on one core, so two processes share them. First imports (numba's part of librosa) are compiled too.
# With another interpreter: make PYTHON=/path/to/python3.12 demo

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3 python,$(shell $(name) -c \
	'import sys; sys.version_info[:2] in ((3, 11), (3, 12)) and print("$(name)")' 2>/dev/null)))
BIN := .venv/bin
QUIETLY := --quiet --disable-pip-version-check
DEMO := out/demo

.PHONY: setup demo test test-all lint bench fuzz kill-jobs compare pins clean

setup: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 on PATH (TensorFlow 2.16 runs on no later one);" \
		"install one, or say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) has no venv module;" \
		"on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	@echo "installing the packages of requirements.txt into .venv; the first time this takes minutes"
	@awk '{ print > ".venv/pins-" NR % 4 }' requirements.txt
	@printf '%s\n' .venv/pins-* | xargs -P 2 -n 1 $(BIN)/python -m pip install $(QUIETLY) --no-deps --no-compile -r
	@$(BIN)/python -c 'import librosa.util' & $(BIN)/python -m compileall -q -j 2 -x '/tests?/' .venv/lib >/dev/null 2>&1; wait
	$(BIN)/python -m pip install $(QUIETLY) --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/python -m pipelines.demo --output_dir=$(DEMO)

test: setup
	$(BIN)/python -m pytest -n 2

test-all: setup
	$(BIN)/python -m pytest -n 2 --slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

kill-jobs: setup
	$(BIN)/python -m tests.kill_jobs

compare: setup
	@test -n "$(BASE)" || { echo "error: no revision to compare with; say make compare BASE=main" >&2; exit 2; }
	$(BIN)/python -m tests.compare_revisions $(BASE)

bench: setup
	$(BIN)/python -m tests.bench

fuzz: setup
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.hostile_inputs

PINNED_EXTRAS := av demo ears images listen onnx tfds test
PINS_HEADER := \# Exact pins of the extras that the Makefile lists; `make pins` resolves them anew. Install with --no-deps.

# Resolved for all environments of [tool.uv] in pyproject.toml together. uv repeats these conditions at each package;
# what they have in common is removed again, so that only differences between the versions of Python remain. Pins that
# are valid stay; delete a line of requirements.txt to have that package resolved anew. resemblyzer is listed without its
# dependencies, which pip does not install either.
pins:
	cp requirements.txt requirements.new
	uv pip compile --quiet --universal --python-version 3.11 $(PINNED_EXTRAS:%=--extra %) --no-annotate --no-header \
		pyproject.toml -o requirements.new
	{ echo '$(PINS_HEADER)'; sed -E -e "s/ and platform_machine == 'x86_64' and sys_platform == 'linux'$$//" \
		-e "s/ ; python_full_version < '3.13'( and .*)?$$//" \
		-e "s/python_full_version ([<>=]+) '(3\.[0-9]+)'/python_version \1 \"\2\"/" requirements.new; \
		echo 'resemblyzer==0.1.4'; } > requirements.txt
	rm requirements.new

clean:
	rm -rf .venv out build *.egg-info .pytest_cache .ruff_cache
