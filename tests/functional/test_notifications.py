# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail, webhooks, pings and metrics of the installed command, with real servers on the other side."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_channel import (
    Channel,
    NotSent,
    Secret,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_event import Event
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_http import Ping, Webhook
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_mail import Sendmail, SmtpMail
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional import warm_python
from ansible_collections.lifeboat.recovery.tests.functional.command_file import command_for
from ansible_collections.lifeboat.recovery.tests.functional.notification_sinks import (
    PASSWORD,
    USER,
    HttpSink,
    MailSink,
    http_sink,
    mail_sink,
)
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "environment"))

import servers

__all__ = ["bucket", "http_sink", "mail_sink", "s3", "s3_server"]

TOKEN = "canary-hook-5ecret"
PATH = "canary-ping-5ecret"
SYSTEM_PYTHON = Path("/usr/bin/python3")
PATIENCE_S = 60.0


def event(outcome: str = "failure", **changes: t.Any) -> Event:
    moment = clock.now()
    more = {"problem": "Cannot back up wörk", "cause": "away", "remedy": "wait", **changes}
    return Event("run", "web1-etc", "web1", outcome, moment, moment, exit_code=1, **more)


def letter(sink: MailSink, **changes: t.Any) -> SmtpMail:
    given = SmtpMail(
        "mail",
        to=("ops@example.com", "boss@example.com"),
        sender="backup@example.com",
        server="localhost",
        port=sink.port,
        user=USER,
        password=Secret(value=PASSWORD),
        ca_cert=str(sink.ca_file),
        timeout_s=5,
    )
    return dataclasses.replace(given, **changes)


def refused(channel: Channel, told: Event | None = None) -> NotSent:
    with pytest.raises(NotSent) as error:
        channel.opened().send(told or event())
    return error.value


def test_mail_goes_through_starttls_with_a_login(mail_sink: MailSink) -> None:
    letter(mail_sink).opened().send(event(lines=(".a line with a dot",)))
    (mail,) = mail_sink.mails
    assert (mail.sender, mail.to) == ("backup@example.com", ["ops@example.com", "boss@example.com"])
    assert mail.was_encrypted and mail.user == USER
    assert mail.message["Subject"] == "Lifeboat on web1: run web1-etc FAILED"
    assert "Cannot back up wörk: away." in mail.text and "\n.a line with a dot" in mail.text


def test_mail_goes_through_tls_from_the_first_byte(tmp_path: Path) -> None:
    with MailSink(tmp_path / "sink", tls=True) as sink:
        letter(sink, security="tls").opened().send(event())
        assert sink.mails[0].was_encrypted


def test_mail_to_this_machine_needs_no_encryption(mail_sink: MailSink) -> None:
    letter(mail_sink, security="none", user="", password=Secret()).opened().send(event())
    assert not mail_sink.mails[0].was_encrypted


