# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command and every YAML, JSON or Python block on a page is read by whom it is meant for."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.unit.contracts import (
    collection,
    page_commands,
    page_documents,
    pages,
    playbooks,
    task_options,
)

MOST_EXCUSES = 6  # blocks that nothing checks, each with a comment that says why
BLOCKS = [block for block in pages.blocks_of_all_pages() if not block.excuse]


def python_problems(text: str) -> list[str]:
    try:
        ast.parse(text)
    except SyntaxError as error:
        return [str(error)]
    return []


CHECKS: t.Mapping[str, t.Callable[[str], list[str]]] = {
    "bash": page_commands.script_problems,
    "json": page_documents.json_problems,
    "python": python_problems,
    "shell": page_commands.shell_problems,
    "text": page_commands.text_problems,
    "yaml": page_documents.yaml_problems,
}


def problems_of(block: pages.Block) -> list[str]:
    if block.language not in CHECKS:
        return [f"nothing here knows blocks of {block.language or 'no language'}"]
    return CHECKS[block.language](block.text)


def syntax_problems(texts: t.Sequence[tuple[str, str]], folder: pathlib.Path) -> str:
    """Return what `ansible-playbook --syntax-check` says against playbooks, given by name and text; empty: nothing."""
    paths = []
    for number, (name, text) in enumerate(texts):
        paths.append(folder / f"{number:02}-{pathlib.PurePath(name.partition(':')[0]).stem}.yml")
        paths[-1].write_text(text, encoding="utf-8")
    command = ["ansible-playbook", "-i", "localhost,", "--syntax-check", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("block", BLOCKS, ids=[block.where for block in BLOCKS])
def test_a_block_is_understood_by_whom_it_is_meant_for(block):
    assert problems_of(block) == []


def test_ansible_can_run_the_plays_and_tasks_on_pages(tmp_path):
    documents = [(block.where, collection.load_yaml(block.text)) for block in BLOCKS if block.language == "yaml"]
    runnable = [(where, each) for where, each in documents if page_documents.is_runnable(each)]
    assert len(runnable) > 8, "the pages were not found"
    assert syntax_problems([(where, page_documents.as_playbook(each)) for where, each in runnable], tmp_path) == ""


def test_few_blocks_are_unchecked_and_each_says_why():
    excused = [block for block in pages.blocks_of_all_pages() if block.excuse]
    assert len(excused) <= MOST_EXCUSES
    assert [block.where for block in excused if len(block.excuse.split()) < 4] == []
    assert [block.where for block in excused if block.language in ("yaml", "json", "shell")] == []


def test_the_blocks_of_a_page_have_their_lines_and_excuses():
    page = "# A\n\n- a\n\n  ```yaml\n  b: 1\n    # c\n  ```\n\n"
    page += "<!-- not checked: needs a server of its own -->\n```sql\nSELECT 1;\n```\n"
    first, second = pages.blocks(page, "a.md")
    assert (first.where, first.language, first.text, first.excuse) == ("a.md:6", "yaml", "b: 1\n  # c\n", "")
    assert (second.where, second.language, second.excuse) == ("a.md:12", "sql", "needs a server of its own")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"lifeboat.recovery.minio_bucket": {"name": "x", "colour": "red"}}, "minio_bucket: colour. Supported"),
        ({"lifeboat.recovery.minio_bucket": {"name": "x", "state": "gone"}}, "value of state"),
        ({"lifeboat.recovery.minio_bucket": {"name": "x", "lifecycle": [{"id": "a", "days": 3}]}}, "lifecycle.days"),
        ({"lifeboat.recovery.minio_bucket": {"name": "x", "lifecycle": [{"noncurrent_days": "x"}]}}, "noncurrent_days"),
        ({"lifeboat.recovery.minio_bucket": {"versioning": "enabled"}}, "missing required arguments: name"),
        ({"lifeboat.recovery.minio_bukcet": {"name": "x"}}, "there is no module"),
        ({"lifeboat.recovery.minio_bucket": ["x"]}, "no dictionary"),
        ({"lifeboat.recovery.s3_presign": {"bucket": "x", "key": "k", "expires_s": "soon"}}, "expires_s"),
        ({"lifeboat.recovery.pg_backup": {"job": "a", "database": "b"}}, "missing required arguments: repositories"),
        ({"block": [{"lifeboat.recovery.minio_bucket": {"nmae": "x"}}]}, "nmae"),
        ({"module_defaults": {"group/lifeboat.recovery.s3": {"endpoint": "x"}}}, "no module has endpoint"),
        ({"module_defaults": {"group/lifeboat.recovery.s4": {"endpoint_url": "x"}}}, "there is no group"),
    ],
)
def test_a_task_that_a_module_would_refuse_is_found(task, words):
    assert words in "; ".join(task_options.task_problems([{"hosts": "all", "tasks": [task]}]))


