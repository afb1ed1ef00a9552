# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role application_control with programs that keep a list of what runs, and of what they were told."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran

ROLE = "lifeboat.recovery.application_control"
# Units and services are files in a folder; their words are written down. A real systemd runs the role in Molecule.
PROGRAM = """#!/bin/sh
folder={folder}
case "$1" in
  show) name=$4
    [ -e "$folder/known-$name" ] && echo LoadState=loaded || echo LoadState=not-found
    [ -e "$folder/$name" ] && echo ActiveState=active || echo ActiveState=inactive ;;
  compose)
    project=$3; verb=$4; shift 4
    [ "$verb" = ps ] && shift 3
    [ $# -gt 0 ] || set -- $(cat "$folder/services-$project")
    case $verb in
      ps) for each; do [ -e "$folder/$each" ] && echo "$each"; done; true ;;
      *) echo "$verb" "$@" >> "$folder/told"
        for each; do [ $verb = start ] && touch "$folder/$each" || rm -f "$folder/$each"; done ;;
    esac ;;
  running) [ -e "$folder/$2" ] ;;
  stop | start) [ "$2" = -- ] && name=$3 || name=$2
    echo "$1 $name" >> "$folder/told"
    [ "$1" = start ] && touch "$folder/$name" || rm -f "$folder/$name" ;;
esac
"""


class Host:
    """A host whose programs are one script."""

    def __init__(self, folder):
        self.folder = folder / "host"
        self.folder.mkdir()
        self.program = self.folder / "program"
        self.program.write_text(PROGRAM.format(folder=self.folder))
        self.program.chmod(0o755)
        (self.folder / "services-shop").write_text("worker scheduler\n")

    def runs(self, *names):
        for name in names:
            (self.folder / name).touch()
        return self

    @property
    def running(self):
        names = ("web", "worker", "scheduler", "importer")
        return [name for name in names if (self.folder / name).exists()]

    @property
    def memory(self):
        path = self.folder / "memory" / "shop.json"
        return json.loads(path.read_text()) if path.exists() else None

    def told(self):
        """Return what the programs were told since the last call."""
        path = self.folder / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def variables(self):
        program = str(self.program)
        return {
            "name": "shop",
            "parts": [
                {"name": "front", "unit": "web"},
                {"name": "workers", "compose": "shop", "directory": str(self.folder)},
                {
                    "name": "importer",
                    "running": [program, "running", "importer"],
                    "stop": [program, "stop", "importer"],
                    "start": [program, "start", "importer"],
                },
            ],
            "systemctl": [program],
            "compose": [program, "compose"],
            "memory_dir": str(self.folder / "memory"),
            "check_delay_s": 0,
            "check_retries": 1,
            "timeout_s": 1,
        }


@pytest.fixture
def host(tmp_path):
    found = Host(tmp_path)
    return found.runs("known-web")


@pytest.fixture
def role(tmp_path, host):
    """Run entry points of the role and return (whether it failed, its text, how many tasks changed something)."""

    def run(*entries, arguments=(), after=(), **variables):
        given = {f"application_control_{name}": value for name, value in {**host.variables(), **variables}.items()}
        steps = [{"ansible.builtin.include_role": {"name": ROLE, "tasks_from": entry}} for entry in entries]
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": given}
        (tmp_path / "play.yml").write_text(json.dumps([{**play, "tasks": [*steps, *after]}]))
        done = ran("-i", "localhost,", *arguments, str(tmp_path / "play.yml"), folder=tmp_path)
        return done.returncode != 0, done.stdout, int(done.stdout.rpartition("changed=")[2].split()[0])

    return run


def test_what_runs_is_stopped_in_order_and_started_the_other_way_round(role, host):
    host.runs("web", "worker", "importer")
    failed, said, changed = role("stop")
    assert not failed and changed, said
    assert host.told() == ["stop web", "stop worker scheduler", "stop importer"] and host.running == []
    assert host.memory == {"front": [], "workers": ["worker"], "importer": []}

    failed, said, changed = role("stop")
    assert not failed and changed == 0 and host.told() == [], said

    failed, said, changed = role("start")
    assert not failed and changed, said
    assert host.told() == ["start importer", "start worker", "start web"]
    assert host.running == ["web", "worker", "importer"] and host.memory is None

    failed, said, changed = role("start")
    assert not failed and changed == 0 and host.told() == [], said


