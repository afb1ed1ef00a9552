# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the gates of the project: all of them, those of a group, or those that are named.

python3 tests/environment/gates.py --list
python3 tests/environment/gates.py all --skip molecule
python3 tests/environment/gates.py sanity docs
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import typing as t
from pathlib import Path

import virtualenvs
from cache import SetupError

if t.TYPE_CHECKING:
    from gate_runner import Gate, Workplace

_HERE = Path(__file__).resolve().parent


def _script(name: str, *words: str) -> t.Callable[[Workplace], str]:
    """Return a step that runs one of the set-up scripts."""

    def work(place: Workplace) -> str:
        said = place.run(sys.executable, _HERE / name, *words)
        return said.strip().splitlines()[-1] if said.strip() else ""

    return work


def every_gate() -> list[Gate]:
    """Return all gates in the order in which they start.

    What tells most in little time comes first, and what others wait for. Then the longest: it takes half of the cores,
    and beside it run all others, so that no core waits for the last of a few big ones. The short ones fill the end.
    """
    import gate_ansible_test as ansible_test
    import gate_checks as checks
    import gate_containers
    import gate_demo
    import gate_molecule as hosts
    import gate_package as packages
    from gate_runner import Gate, usable_cores

    half = max(1.0, usable_cores() / 2)
    importer, oldest = virtualenvs.IMPORTER, virtualenvs.OLDEST_CORE
    on_servers = ("minio", "postgresql")
    return [
        Gate("style", "ruff: rules and format", checks.style, "lint"),
        Gate("types", "mypy, strict on the engine", checks.types, "lint"),
        Gate("minio", "a MinIO server to test with", _script("minio_binary.py"), cores=half, is_step=True),
        Gate("postgresql", "PostgreSQL servers to test with", _script("postgres_binaries.py"), is_step=True),
        # One after the other: what Go has built for one need not be built for the next.
        Gate("versitygw", "an S3 server, too", _script("versitygw_binary.py"), "", ("minio",), half, is_step=True),
        Gate("rclone", "rclone to test with", _script("peers.py", "rclone"), "", ("versitygw",), half, is_step=True),
        Gate(
            "functional",
            "tests on real servers",
            checks.functional,
            "functional",
            (*on_servers, "versitygw", "rclone"),
            cores=half,
        ),
        Gate("molecule", "hosts with systemd in containers", hosts.molecule, "molecule", ("minio",), cores=0.75),
        Gate("molecule-all", "all scenarios", hosts.molecule_all, "molecule-all", ("minio",), cores=0.75, is_long=True),
        Gate("unit", "unit tests of what does not use Ansible", checks.unit, "unit"),
        Gate("sanity", "ansible-test sanity", ansible_test.sanity, "sanity"),
        Gate("containers", "PostgreSQL in containers", gate_containers.containers, "molecule", cores=0.75),
        Gate("sanity-hosts", "compile, import: older and newer Python", ansible_test.sanity_on_hosts, "sanity"),
        Gate("demo", "make demo, to its end and interrupted", gate_demo.demo, "functional", on_servers),
        *(
            Gate(
                f"integration-{number}",
                f"ansible-test integration, share {number}",
                functools.partial(ansible_test.integration, number),
                "integration",
                on_servers,
            )
            for number in range(1, ansible_test.INTEGRATION_SHARES + 1)
        ),
        Gate(oldest, "an environment", _script("virtualenvs.py", oldest), is_step=True),
        Gate("oldest", "the oldest ansible-core", ansible_test.oldest_core, "sanity", (oldest,)),
        Gate("ansible-lint", "ansible-lint, production, strict", checks.lint, "lint"),
        Gate("units", "ansible-test units", ansible_test.units, "unit", cores=0.5),
        Gate("tooling", "tests of this tooling", checks.tooling, "unit"),
        Gate("site", "the documentation site", checks.site, "docs"),
        Gate("docs", "antsibull-docs", checks.docs, "docs"),
        Gate(importer, "an environment", _script("virtualenvs.py", importer), is_step=True),
        Gate("galaxy", "galaxy-importer", packages.importer, "package", (importer,)),
        Gate("package", "build, install, use the archive", packages.package, "package"),
        Gate("rules", "promtool: alerts on the metrics", checks.rules, "lint"),
        Gate("changelog", "antsibull-changelog", checks.changelog, "lint"),
    ]


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the gates of the project.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="gates or groups of gates; all of them: all")
    parser.add_argument("--skip", default=os.environ.get("SKIP", ""), metavar="NAME,…", help="leave these out (SKIP)")
    parser.add_argument("--jobs", type=int, help="cores to use, by default all")
    parser.add_argument("--list", action="store_true", help="say which gates there are")
    return parser.parse_args(argv)


def _chosen(names: t.Sequence[str], skipped: t.Sequence[str], known: t.Sequence[Gate]) -> list[Gate]:
    words = {gate.name for gate in known} | {gate.group for gate in known if gate.group} | {"all"}
    unknown = sorted(({*names} | {*skipped}) - words)
    if unknown:
        raise SetupError(f"there is no gate {', '.join(unknown)}: see --list")
    wanted = [
        gate for gate in known if gate.name in names or gate.group in names or ("all" in names and not gate.is_long)
    ]
    return [
        gate
        for gate in wanted
        if gate.name not in skipped and gate.group not in skipped and (gate.name in names or not gate.is_step)
    ]


def main(argv: list[str]) -> int:
    """Run what the arguments ask for and return the exit code. Raises SetupError."""
    options = _parse(argv)
    from gate_runner import LOGS, Runner, summary, usable_cores, with_steps
    from processes import unwind_on_sigterm

    known = every_gate()
    if options.list or not options.names:
        for gate in known:
            print(f"{gate.name:14} {gate.group or '(set-up)':12} {gate.about}")
        return 0
    skipped = [word for word in options.skip.split(",") if word]
    chosen = _chosen(options.names, skipped, known)
    unwind_on_sigterm()
    LOGS.mkdir(parents=True, exist_ok=True)
    results = Runner(with_steps(chosen, known), options.jobs or usable_cores()).run()
    left_out = [gate.name for gate in _chosen(options.names, [], known) if gate not in chosen]
    line = summary(results, left_out)
    (LOGS / "summary").write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0 if results and all(result.is_passed for result in results) else 1


def _in_environment() -> None:
    """Become the same command in the development environment, which is made first if need be."""
    environment = virtualenvs.ensure(virtualenvs.DEVELOPMENT, sys.stderr)
    virtualenvs.link(environment)
    python = environment / "bin" / "python"
    if Path(sys.prefix) != environment:
        os.execve(python, [str(python), *sys.argv], virtualenvs.variables(environment))


if __name__ == "__main__":
    try:
        _in_environment()
        raise SystemExit(main(sys.argv[1:]))
    except SetupError as failure:
        raise SystemExit(f"Cannot run the gates: {failure}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