def test_a_missing_variable_of_a_role_is_found_where_others_are_given():
    options = {"r_a": {"type": "str", "required": True}, "r_b": {"type": "int"}}
    assert "r_a" in "; ".join(task_options.option_problems("r", {"r_b": 1}, options, {}, is_complete=True))
    assert task_options.option_problems("r", {"r_b": 1}, options, {}, is_complete=False) == []


def test_options_that_a_module_has_are_let_pass():
    task = {"lifeboat.recovery.minio_bucket": {"bucket": "x", "lifecycle": [{"noncurrent_days": 90}], "tags": {"a": 1}}}
    defaults = {"group/lifeboat.recovery.s3": {"endpoint_url": "https://minio.example.com"}}
    assert task_options.task_problems([{"hosts": "all", "module_defaults": defaults, "tasks": [task]}]) == []


def test_what_a_template_makes_is_taken_for_a_right_value():
    task = {
        "lifeboat.recovery.s3_presign": {"bucket": "{{ b }}", "key": "k", "expires_s": "{{ s }}", "method": "{{ m }}"}
    }
    assert task_options.task_problems([task]) == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"role": "lifeboat.recovery.minio_sever"}, "there is no role"),
        ({"role": "lifeboat.recovery.minio_server", "vars": {"minio_server_drivs": []}}, "minio_server_drivs"),
        ({"role": "lifeboat.recovery.minio_server", "vars": {"minio_server_flavour": "x"}}, "minio_server_flavour"),
        (
            {"role": "lifeboat.recovery.backup_schedule", "vars": {"backup_schedule_random_delay": "long"}},
            "backup_schedule_random_delay",
        ),
    ],
)
def test_what_a_role_would_refuse_is_found(entry, words):
    assert words in "; ".join(task_options.task_problems([{"hosts": "all", "roles": [entry]}]))


JOBS = "lifeboat_jobs:\n  - {name: a, kind: files, roots: [/etc], repositories: [local]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("- 1", "neither plays"),
        ("lifebaot_jobs: []", "nothing reads lifebaot_jobs"),
        ("lifeboat_jobs: {}", "is no list"),
        (JOBS + ", rots: [/x]}", "rots"),
        (JOBS + ", schedule: nightly}", "nightly"),
        (JOBS + "}\nlifeboat_repositories: [{name: site, path: /srv}]", "local"),
        ("lifeboat_repositories: [{name: local, path: /srv, bukcet: x}]", "bukcet"),
        ("lifeboat_repositories: [{name: local, path: /srv/x}]\nlifeboat_create_directories: [lokal]", "lokal"),
        ("lifeboat_buckets: [{name: shop, versioning: always}]", "versioning"),
        ("lifeboat_mirrors: [{name: a, source: {path: /a}, targets: [{path: /b}], bandwith: 1MB}]", "bandwith"),
        ("lifeboat_settings: {notifications: {channels: {ops: {type: smpt}}}}", "smpt"),
        ("backup_agent_stat: absent", "backup_agent_stat"),
        ("backup_agent_state: gone", "backup_agent_state"),
        ("lifeboat:\n  hosts:\n    db1:\n  children:\n    east:\n      host: {}", "a group has no host"),
        ("lifeboat:\n  hosts: [db1]", "hosts are"),
    ],
)
def test_yaml_that_playbooks_and_roles_would_refuse_is_found(text, words):
    assert words in "; ".join(page_documents.yaml_problems(text))