def test_what_did_not_run_stays_as_it_is_unless_all_is_wanted(role, host):
    host.runs("importer")
    failed, said, _changed = role("stop", "start")
    assert not failed, said
    assert host.told() == ["stop importer", "start importer"] and host.running == ["importer"]
    failed, said, _changed = role("start", start="all")
    assert not failed, said
    assert host.told() == ["start worker scheduler", "start web"]
    assert host.running == ["web", "worker", "scheduler", "importer"]


def test_what_a_killed_run_has_stopped_is_started_by_the_next_one(role, host):
    host.runs("web", "importer")
    role("stop")
    host.runs("importer")
    host.told()
    failed, said, _changed = role("stop", "start")
    assert not failed, said
    assert host.told() == ["stop importer", "start importer", "start web"]
    assert host.running == ["web", "importer"]


def test_what_was_left_stopped_is_resumed_and_what_never_ran_is_left_alone(role, host):
    host.runs("web")
    role("stop")
    host.told()
    well = {"name": "well", "command": [str(host.program), "running", "web"]}
    failed, said, changed = role("resume", "resume", checks=[well])
    assert not failed and changed and host.told() == ["start web"] and host.memory is None, said
    assert said.count("TASK [lifeboat.recovery.application_control : Carry out the health checks]") == 1


def test_the_role_as_a_whole_does_what_its_state_says_also_by_its_tags_alone(role, host):
    host.runs("web")
    whole = [{"ansible.builtin.import_role": {"name": ROLE}}]
    failed, said, _changed = role(after=whole, state="stopped", arguments=("--tags", "application_control_stop"))
    assert not failed and host.told() == ["stop web"], said
    failed, said, _changed = role(
        after=whole, checks=[{"name": "well", "command": [str(host.program), "running", "web"]}]
    )
    assert not failed and host.told() == ["start web"] and host.running == ["web"], said


def test_check_mode_says_what_would_be_done_and_does_nothing(role, host):
    host.runs("web", "worker")
    failed, said, _changed = role("stop", "start", arguments=("--check",), checks=[{"name": "x", "port": 1}])
    assert not failed, said
    assert '"msg": "front, workers"' in said and '"msg": "workers, front"' in said
    assert host.told() == [] and host.memory is None and host.running == ["web", "worker"]


def test_a_unit_that_does_not_exist_is_an_error_before_anything_is_stopped(role, host):
    host.runs("web", "importer")
    (host.folder / "known-web").unlink()
    failed, said, _changed = role("stop")
    assert failed and "not-found" in said and host.told() == []


def test_hooks_run_around_what_is_stopped_and_only_then(role, host, tmp_path):
    host.runs("web")
    program = str(host.program)

    def hook(name):
        return [{"name": name, "command": [program, "stop", name], "environment": {"WORD": "x"}}]

    (tmp_path / "hook.yml").write_text(
        json.dumps([{"name": "Tell", "ansible.builtin.command": {"argv": [program, "start", "file"]}}])
    )
    hooks = {
        "before_stop": hook("one"),
        "after_stop": hook("two"),
        "before_start": [{"name": "three", "tasks": str(tmp_path / "hook.yml")}],
        "after_start": hook("four"),
    }
    failed, said, _changed = role("stop", "start", **hooks)
    assert not failed, said
    assert host.told() == ["stop one", "stop web", "stop two", "start file", "start web", "stop four"]
    (host.folder / "web").unlink()
    failed, said, changed = role("stop", "start", **hooks)
    assert not failed and host.told() == [] and changed == 0, said
    failed, said, _changed = role("hooks", hooks=hook("alone"))
    assert not failed and host.told() == ["stop alone"], said


