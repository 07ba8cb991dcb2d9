# The two commands are `make demo` and `make test`; `make help` lists the rest. Each sets itself up:
# a virtual environment with pinned wheels, and the system's packages where it may install them.
#
# To use a Python and the packages that you have already:
#   make test PYTHON=/path/to/python VENV=

PYTHON ?= python3
VENV ?= .venv
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

ifeq ($(strip $(VENV)),)
python := $(shell command -v $(PYTHON))
ready :=
else
python := $(abspath $(VENV))/bin/python
ready := $(VENV)/.ready
export PATH := $(abspath $(VENV))/bin:$(PATH)
endif

configure = cmake --preset $(1) $$(command -v ninja >/dev/null && echo -G Ninja) -DPython_EXECUTABLE="$(python)" $(2)
build = cmake --build --preset $(1) --parallel $(JOBS)
# Where Python finds the modules that were built for the examples and the tests.
modules = PYTHONPATH="$$(echo build/$(1)/examples/* build/$(1)/tests/modules build/$(1)/tests/docs build/$(1)/benchmarks/gpu | tr ' ' :)"
# Where an embedded interpreter finds what the Python of this Makefile finds.
embedded = PYTHONHOME="$$("$(python)" -c 'import sys; print(sys.base_prefix)')" \
  PYTHONPATH="$$("$(python)" -c 'import os, sys; print(os.pathsep.join(sys.path[1:]))')"

.DEFAULT_GOAL := help
.PHONY: help setup demo test consumers build-bench bench bench-guard test-gpu bench-gpu sanitize fuzz load ray lint \
  coverage matrix docs release-check format clean

help:  ## This list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

ifneq ($(ready),)
$(ready): requirements.txt requirements-build.txt requirements-dev.txt
	$(PYTHON) -m venv "$(VENV)"
	"$(python)" -m pip install --quiet --disable-pip-version-check \
	  -r requirements.txt -r requirements-build.txt -r requirements-dev.txt
	@touch $@

# What only the measurements or only the site need: a venv gets it on the first such run.
ready_bench := $(VENV)/.ready-bench
ready_docs := $(VENV)/.ready-docs
$(ready_bench) $(ready_docs): $(VENV)/.ready-%: requirements-%.txt $(ready)
	"$(python)" -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
endif

setup: $(ready)  ## Only the set-up: the virtual environment and the system's packages
	@sh tools/system_packages.sh "$(python)"

demo: setup  ## Build and run the examples: C++ works on a photograph that NumPy holds
	@$(call configure,release,-DNDTORCH_BUILD_TESTS=OFF -DNDTORCH_BUILD_BENCHMARKS=OFF)
	@$(call build,release) --target photo any_array embed
	@echo
	@$(embedded) build/release/examples/embed/embed
	@echo
	@$(call modules,release) "$(python)" examples/photo/demo.py build/demo/photo.png
	@echo
	@$(call modules,release) "$(python)" examples/any_array/demo.py

test: setup  ## Build and run all tests
	@$(call configure,dev)
	@$(call build,dev)
	@ctest --preset dev --parallel $(JOBS)
	@$(call modules,dev) "$(python)" -m pytest -q tests/python tests/consumers

consumers: setup  ## All ways to use ndtorch, those too that download gigabytes (PyTorch)
	@NDTORCH_DOWNLOADS=1 "$(python)" -m pytest -q tests/consumers

build-bench: setup $(ready_bench)
	@sh tools/system_packages.sh "$(python)" benchmarks
	@$(call configure,release,-DNDTORCH_BUILD_TESTS=OFF -DNDTORCH_BUILD_BENCHMARKS=ON)
	@$(call build,release) --target benchmarks

bench: build-bench  ## Measure ndtorch beside its peers, and write docs/benchmarks.md
	@"$(python)" benchmarks/run.py build/release/benchmarks build/release/benchmarks/results.json
	@"$(python)" benchmarks/report.py build/release/benchmarks/results.json docs

bench-guard: build-bench  ## Compare the hot paths' instruction counts with the committed ones
	@"$(python)" benchmarks/hot_paths.py $(if $(UPDATE),--update) build/release/benchmarks/hot_paths

test-gpu: setup  ## Build and run the tests' cases for a GPU; fails where there is none
	@PYTHON="$(python)" JOBS="$(JOBS)" sh tools/gpu.sh test

bench-gpu: setup  ## Measure copies to and from a GPU, and write docs/gpu.md
	@PYTHON="$(python)" JOBS="$(JOBS)" sh tools/gpu.sh bench

