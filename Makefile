# Targets: demo, test, lab, lint, notebooks, clean. FAISS=cpu installs faiss-cpu instead of faiss-gpu and its CUDA libraries.
PYTHON ?= python3
FAISS ?= gpu
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m workbench.cli
NBVAL := --nbval-current-env --nbval-cell-timeout=120 -p no:cacheprovider -n 2 --dist loadfile

.PHONY: demo test unit slow-test notebooks-test browser-test lab lint notebooks clean

demo: $(VENV)/runtime-$(FAISS)
	$(RUN) demo

lab: $(VENV)/runtime-$(FAISS)
	$(RUN) lab

test: unit slow-test notebooks-test browser-test

unit: $(VENV)/test-$(FAISS)
	$(BIN)/python -m pytest -n 2 -m "not browser and not slow" tests

slow-test: $(VENV)/test-$(FAISS)
	$(BIN)/python -m pytest -n 2 -m slow tests

notebooks-test: $(VENV)/test-$(FAISS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval-lax $(NBVAL) notebooks --ignore=notebooks/regression
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval $(NBVAL) notebooks/regression

browser-test: $(VENV)/test-$(FAISS)
	$(BIN)/python -m pytest -m browser -rs tests

lint: $(VENV)/dev-$(FAISS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# Teaching notebooks are stored without outputs, regression notebooks with the outputs that the tests compare.
notebooks: $(VENV)/dev-$(FAISS)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace notebooks/regression/*.ipynb
	$(BIN)/jupyter nbconvert --to notebook --inplace --coalesce-streams notebooks/regression/*.ipynb
	$(BIN)/nbstripout --keep-output --keep-count --extra-keys metadata.language_info notebooks/regression/*.ipynb
	$(BIN)/nbstripout --extra-keys metadata.language_info notebooks/*.ipynb

# Print the requirements of the project and of the given extras; with FAISS=cpu, faiss-cpu replaces faiss-gpu.
define REQUIREMENTS
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
faiss, *extras = sys.argv[1:]
wanted = project["dependencies"] + [r for extra in extras for r in project["optional-dependencies"][extra]]
cpu = [r for r in wanted if not r.startswith(("faiss-gpu", "hypersphere-workbench"))]
print("\n".join(cpu if faiss == "cpu" else [r for r in wanted if not r.startswith("hypersphere-workbench")]))
if faiss == "cpu":
    print("faiss-cpu>=1.12")
endef
export REQUIREMENTS

# One stamp file per set of extras; it is rebuilt when pyproject.toml or constraints.txt changes.
$(VENV)/runtime-$(FAISS): EXTRAS :=
$(VENV)/test-$(FAISS): EXTRAS := test
$(VENV)/dev-$(FAISS): EXTRAS := test dev
$(VENV)/runtime-$(FAISS) $(VENV)/test-$(FAISS) $(VENV)/dev-$(FAISS): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "$$REQUIREMENTS" $(FAISS) $(EXTRAS) > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools
	$(BIN)/python -m pip install --progress-bar off -c constraints.txt -r $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
