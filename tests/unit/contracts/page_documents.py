# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says what the YAML and JSON blocks of pages are, and checks them as that."""

from __future__ import annotations

import json
import typing as t

import jsonschema
import yaml
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import config
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_config import host_files
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_schedules import schedules
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection, playbooks, task_options

Entry = t.Mapping[str, t.Any]
_MODULE_OF = {"lifeboat_buckets": "minio_bucket"}  # lists of the options of a module
_LISTS = (
    "lifeboat_jobs",
    "lifeboat_repositories",
    "lifeboat_mirrors",
    "lifeboat_buckets",
    "lifeboat_create_directories",
)
_SECTIONS = {"repositories", "jobs", "mirrors", "notifications", "metrics", "state_dir"}
_NOT_OF_A_MIRROR = ("name", "schedule", "verify", "run_as", "notify")  # what only the host command and schedules need
_OF_AN_INVENTORY = {"hosts", "children", "vars"}


def is_runnable(document: t.Any) -> bool:
    """Say whether a YAML document is a list of plays or of tasks."""
    return isinstance(document, list) and all(isinstance(each, dict) for each in document)


def as_playbook(document: list[Entry]) -> str:
    """Return a playbook of plays, or of tasks in a play of their own."""
    are_plays = all("hosts" in each or "ansible.builtin.import_playbook" in each for each in document)
    plays = document if are_plays else [{"name": "Try", "hosts": "localhost", "tasks": document}]
    return yaml.safe_dump(plays, sort_keys=False, allow_unicode=True)


def yaml_problems(text: str) -> list[str]:
    """Return what is wrong with a YAML block, but for what only `ansible-playbook --syntax-check` sees."""
    try:
        document = collection.load_yaml(text)
    except yaml.YAMLError as error:
        return [f"it is not YAML: {error}"]
    if is_runnable(document):
        return task_options.task_problems(document) + _problems_of_plays(document)
    if not isinstance(document, dict) or not document:
        return ["it is neither plays, nor tasks, nor variables, nor an inventory"]
    if set(document) == {"collections"}:
        return [] if all("name" in each for each in document["collections"]) else ["a collection has no name"]
    if all(isinstance(each, dict) and each and set(each) <= _OF_AN_INVENTORY for each in document.values()):
        return [problem for group in document.values() for problem in _problems_of_group(group)]
    return variable_problems(document)


def _problems_of_plays(document: t.Sequence[Entry]) -> list[str]:
    found = [each.get("vars") for each in document if "hosts" in each]
    return [problem for each in found if isinstance(each, dict) for problem in lifeboat_problems(each)]


def _problems_of_group(group: Entry) -> list[str]:
    if not isinstance(group.get("hosts") or {}, dict):
        return [f"hosts are {group['hosts']!r}"]
    problems = []
    for each in (group.get("children") or {}).values():
        unknown = set(each or {}) - _OF_AN_INVENTORY
        problems += [f"a group has no {name}" for name in sorted(unknown)] or _problems_of_group(each or {})
    for values in [group.get("vars"), *(group.get("hosts") or {}).values()]:
        problems += variable_problems({name: each for name, each in (values or {}).items() if "_" in name})
    return problems


def variable_problems(variables: Entry) -> list[str]:
    """Return what is wrong with variables of an inventory: names that nothing reads, and values that it refuses."""
    prefixes = tuple(f"{role}_" for role in task_options.roles())
    known = playbooks.variables_of_the_inventory()
    problems = []
    for name in variables:
        if not name.startswith((*prefixes, "vault_", "ansible_")) and name not in known:
            problems.append(f"nothing reads {name}")
    for role in task_options.roles():
        problems += task_options.role_problems(role, variables, is_complete=False)
    return problems + lifeboat_problems(variables)