def test_a_server_that_cannot_be_trusted_gets_no_password(mail_sink: MailSink, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    servers.make_certificate(other, tmp_path / "other.key")
    assert "certificate" in refused(letter(mail_sink, ca_cert=str(other))).cause
    mail_sink.answers["STARTTLS"] = "454 not now"
    assert "454" in refused(letter(mail_sink)).cause
    assert mail_sink.mails == []


def test_what_a_mail_server_refuses_for_good_is_not_tried_again(mail_sink: MailSink) -> None:
    mail_sink.answers["RCPT"] = "550 no such user"
    assert not refused(letter(mail_sink)).may_retry
    mail_sink.answers["RCPT"] = "250 ok"
    mail_sink.answers["MAIL"] = "451 come back later"
    assert refused(letter(mail_sink)).may_retry


def sendmail(folder: Path, body: str) -> Sendmail:
    program = folder / "sendmail"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Sendmail("local", to=("root", "ops@example.com"), program=str(program), timeout_s=1)


def test_sendmail_gets_the_mail_on_its_standard_input(tmp_path: Path) -> None:
    channel = sendmail(tmp_path, f'printf "%s\\n" "$@" > {tmp_path}/argv; exec cat > {tmp_path}/stdin')
    channel.opened().send(event())
    assert (tmp_path / "argv").read_text().split() == ["-i", "--", "root", "ops@example.com"]
    text = (tmp_path / "stdin").read_bytes()
    assert text.startswith(b"Subject: Lifeboat on web1: run web1-etc FAILED\n") and b"\r" not in text
    assert b"To: root, ops@example.com" in text


def test_a_sendmail_that_fails_says_why(tmp_path: Path) -> None:
    error = refused(sendmail(tmp_path, "echo queue is full >&2; exit 75"))
    assert ("queue is full (exit code 75)" in error.cause, error.may_retry) == (True, True)
    assert not refused(sendmail(tmp_path, "exit 67")).may_retry
    assert "is not there" in refused(Sendmail("local", to=("root",), program="/nowhere/sendmail")).cause


def test_a_sendmail_that_hangs_is_ended(tmp_path: Path) -> None:
    begun = time.monotonic()
    error = refused(sendmail(tmp_path, "exec sleep 600"), event(lines=("x" * 900,) * 200))
    assert "ended by signal 15" in error.cause
    assert time.monotonic() - begun < 30


def test_a_webhook_gets_json_and_a_token(tmp_path: Path) -> None:
    with HttpSink(tmp_path / "sink", tls=True) as sink:
        url, token = Secret(value=f"{sink.url}/hook?job={{job}}"), Secret(value=TOKEN)
        Webhook("hook", url=url, token=token, ca_cert=str(sink.ca_file)).opened().send(event())
        (call,) = sink.calls
    assert (call.path, call.headers["authorization"]) == ("/hook?job=web1-etc", f"Bearer {TOKEN}")
    assert call.headers["content-type"] == "application/json"
    found = call.document
    assert (found["event"], found["job"], found["exit_code"]) == ("failure", "web1-etc", 1)
    assert found["text"].startswith("Lifeboat on web1: run web1-etc FAILED. Cannot back up wörk: away.")


def test_pings_end_as_such_services_want_them(http_sink: HttpSink) -> None:
    channel = Ping("ping", url=Secret(value=f"{http_sink.url}/{PATH}/{{job}}?create=1"))
    for outcome in ("start", "success", "failure", "incomplete", "flagged", "test"):
        channel.opened().send(event(outcome))
    assert [call.path.replace(f"/{PATH}/web1-etc", "") for call in http_sink.calls] == [
        "/start?create=1",
        "?create=1",
        "/fail?create=1",
        "/fail?create=1",
        "/fail?create=1",
        "/log?create=1",
    ]
    assert b"Cannot back up" in http_sink.calls[2].body


def test_redirects_are_not_followed(http_sink: HttpSink, tmp_path: Path) -> None:
    with HttpSink(tmp_path / "other") as other:
        http_sink.answers += [(307, {"Location": f"{other.url}/x"}), (302, {"Location": f"{other.url}/x"})]
        channel = Webhook("hook", url=Secret(value=http_sink.url), token=Secret(value=TOKEN))
        for _number in range(2):
            assert "redirects are not followed" in refused(channel).cause
        assert other.calls == []


@pytest.mark.parametrize(("status", "may_retry"), [(500, True), (503, True), (429, True), (404, False), (401, False)])
def test_what_may_pass_over_http_is_known(http_sink: HttpSink, status: int, may_retry: bool) -> None:
    http_sink.answers.append((status, {}))
    assert refused(Webhook("hook", url=Secret(value=http_sink.url))).may_retry is may_retry


def test_a_server_with_another_certificate_gets_nothing(tmp_path: Path) -> None:
    with HttpSink(tmp_path / "sink", tls=True) as sink:
        assert "certificate" in refused(Webhook("hook", url=Secret(value=sink.url), token=Secret(value=TOKEN))).cause
        assert sink.calls == []


def test_servers_that_are_away_or_say_nothing_are_given_up() -> None:
    port = servers.free_port()
    assert refused(Webhook("hook", url=Secret(value=f"http://127.0.0.1:{port}/"))).may_retry
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert refused(Ping("ping", url=Secret(value=url), timeout_s=1)).may_retry
        assert refused(SmtpMail("m", to=("a",), port=silent.getsockname()[1], timeout_s=1)).may_retry


class Host:
    """A host with the command, a job that backs a folder up to a directory and a bucket, and every kind of channel."""

    def __init__(self, folder: Path, minio: servers.MinioServer, bucket: str, mail: MailSink, http: HttpSink) -> None:
        self.folder, self.minio, self.bucket, self.mail, self.http = folder, minio, bucket, mail, http
        for name in ("source", "local", "state", "metrics"):
            (folder / name).mkdir()
        (folder / "source" / "a").write_text("what must survive")
        self.command = folder / "lifeboat"
        self.command.write_bytes(command_for(sys.executable))
        self.command.chmod(0o755)
        identity.initialise(DirectoryStore(str(folder / "local")))
        self.document: dict[str, t.Any] = {
            "repositories": {"site": self._site(), "local": {"path": str(folder / "local")}},
            "jobs": {
                "web1-etc": {
                    "kind": "files",
                    "roots": [str(folder / "source")],
                    "repositories": ["site"],
                    "objectives": {"rpo_hours": 26},
                    "schedule": {"cron": "17 2 * * *", "timezone": "Europe/Berlin"},
                }
            },
            "notifications": {"channels": self._channels()},
            "metrics": {"directory": str(folder / "metrics")},
            "state_dir": str(folder / "state"),
        }

    def _site(self) -> dict[str, t.Any]:
        key = self._secret("site.key", self.minio.secret_key)
        login = {"endpoint_url": self.minio.endpoint, "access_key": self.minio.access_key, "secret_key_file": key}
        return {"bucket": self.bucket, **login}

    def _channels(self) -> dict[str, t.Any]:
        record = self.folder / "sendmail"
        record.write_text(f"#!/bin/sh\nexec cat >> {self.folder}/state/mails\n")
        record.chmod(0o755)
        return {
            "mail": {
                "type": "smtp",
                "to": ["ops@example.com"],
                "server": "localhost",
                "port": self.mail.port,
                "user": USER,
                "password_file": self._secret("mail.password", PASSWORD),
                "ca_cert": str(self.mail.ca_file),
            },
            "local": {"type": "sendmail", "to": ["root"], "program": str(record)},
            "hook": {
                "type": "webhook",
                "url": f"{self.http.url}/hook",
                "token_file": self._secret("hook.token", TOKEN),
                "on": ["failure", "success"],
            },
            "ping": {"type": "ping", "url_file": self._secret("ping.url", f"{self.http.url}/{PATH}/{{job}}")},
        }

    def _secret(self, name: str, value: str) -> str:
        path = self.folder / name
        path.write_text(f"{value}\n")
        path.chmod(0o600)
        return str(path)

    def _configured(self, words: t.Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Write the configuration, and return arguments and environment."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.document))
        path.chmod(0o644)
        environment = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        return [str(self.command), "--config", str(path), *words], environment

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start the file itself."""
        argv, environment = self._configured(words)
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, by the file itself only where that is another one."""
        if self.command.read_bytes() == command_for(sys.executable):
            return warm_python.host_command(*self._configured(words))
        process = self.begin(*words)
        out, err = process.communicate(timeout=PATIENCE_S * 2)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def metrics(self) -> dict[str, float]:
        text = "".join(path.read_text() for path in sorted((self.folder / "metrics").iterdir()))
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _blank, value in lines}

    def metric(self, name: str, **labels: str) -> float:
        found = [
            value
            for key, value in self.metrics().items()
            if key.startswith(f"lifeboat_{name}{{") and all(f'{each}="{labels[each]}"' in key for each in labels)
        ]
        (value,) = found
        return value

    def paths(self) -> list[str]:
        return [call.path for call in self.http.calls]


@pytest.fixture
def host(
    s3: S3Client, s3_server: servers.MinioServer, bucket: str, mail_sink: MailSink, http_sink: HttpSink
) -> t.Iterator[Host]:
    folder = Path(tempfile.mkdtemp(prefix="lbt-notify-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        identity.initialise(BucketStore(s3, bucket))
        yield Host(folder, s3_server, bucket, mail_sink, http_sink)
    finally:
        shutil.rmtree(folder)


def test_a_stopped_server_makes_a_mail_and_a_metric_and_its_return_too(host: Host) -> None:
    assert host.call("run", "web1-etc").returncode == 0
    assert host.paths()[0] == f"/{PATH}/web1-etc/start"
    assert sorted(host.paths()[1:]) == [f"/{PATH}/web1-etc", "/hook"]
    assert host.mail.mails == [], "nobody wants to hear of every success"
    first = host.metric("last_success_timestamp_seconds", command="run")
    assert host.metric("last_exit_code", command="run") == 0

    host.minio.stop()
    host.http.calls.clear()
    try:
        done = host.call("run", "web1-etc")
        status = host.call("status", "--metrics")
    finally:
        host.minio.start()
    assert done.returncode == 1, done.stderr
    (mail,) = host.mail.mails
    assert mail.message["Subject"].endswith(": run web1-etc FAILED")
    assert "Remedy: " in mail.text and mail.was_encrypted and mail.user == USER
    assert "run web1-etc FAILED" in (host.folder / "state" / "mails").read_text()
    assert sorted(host.paths()) == [f"/{PATH}/web1-etc/fail", f"/{PATH}/web1-etc/start", "/hook"]
    assert host.metric("last_exit_code", command="run") == 1
    assert host.metric("last_success_timestamp_seconds", command="run") == first
    assert host.metric("last_failure_timestamp_seconds", command="run") > first
    assert status.returncode == 1 and "the last run ended with 1" in status.stdout
    assert host.metric("repository_reachable", repository="site") == 0
    assert host.metric("backup_timestamp_seconds") > 0, "an unreachable repository is not an empty one"

    host.mail.mails.clear()
    assert host.call("run", "web1-etc").returncode == 0
    assert host.mail.mails[0].message["Subject"].endswith(": run web1-etc is done, and works again")
    healthy = host.call("status", "--metrics")
    assert healthy.returncode == 0, healthy.stdout
    assert " in " in healthy.stdout.splitlines()[1], "the next run is known"
    assert host.metric("repository_reachable", repository="site") == 1
    assert host.metric("problems") == 0


def test_channels_that_are_away_change_no_exit_code_and_are_told_of(host: Host) -> None:
    channels = host.document["notifications"]["channels"]
    for channel in channels.values():
        channel.update(attempts=1, timeout_s=2)
    channels["mail"].update(port=servers.free_port(), on=["success"])
    channels["hook"]["url"] = f"http://127.0.0.1:{servers.free_port()}/"
    channels["local"].update(program="/nowhere/sendmail", on=["success"])
    channels["ping"]["url_file"] = "/nowhere/ping.url"
    done = host.call("--json", "run", "web1-etc")
    assert done.returncode == 0, done.stderr
    for name in channels:
        assert f"warning: notification channel {name} was not reached" in done.stderr
        assert host.metric("notification_failures_total", channel=name) == (2 if name == "ping" else 1)
    assert {each["delivered"] for each in json.loads(done.stdout)["notifications"]} == {False}
    status = host.call("status")
    assert status.returncode == 1 and "notification channel mail was not reached" in " ".join(status.stdout.split())


def test_an_incomplete_backup_is_told(host: Host) -> None:
    host.document["repositories"]["away"] = {**host.document["repositories"]["site"], "bucket": "nowhere"}
    host.document["jobs"]["web1-etc"]["repositories"] = ["local", "away"]
    assert host.call("run", "web1-etc").returncode == 5
    assert host.mail.mails[0].message["Subject"].endswith(": run web1-etc is INCOMPLETE")
    assert "away: MISSING" in host.mail.mails[0].text
    assert (host.metric("backup_copies"), host.metric("backup_copies_wanted")) == (1, 2)


def test_a_signal_is_told_before_the_command_ends(host: Host) -> None:
    # A server that takes the connection and never answers holds the run where the signal finds it.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        arrived = threading.Event()

        def take() -> None:
            connection, _address = silent.accept()
            arrived.set()
            connection.recv(1)

        threading.Thread(target=take, daemon=True).start()
        host.document["repositories"]["site"]["endpoint_url"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = host.begin("run", "web1-etc")
        assert arrived.wait(PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, err
    assert "run web1-etc was ended by SIGTERM" in host.mail.mails[0].text
    assert host.metric("last_exit_code", command="run") == 143


def test_no_secret_leaves_the_host_but_to_whom_it_belongs(host: Host) -> None:
    channels = host.document["notifications"]["channels"]
    Path(channels["mail"]["password_file"]).write_text(f"{PASSWORD}-wrong\n")
    channels["mail"].update(on=["success"], attempts=1)
    host.http.answers += [(404, {}), (404, {}), (404, {})]
    done = host.call("--json", "run", "web1-etc")
    assert done.returncode == 0
    told = done.stdout + done.stderr
    for words in (["status", "--metrics"], ["--json", "status"], ["check"], ["notify", "--test"]):
        again = host.call(*words)
        told += again.stdout + again.stderr
    assert "535" in told and "404" in told, "the servers have said what they were not to say"
    kept = b"".join(
        path.read_bytes() for name in ("state", "metrics") for path in (host.folder / name).iterdir()
    ).decode()
    bodies = "".join(call.body.decode() for call in host.http.calls)
    for secret in (PASSWORD, TOKEN, PATH, host.minio.secret_key):
        assert secret not in told and secret not in kept and secret not in bodies


def test_a_trial_reaches_every_channel(host: Host) -> None:
    done = host.call("notify", "--test")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["mail: sent", "local: sent", "hook: sent", "ping: sent"])
    assert host.mail.mails[0].message["Subject"].endswith(": trial message")
    assert f"/{PATH}//log" in host.paths()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user of a job")
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="NOT TESTED: no interpreter that every user can run")
def test_secrets_of_channels_may_be_those_of_root_and_what_is_kept_belongs_to_the_job(host: Host) -> None:
    nobody = pwd.getpwnam("nobody")
    host.command.write_bytes(command_for(str(SYSTEM_PYTHON)))
    host.document["jobs"]["web1-etc"].update(
        run_as="nobody", repositories=["local"], compression="none", roots=[str(host.folder / "source")]
    )
    for path in (*(host.folder / "local").rglob("*"), host.folder / "local"):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    for name in ("state", "metrics"):
        os.chown(host.folder / name, 0, nobody.pw_gid)
        (host.folder / name).chmod(0o2770)
    channels = host.document["notifications"]["channels"]
    channels["mail"].update(on=["success"], ca_cert=str(shutil.copy(host.mail.ca_file, host.folder / "ca.crt")))
    done = host.call("run", "web1-etc")
    assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
    assert host.mail.mails[0].user == USER
    assert host.call("status", "--metrics").returncode == 0
    owners = {path.name: path.stat().st_uid for name in ("state", "metrics") for path in (host.folder / name).iterdir()}
    assert owners == {
        "job.web1-etc.json": nobody.pw_uid,
        "lifeboat.job.web1-etc.prom": nobody.pw_uid,
        "lifeboat.prom": 0,
    }


def test_metrics_are_what_prometheus_accepts(host: Host) -> None:
    """promtool comes from the Debian package prometheus."""
    host.call("run", "web1-etc")
    host.call("verify", "web1-etc")
    host.call("status", "--metrics")
    for path in (host.folder / "metrics").iterdir():
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=path.read_text(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
