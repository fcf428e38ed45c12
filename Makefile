# The two commands of the README: `make run` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install run test test-newest test-oldest mutants lint audit dist docs linkcheck format clean
.DEFAULT_GOAL := run

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

run: install
	$(BIN)/xtalshift run --minutes 1 --out runs/ricci_seebeck

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell src tests docs benchmarks examples README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md

test: lint
	$(BIN)/pytest -m "not long" -n auto --dist loadfile

# The newest versions of all requirements, and the lowest ones that pyproject.toml admits, each in an
# environment of its own. PyTorch stays at the pinned version: other builds are gigabytes.
test-newest test-oldest: test-%: .venv-%/.installed
	.venv-$*/bin/pytest -m "not long" -n auto --dist loadfile

.venv-newest/.installed .venv-oldest/.installed: .venv-%/.installed: pyproject.toml tools/lowest_versions.py
	$(PYTHON) -m venv --clear .venv-$*
	grep '^torch==' constraints.txt > .venv-$*/constraints.txt
	test $* = newest || $(PYTHON) tools/lowest_versions.py >> .venv-$*/constraints.txt
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --prefer-binary \
		-c .venv-$*/constraints.txt -e ".[test]"
	touch $@

# Can the tests fail? Changes the source 300 times and lists the changes that no test notices.
mutants: install
	$(BIN)/python tools/mutation_run.py

# The licence of every package that an installation depends on, then known vulnerabilities; a package
# that cannot be looked up is an error. Local versions of PyTorch (+cpu) are those of the index.
audit: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit pip-licenses
	$(BIN)/pip-licenses --from=mixed --order=license --with-urls
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' > $(VENV)/audited.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r $(VENV)/audited.txt

# The wheel and the source archive, in dist/: what they contain, their description, and whether the wheel
# predicts where nothing else of this folder is.
dist: install .venv-dist/.installed
	rm -rf dist
	.venv-dist/bin/python -m build
	.venv-dist/bin/twine check --strict dist/*
	.venv-dist/bin/check-wheel-contents dist/*.whl
	$(BIN)/python tools/check_wheel.py dist

.venv-dist/.installed: constraints.txt
	$(PYTHON) -m venv --clear .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		build check-wheel-contents twine
	touch $@

# The documentation, in docs/_build/html. Everything that is odd is an error: a broken link, a name that does
# not exist, a page that loads from a foreign host. A second build takes seconds. Then the list of versions.
docs: install
	$(BIN)/python -m sphinx -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	$(BIN)/python tools/docs_versions.py docs/_build

# Do the links to other sites still work? Needs a network.
linkcheck: install
	$(BIN)/python -m sphinx -W --keep-going -b linkcheck -d docs/_build/doctrees docs docs/_build/linkcheck

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-newest .venv-oldest .venv-dist runs build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