@pytest.fixture
def page():
    """A server that is not well when it is asked for the first time."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the name is the library's
            self.server.asked += 1
            is_well = self.server.asked > 1 and self.headers["X-Key"] == "canary-5ecret"
            self.send_response(204 if self.path == "/empty" else 200 if is_well else 503)
            self.end_headers()
            if is_well and self.path == "/health":
                self.wfile.write(b"all is ok")

        def log_message(self, *_words):
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


SHOW = [{"name": "Show", "ansible.builtin.debug": {"msg": "RESULTS {{ application_control_results | to_json }} END"}}]


def results(said):
    return json.loads(json.loads('"' + said.partition("RESULTS ")[2].partition(" END")[0] + '"'))


def test_health_checks_are_patient_and_say_what_they_saw(role, page):
    port = page.server_port
    good = [
        {
            "name": "page",
            "url": f"http://127.0.0.1:{port}/health",
            "headers": {"X-Key": "canary-5ecret"},
            "contains": "ok",
            "retries": 5,
            "status": "200",
        },
        {"name": "port", "port": port},
        {"name": "command", "command": ["/bin/echo", "fine"]},
    ]
    bad = [
        {"name": "status", "url": f"http://127.0.0.1:{port}/health"},
        {"name": "words", "url": f"http://127.0.0.1:{port}/empty", "status": [200, 204], "contains": "ok"},
        {"name": "nobody", "url": "http://127.0.0.1:9/"},
        {"name": "closed", "port": 9, "retries": 1, "delay_s": 1},
        {"name": "angry", "command": ["/bin/ls", "/no/such/file"]},
    ]
    failed, said, changed = role("check", checks=good, after=SHOW)
    assert not failed and changed == 0, said
    assert [each["is_good"] for each in results(said)] == [True] * 3
    assert [each["said"] for each in results(said)] == ["HTTP 200", "the port is open", "fine"]
    assert page.asked >= 2

    failed, said, _changed = role("check", checks=[*good, *bad], fail_unhealthy=False, after=SHOW, arguments=("-vvv",))
    assert not failed, said
    assert "canary-5ecret" not in said.partition("TASK [Show]")[0]
    found = {each["name"]: each for each in results(said)}
    assert [found[each["name"]]["is_good"] for each in bad] == [False] * 5
    assert found["status"]["said"] == "HTTP 503"
    assert found["words"]["said"] == "HTTP 204, without the text that it should have"
    assert "refused" in found["nobody"]["said"]
    assert "Timeout" in found["closed"]["said"]
    assert "No such file" in found["angry"]["said"]

    failed, said, _changed = role("check", checks=bad[-1:])
    assert failed and "shop is not as it should be" in said and "angry: " in said


def test_a_part_that_does_not_stop_is_an_error(role, host):
    host.runs("importer")
    parts = host.variables()["parts"]
    parts[2]["stop"] = ["/bin/true"]
    failed, said, _changed = role("stop", parts=parts)
    assert failed and "Wait until it has stopped" in said


WRONG = (
    {"parts": [{"name": "a"}]},
    {"parts": [{"name": "a", "unit": "x", "compose": "y"}]},
    {"parts": [{"name": "a", "running": ["x"], "stop": ["x"]}]},
    {"parts": [{"name": "a", "unit": "x"}, {"name": "a", "unit": "y"}]},
    {"checks": [{"name": "a", "url": "http://127.0.0.1/", "port": 1}]},
    {"before_stop": [{"name": "a"}]},
    {"name": "../x"},
)


def test_what_makes_no_sense_is_refused_before_anything_is_stopped(role, host):
    host.runs("web")
    attempts = [
        {
            "block": [
                {
                    "ansible.builtin.include_role": {"name": ROLE, "tasks_from": "stop"},
                    "vars": {f"application_control_{name}": value for name, value in wrong.items()},
                },
                {"ansible.builtin.debug": {"msg": f"ACCEPTED {list(wrong)}"}},
            ],
            "rescue": [{"ansible.builtin.debug": {"msg": "REFUSED"}}],
        }
        for wrong in WRONG
    ]
    failed, said, changed = role(after=attempts)
    assert not failed and said.count('"msg": "REFUSED"') == len(WRONG), said
    assert "ACCEPTED" not in said and changed == 0 and host.told() == []
