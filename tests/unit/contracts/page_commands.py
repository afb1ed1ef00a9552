# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the commands in shell blocks of pages, and asks those who run them whether they understand."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import shlex
import subprocess
import typing as t

import yaml
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cron_expression import parse_cron
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection, playbooks, task_options

LIFEBOAT = ("lifeboat", "/usr/local/bin/lifeboat")
# Imported when they are asked: ansible-test, which shall collect the tests, hides all of Ansible but module_utils.
_ANSIBLE = {
    "ansible": ("ansible.cli.adhoc", "AdHocCLI"),
    "ansible-doc": ("ansible.cli.doc", "DocCLI"),
    "ansible-galaxy": ("ansible.cli.galaxy", "GalaxyCLI"),
    "ansible-inventory": ("ansible.cli.inventory", "InventoryCLI"),
    "ansible-playbook": ("ansible.cli.playbook", "PlaybookCLI"),
}
# Programs that everybody has: the shell has read their lines, and nobody here knows more of them.
ORDINARY = frozenset(
    ("apt-get", "cat", "cd", "chmod", "createdb", "export", "git", "grep", "less", "ls", "mkdir", "pg_restore")
    + ("pip", "printf", "psql", "read", "sed", "sha256sum", "systemctl", "tail", "tar", "zstd")
)
_CRON_LINE = re.compile(r"((?:[\d*/,-]+\s+){4}[\w*/,-]+)\s+([a-z]\w*)\s+(\S.*)")
_HIDDEN = re.compile(r"(?:(?:sudo )?(?:lifeboat|ansible-playbook|make|python3) \w)")


def shell_problems(text: str) -> list[str]:
    """Return what is wrong with the commands of a block."""
    read = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    if read.returncode != 0:
        return [read.stderr.strip()]
    return [f"{' '.join(words)}: {problem}" for words in commands(text) for problem in command_problems(words)]


def script_problems(text: str) -> list[str]:
    """Return what is wrong with a whole script: it must be one, whatever it does."""
    read = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return [read.stderr.strip()] if read.returncode else []


def text_problems(text: str) -> list[str]:
    """Return what is wrong with a block that shows what programs say: the commands after its prompts, the lines of a
    crontab in it, and commands that are no part of an answer."""
    problems = [f"a command in a block of text: {line}" for line in text.splitlines() if _HIDDEN.match(line)]
    problems += shell_problems("".join(f"{line[2:]}\n" for line in text.splitlines() if line.startswith("$ ")))
    for line in text.splitlines():
        found = _CRON_LINE.fullmatch(line)
        if found is None:
            continue
        try:
            parse_cron(re.sub(r"\s+", " ", found[1]))
        except LifeboatError as error:
            problems.append(str(error))
        problems += shell_problems(found[3].replace("\\%", "%") + "\n")
    return problems


def commands(text: str) -> list[list[str]]:
    """Return the words of each command, without prompts, assignments, `sudo` and redirections."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        is_target = False  # the word is that of a redirection
        for word in [*lexer, ";"]:
            if is_target:
                is_target = False
            elif re.fullmatch(r"[<>&]*[<>][<>&]*", word):
                is_target = True
                if words and words[-1].isdigit():  # the 2 of 2>&1
                    del words[-1]
            elif re.fullmatch(r"[();|&]+", word):
                found.append(words)
                words = []
            else:
                words.append(word)
    return [words for words in map(_without_prefix, found) if words]


def _without_prefix(words: list[str]) -> list[str]:
    while words and (words[0] == "$" or re.match(r"[A-Za-z_]\w*=", words[0])):
        words = words[1:]
    if words[:1] == ["sudo"]:
        words = words[3:] if words[1:2] == ["-u"] else words[1:]
    return words


def command_problems(words: t.Sequence[str]) -> list[str]:
    """Return what is wrong with one command."""
    program, *rest = words
    if program in LIFEBOAT:
        return _problems_of_lifeboat(rest)
    if program in _ANSIBLE:
        return _problems_of_ansible(program, rest)
    if program == "make":
        known = known_targets()
        targets = [word for word in rest if "=" not in word]
        return [f"there is no target {word}" for word in targets if word not in known]
    if program == "python3":
        return _problems_of_python(rest)
    return [] if program in ORDINARY else [f"nothing here knows {program}"]


def known_targets() -> set[str]:
    makefile = (collection.ROOT / "Makefile").read_text(encoding="utf-8")
    return {word for line in re.findall(r"^([a-z][a-z -]*):(?!=)", makefile, re.MULTILINE) for word in line.split()}


def _problems_of_lifeboat(words: t.Sequence[str]) -> list[str]:
    if "--help" in words or "--version" in words:
        return []
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            cli._parser().parse_args(words)
    except SystemExit:
        return [said.getvalue().strip().splitlines()[-1]]
    return _problems_of_lifeboat(words[words.index("--") + 1 :]) if words[:1] == ["scheduled"] else []


def _problems_of_python(words: t.Sequence[str]) -> list[str]:
    script = words[0] if words else ""
    if not (collection.ROOT / script).is_file():
        return [f"there is no file {script}"]
    return command_problems(words[1:]) if script.endswith("/run.py") and words[1] != "pytest" else []


def _problems_of_ansible(program: str, words: t.Sequence[str]) -> list[str]:
    said = io.StringIO()
    module, name = _ANSIBLE[program]
    command = getattr(importlib.import_module(module), name)([program, *words])
    try:
        with contextlib.redirect_stderr(said):
            command.init_parser()
            options = command.parser.parse_args(list(words))
    except SystemExit:
        return [said.getvalue().strip().splitlines()[-1]]
    if program == "ansible-playbook":
        return _problems_of_playbooks(options.args, options.extra_vars or [], [*options.tags, *options.skip_tags])
    if program == "ansible-doc":
        known = {*collection.module_names(), *task_options.roles()}
        names = [name[len(collection.NAMESPACE) :] for name in options.args if name.startswith(collection.NAMESPACE)]
        return [f"there is no {name}" for name in names if name not in known]
    return []


def _problems_of_playbooks(names: t.Sequence[str], extra: t.Sequence[str], wanted_tags: t.Sequence[str]) -> list[str]:
    problems, known = [], {*playbooks.EVERYWHERE}
    ours = [name[len(collection.NAMESPACE) :] for name in names if name.startswith(collection.NAMESPACE)]
    for name in ours:
        if name in collection.playbook_names():
            known |= playbooks.documented_variables(name)
        else:
            problems.append(f"there is no playbook {name}")
    if not ours:  # a playbook of the reader: the variables and tags are those of roles
        known |= {option for role in task_options.roles() for option in task_options.role_options(role)}
    if not problems:
        problems += [f"its head does not explain {name}" for name in _names_of(extra) if name not in known]
    given = [tag for word in wanted_tags for tag in word.split(",") if tag != "all"]
    return problems + [f"there is no tag {tag}" for tag in given if tag not in playbooks.tags()]


def _names_of(extra: t.Sequence[str]) -> t.Iterator[str]:
    """Yield the names of variables given by `-e`: as JSON or YAML, as a file (none), or as `name=value …`."""
    for text in extra:
        if text.startswith("@"):
            continue
        if text.startswith(("{", "[")):
            yield from yaml.safe_load(text) if "'" in text else json.loads(text)
        else:
            # Ansible's own reader: a value may be an expression with blanks.
            yield from importlib.import_module("ansible.parsing.splitter").parse_kv(text)