# How long; the Python side then tries as many examples of each property.
SECONDS ?= 60
fuzz: setup  ## Fuzz every conversion for SECONDS=60, with libFuzzer and Hypothesis
	@sh tools/system_packages.sh "$(python)" fuzz
	@clang=$$(sh tools/clang_with_fuzzer.sh) && test -n "$$clang" || \
	  { echo "make fuzz needs Clang with libFuzzer (Debian: clang, libclang-rt-dev)"; exit 1; }; \
	  $(call configure,fuzz,-DCMAKE_CXX_COMPILER=$$clang)
	@$(call build,fuzz) --target fuzz
	@$(embedded) "$(python)" tests/fuzz/run.py build/fuzz/tests/fuzz/fuzz $(SECONDS) \
	  $(if $(UPDATE),--update)
	@$(call configure,dev)
	@$(call build,dev) --target conversions_module
	@HYPOTHESIS_PROFILE=fuzz HYPOTHESIS_EXAMPLES=$(SECONDS)0 $(call modules,dev) \
	  "$(python)" -m pytest -q tests/python/test_properties.py

ray: setup  ## Workers of Ray read 1 GB of its object store through C++: memory, time, and a plot
	@$(call configure,dev)
	@$(call build,dev) --target shared_points
	@$(call modules,dev) "$(python)" examples/ray/demo.py --mb 1000 --plot docs/ray.svg

load: setup  ## Ten million conversions each way, locks, and a minute of drops without the GIL, with figures
	@$(call configure,dev)
	@$(call build,dev) --target load locks
	@$(embedded) build/dev/tests/load/load
	@$(embedded) build/dev/tests/load/locks a_lock 250000
	@$(embedded) build/dev/tests/load/locks a_join 2000
	@$(embedded) build/dev/tests/load/locks a_server 60
	@$(embedded) build/dev/tests/load/locks a_loop_with_the_gil 60
	@$(embedded) build/dev/tests/load/locks threads_with_the_gil 60

# SHORT=1 leaves out the Python tests, those with extension modules or devices of their own, the ends
# of processes, load, and ThreadSanitizer.
results = --output-junit tests.xml --test-output-size-passed 9999999 --test-output-size-failed 9999999
sanitize: setup  ## All tests under sanitizers; SHORT=1: those of C++ alone, without ThreadSanitizer
	@rm -f build/sanitize/tests.xml build/tsan/tests.xml
	@$(call configure,sanitize,-DNDTORCH_BUILD_EXAMPLES=$(if $(SHORT),OFF,ON))
	@$(call build,sanitize) $(if $(SHORT),--target plain_tests canary)
	-@ctest --preset sanitize --parallel $(JOBS) $(results) $(if $(SHORT),-L 'plain|canary')
ifndef SHORT
	@$(call configure,tsan,-DNDTORCH_BUILD_EXAMPLES=OFF)
	@$(call build,tsan) --target threaded_tests canary
	-@ctest --preset tsan --parallel $(JOBS) $(results)
endif
	@"$(python)" tests/sanitizers/summary.py build/sanitize/tests.xml $(if $(SHORT),,build/tsan/tests.xml)

lint: setup  ## Formatting, compiler warnings, clang-tidy, and what is not C++
	@sh tools/system_packages.sh "$(python)" clang
	@$(call configure,lint) >/dev/null
	@"$(python)" tools/lint.py build/lint --jobs $(JOBS)

coverage: setup  ## Which lines of include/ the tests run; fails where one has neither test nor reason
	@$(call configure,coverage)
	@$(call build,coverage)
	@find build/coverage -name '*.gcda' -delete
	@ctest --preset coverage --parallel $(JOBS)
	@$(call modules,coverage) "$(python)" -m pytest -q tests/python
	@"$(python)" tools/coverage.py build/coverage tests/uncovered.txt

matrix: setup  ## The tests with each version of what is supported; ROWS=name,name for some rows
	@for compiler in $$(sed -n 's/^compiler = //p' tests/matrix/configurations.ini | sort -u); do \
	  sh tools/system_packages.sh "$(python)" $$compiler; done
	@"$(python)" tests/matrix/matrix.py build/matrix --jobs $(JOBS) $(if $(ROWS),--rows $(ROWS)) --write

docs: setup $(ready_docs)  ## Build the documentation site in build/docs/html
	@sh tools/system_packages.sh "$(python)" docs
	@command -v doxygen >/dev/null || { echo "make docs needs Doxygen (Debian: doxygen)"; exit 1; }
	@rm -rf build/docs && mkdir -p build/docs
	@doxygen docs/Doxyfile
	@"$(python)" -m sphinx -q -W --keep-going -b html docs build/docs/html
	@"$(python)" tools/check_site.py build/docs/html

# Everything that is promised, in the order of what fails fastest. TAG is the tag that is to be published.
release-check: setup  ## All that a release has to pass, and its packages in dist/
	@"$(python)" tools/release.py $(TAG)
	@for target in lint test consumers docs sanitize "fuzz SECONDS=900" load coverage matrix; do \
	  $(MAKE) $$target || exit 1; done
	@rm -rf dist && "$(python)" -m build --outdir dist .

format: $(ready)  ## Format the C++ files
	clang-format -i $$(git ls-files -co --exclude-standard '*.h' '*.cpp')

clean:  ## Remove what was built; the virtual environment stays
	rm -rf build