def test_yaml_that_they_take_is_let_pass():
    for text in (
        JOBS + ", schedule: daily}",
        "lifeboat:\n  hosts:\n    db1:",
        "lifeboat_repositories: [{name: a, path: /b}]",
    ):
        assert page_documents.yaml_problems(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "- hosts: all\n  tasks:\n    - lifeboat.recovery.minio_buket: {}\n",
        "- ansible.builtin.import_playbook: lifeboat.recovery.nothing\n",
    ],
)
def test_a_play_that_ansible_would_not_run_is_found(text, tmp_path):
    assert syntax_problems([("page.md:1", text)], tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ('{"answer": 1}', "neither"),
        ('{"jobs": {"a": {"kind": "files", "roots": ["/a"], "repositories": ["x"], "keep": 1}}}', "keep"),
        ('{"jobs": {"a": {"kind": "files", "roots": "/a", "repositories": ["x"]}}}', "roots"),
        ('{"kind": "files", "roots": ["/a"], "repositories": ["x"], "keep_it": 1}', "keep_it"),
        ('{"format": 1, "repository": "x", "conditional_writes": "yes"}', "lifeboat.json"),
        ('{"spec": [{"variable": "lifeboat_jbo"}]}', "lifeboat_jbo"),
    ],
)
def test_json_that_nothing_would_take_is_found(text, words):
    assert words in "; ".join(page_documents.json_problems(text))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("lifeboat fly", "fly"),
        ("lifeboat run", "required"),
        ("lifeboat restore db1 --force", "--force"),
        ("sudo -u postgres /usr/local/bin/lifeboat runs x", "runs"),
        ("lifeboat scheduled --name a -- runs x", "runs"),
        ("cd x && lifeboat fly", "fly"),
        ("make fly", "no target fly"),
        ("python3 tests/environment/nothing.py", "no file"),
        ("ansible-playbook lifeboat.recovery.fly", "no playbook fly"),
        ("ansible-playbook lifeboat.recovery.backup -e lifeboat_jbo=x", "lifeboat_jbo"),
        ("ansible-playbook lifeboat.recovery.backup \\\n  -e '{\"lifeboat_exact\": true}'", "lifeboat_exact"),
        ("ansible-playbook lifeboat.recovery.backup --tags bukets", "no tag bukets"),
        ("ansible-playbook lifeboat.recovery.backup --dry", "unrecognized"),
        ("ansible-playbook site.yml -e backup_agent_stat=absent", "backup_agent_stat"),
        ("ansible-doc lifeboat.recovery.nothing", "there is no nothing"),
        ("frobnicate", "nothing here knows frobnicate"),
        ("if true; then", "syntax error"),
    ],
)
def test_a_command_that_nothing_would_understand_is_found(command, words):
    assert words in "; ".join(page_commands.shell_problems(f"{command}\n"))


def test_the_head_of_a_playbook_is_read(tmp_path, monkeypatch):
    head = (
        "---\n# Flies.\n#\n#   lifeboat_wings   lifeboat_none of them\n#   lifeboat_a, lifeboat_b  both\n- name: Fly\n"
    )
    (tmp_path / "fly.yml").write_text(head)
    monkeypatch.setattr(playbooks, "path_of", lambda name: tmp_path / f"{name}.yml")
    assert playbooks.documented_variables("fly") == {"lifeboat_wings", "lifeboat_a", "lifeboat_b"}


def test_commands_that_are_understood_are_let_pass():
    text = "lifeboat check  # all\n\nKEEP=1 make demo\nsudo -u postgres lifeboat run db1-shop > log 2>&1 | grep -v x\n"
    assert page_commands.shell_problems(text) == []
    assert page_commands.commands(text)[2] == ["lifeboat", "run", "db1-shop"]


@pytest.mark.parametrize(
    "text",
    [
        "30 2 * * *  postgres  /usr/local/bin/lifeboat runs db1-shop\n",
        "99 2 * * *  postgres  /usr/local/bin/lifeboat run db1-shop\n",
        "lifeboat run db1-shop\n",
        "$ lifeboat lst db1-shop\nID  AGE\n",
    ],
)
def test_a_wrong_line_of_a_crontab_and_a_hidden_command_are_found(text):
    assert page_commands.text_problems(text)


@pytest.mark.parametrize("language", ["", "sql", "console"])
def test_a_block_in_a_language_that_nothing_checks_is_found(language):
    assert problems_of(pages.Block("page.md:1", language, "x\n"))


def test_python_that_is_none_and_a_script_that_is_none_are_found():
    assert python_problems("def f(:\n")
    assert page_commands.script_problems("for x in; do\n")