def lifeboat_problems(variables: Entry) -> list[str]:
    """Return what playbooks and roles would refuse of the variables `lifeboat_…`."""
    problems = [f"{name} is no list" for name in _LISTS if not isinstance(variables.get(name, []), list)]
    if problems:
        return problems
    for name, module in _MODULE_OF.items():
        for each in variables.get(name, []):
            problems += task_options.module_problems(module, each)
    for each in variables.get("lifeboat_repositories", []):
        problems += task_options.module_problems("backup_repository", {"repository": each})
    for each in variables.get("lifeboat_mirrors", []):
        given = {name: value for name, value in each.items() if name not in _NOT_OF_A_MIRROR}
        problems += task_options.module_problems("s3_mirror", given)
    return problems + _problems_of_hosts(variables)


def _problems_of_hosts(variables: Entry) -> list[str]:
    """Return what the roles backup_agent and backup_schedule would refuse."""
    jobs, mirrors = variables.get("lifeboat_jobs", []), variables.get("lifeboat_mirrors", [])
    repositories = variables.get("lifeboat_repositories")
    if repositories is None:  # they stand elsewhere
        names = {name for job in jobs for name in job.get("repositories", ["local"])}
        repositories = [{"name": name, "path": f"/srv/{name}"} for name in sorted(names)]
    known = [each["name"] for each in repositories]
    problems = [
        f"there is no repository {name} to create"
        for name in variables.get("lifeboat_create_directories", known[:1])
        if "lifeboat_repositories" in variables and name not in known
    ]
    run_as = str(variables.get("lifeboat_run_as", "lifeboat"))
    try:
        settings = variables.get("lifeboat_settings", {})
        host_files("db1", jobs, repositories, mirrors, run_as, settings=settings)
        schedules("db1", jobs, mirrors, variables.get("lifeboat_status_schedule"), run_as)
    except (LifeboatError, KeyError) as error:
        problems.append(str(error))
    return problems


def json_problems(text: str) -> list[str]:
    """Return what is wrong with a JSON block: a configuration, a job, a document of a repository, or a survey."""
    try:
        document = json.loads(text)
    except ValueError as error:
        return [f"it is not JSON: {error}"]
    if not isinstance(document, dict):
        return ["it is no object"]
    if "format" in document:
        return _problems_of_document(document)
    if "spec" in document:
        return _problems_of_survey(document)
    if "kind" in document:
        return _problems_of_configuration({"jobs": {"db1-shop": document}})
    if document and set(document) <= _SECTIONS:
        return _problems_of_configuration(document)
    return ["it is neither a configuration, nor a job, nor a document of a repository, nor a survey"]


def _problems_of_document(document: Entry) -> list[str]:
    """Return why none of the schemas describes a document; by the one whose members are most alike."""
    paths = sorted((collection.ROOT / "docs" / "schemas").glob("*.schema.json"))
    schemas = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    nearest = max(schemas, key=lambda schema: len(set(schema["properties"]) & set(document)))
    found = jsonschema.Draft202012Validator(nearest).iter_errors(document)
    return [f"{nearest['title']}: {error.message}" for error in found]


def _problems_of_survey(document: Entry) -> list[str]:
    known = playbooks.documented_variables()
    return [
        f"no playbook has the variable {question.get('variable')}"
        for question in document["spec"]
        if question.get("variable") not in known
    ]


def _problems_of_configuration(document: Entry) -> list[str]:
    """Return what the host command would refuse; what a part of a configuration leaves out is thought to be there."""
    jobs = [*document.get("jobs", {}).values(), *document.get("mirrors", {}).values()]
    names = {name for job in jobs for name in job.get("repositories", ())}
    channels = {name for job in jobs for name in job.get("notify", {}).get("channels", ())}
    whole = {"repositories": {name: {"path": f"/srv/{name}"} for name in names}, "jobs": {}, **document}
    if channels and "notifications" not in document:
        whole["notifications"] = {"channels": {name: {"type": "sendmail", "to": ["x"]} for name in channels}}
    try:
        config.parse(json.dumps(whole).encode("utf-8"), "config.json")
    except LifeboatError as error:
        return [str(error)]
    return []
