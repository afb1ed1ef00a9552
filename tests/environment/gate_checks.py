# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates that read the sources: style, types, documentation, changelog; and the tests that pytest runs."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import collection_root
import virtualenvs
from cache import CHECKOUT, cache_folder
from gate_runner import GateFailure, Workplace, usable_cores
from run import variables

_PACKAGE = "ansible_collections.lifeboat.recovery.plugins"
# The tests of what uses Ansible, which ansible-test runs.
TESTS_OF_ANSIBLE = ("tests/unit/plugins/modules/", "tests/unit/plugins/module_utils/_bridge/")
_PYTEST_SUMMARY = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [0-9.]+s.*$", re.MULTILINE)


def development() -> Path:
    """Return the development environment, which the caller made before any gate ran."""
    return virtualenvs.ensure(virtualenvs.DEVELOPMENT)


def linked_variables() -> dict[str, str]:
    """Return the variables of commands that run on the checkout itself."""
    return variables(development(), collection_root.linked())


def style(place: Workplace) -> str:
    """ruff finds nothing, and would format nothing."""
    ruff = development() / "bin" / "ruff"
    place.run(ruff, "check", ".")
    place.run(ruff, "format", "--check", ".")
    return ""


def types(place: Workplace) -> str:
    """mypy --strict on the engine and on this tooling; everything else is annotated and checked."""
    root = collection_root.linked()
    mypy = [development() / "bin" / "mypy", "--config-file", CHECKOUT / ".mypy.ini"]
    mypy += ["--cache-dir", cache_folder() / "mypy", "--explicit-package-bases"]
    env = {**linked_variables(), "MYPYPATH": str(root)}
    place.run(*mypy, "--strict", "-p", f"{_PACKAGE}.module_utils._engine", cwd=root, env=env)
    place.run(*mypy, "-p", f"{_PACKAGE}.module_utils._bridge", "-p", f"{_PACKAGE}.modules", cwd=root, env=env)
    tooling = CHECKOUT / "tests" / "environment"
    env["MYPYPATH"] = str(tooling)
    place.run(*mypy, "--strict", *sorted(tooling.glob("*.py")), cwd=tooling, env=env)
    return ""


def lint(place: Workplace) -> str:
    """ansible-lint finds nothing with its strictest profile, without the network."""
    collection = collection_root.copied(place.scratch)
    env = variables(development(), place.scratch)
    said = place.run("ansible-lint", "--offline", "--profile", "production", "--strict", cwd=collection, env=env)
    return _last_match(r"on (\d+ files)", said)


def docs(place: Workplace) -> str:
    """The documentation of modules and roles is complete, and its references lead somewhere."""
    collection = collection_root.copied(place.scratch)
    options = ["--plugin-docs", "--validate-collection-refs=self", "--check-extra-docs-refs"]
    env = variables(development(), place.scratch)
    place.run("antsibull-docs", "lint-collection-docs", *options, ".", cwd=collection, env=env)
    return f"{len(list((collection / 'plugins' / 'modules').glob('*.py')))} modules"


def site(place: Workplace) -> str:
    """The documentation site builds without a warning: every link and heading of the guides is there."""
    script = CHECKOUT / "tests" / "environment" / "docs_site.py"
    said = place.run(development() / "bin" / "python", script, place.scratch / "site", env=linked_variables())
    return said.strip().splitlines()[-1]


def rules(place: Workplace) -> str:
    """The rules for Prometheus are valid and alarm when they should; promtool is of the Debian package prometheus."""
    place.run("promtool", "check", "rules", CHECKOUT / "extensions" / "prometheus" / "lifeboat.rules.yml")
    place.run("promtool", "test", "rules", *sorted((CHECKOUT / "tests" / "prometheus").glob("*.test.yml")))
    return ""


def changelog(place: Workplace) -> str:
    """The changelog is valid, was rendered, and names every module."""
    collection = collection_root.copied(place.scratch)
    place.run("antsibull-changelog", "lint", cwd=collection, env=variables(development(), place.scratch))
    rendered = (collection / "CHANGELOG.md").read_text(encoding="utf-8").replace("\\", "")
    modules = [path.stem for path in sorted((collection / "plugins" / "modules").glob("*.py"))]
    missing = [name for name in modules if f"lifeboat.recovery.{name} " not in rendered]
    if missing:
        raise GateFailure(f"CHANGELOG.md does not name {', '.join(missing)}: run make changelog")
    return ""


def unit(place: Workplace) -> str:
    """The unit tests pass: no server, no network. Those of what uses Ansible run in the gate `units`."""
    # Every worker collects all tests for itself, which costs as much as a tenth of them; other gates use other cores.
    return run_pytest(place, "tests/unit", *(f"--ignore={folder}" for folder in TESTS_OF_ANSIBLE))


def tooling(place: Workplace) -> str:
    """What sets up servers and runs gates does so: it is tested too."""
    return run_pytest(place, "tests/tooling")


def functional(place: Workplace) -> str:
    """The tests on real PostgreSQL and MinIO servers pass."""
    # Each waits for servers a third of its time, and other gates want half of the cores.
    workers = max(2, min(6, usable_cores() * 3 // 4))
    return run_pytest(place, "tests/functional", "-n", str(workers), "--dist", "loadscope")


def run_pytest(place: Workplace, *words: str, env: t.Mapping[str, str] | None = None) -> str:
    """Run pytest on the checkout and return its counts; no test at all is a failure, as pytest itself has it."""
    options = ["-q", "-ra", "--durations", "25", "--basetemp", place.scratch / "t"]
    said = place.run("pytest", *words, *options, env={**linked_variables(), **(env or {})})
    return _last_match(_PYTEST_SUMMARY, said)


def _last_match(pattern: str | re.Pattern[str], text: str) -> str:
    found = re.findall(pattern, text)
    return str(found[-1]) if found else ""
