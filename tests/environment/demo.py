# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows a disaster and the way back: servers of its own, an application, backups, the damage, the recovery, the proof.

Everything that Lifeboat does here is done by the playbooks of the collection, on inventories/demo. With KEEP=1 the
servers are left running, and it is said how to reach and to stop them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import demo_application as application
import demo_comparison as comparison
import minio_binary
import postgres_binaries
from cache import CHECKOUT, SetupError
from processes import GuardedProcess, unwind_on_sigterm
from servers import MinioServer, PostgresServer, Server

_INVENTORY = CHECKOUT / "inventories" / "demo" / "hosts.yml"
_INVOICES_AFTER_BACKUP = 25
_LOG_TAIL_LINES = 60
_WIDTH = 94
_DAMAGE = """
UPDATE billing.invoice_line SET price = price * 100 WHERE invoice % 3 = 0;
DELETE FROM documents.preview WHERE key < '2022';
SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata WHERE oid NOT IN (SELECT picture FROM documents.preview);
DROP TABLE audit.event CASCADE;
DROP VIEW billing.open_invoice;
"""


class DemoError(Exception):
    """The demo did not show what it is to show; the text is for the reader."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """The servers, and the folder in which everything lies."""

    folder: Path
    postgres: PostgresServer
    site: MinioServer
    offsite: MinioServer
    secret: str  # of the organisation: backups are encrypted with it

    @property
    def servers(self) -> tuple[Server, ...]:
        return (self.postgres, self.site, self.offsite)

    def settings(self) -> dict[str, str]:
        """Return what inventories/demo looks up in the environment."""
        found = {
            "FOLDER": str(self.folder),
            "SECRET": self.secret,
            "PG_HOST": "127.0.0.1",
            "PG_PORT": str(self.postgres.port),
            "PG_PASSWORD": self.postgres.password or "",
            "PG_BIN_DIR": str(self.postgres.bin_dir),
        }
        for name, minio in (("SITE", self.site), ("OFFSITE", self.offsite)):
            found[f"{name}_URL"] = minio.endpoint
            found[f"{name}_ACCESS_KEY"] = minio.access_key
            found[f"{name}_SECRET_KEY"] = minio.secret_key
        return {f"LIFEBOAT_DEMO_{name}": value for name, value in found.items()}


class Phases:
    """Shows each phase while it runs, with its seconds when it has ended."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str, about: str) -> t.Iterator[None]:
        """Run the block as the phase `name`."""
        print(f"{about:<{_WIDTH}}", end="", flush=True)
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            print("  stopped", flush=True)
            raise
        self.seconds[name] = time.monotonic() - begun
        print(f"{self.seconds[name]:7.1f} s", flush=True)


def _set_up() -> int:
    """Find the programs, which may have to be fetched or built, and return the major version of PostgreSQL."""
    minio_binary.find()
    tried = []
    for major in postgres_binaries.MAJORS:
        try:
            postgres_binaries.bin_dir(major)
        except SetupError as error:
            tried.append(str(error))
        else:
            return major
    raise SetupError("\n".join(tried))


def _stage(folder: Path, major: int) -> Stage:
    return Stage(
        folder,
        PostgresServer(folder / "postgresql", major, password=secrets.token_urlsafe(24)),
        MinioServer(folder / "site", access_key="demo-site"),
        MinioServer(folder / "offsite", access_key="demo-offsite"),
        secrets.token_hex(32),
    )


@contextlib.contextmanager
def _beside(
    stage: Stage, name: str, variables: t.Mapping[str, str] | None = None, *, expect: int = 0
) -> t.Iterator[Path]:
    """Run a playbook of the collection beside the block, and yield its log, which is whole after the block.

    `expect`: the exit code that it must have. Secrets travel in the environment only. Raises DemoError with the end of
    the log.
    """
    log = stage.folder / "logs" / f"{len(list((stage.folder / 'logs').iterdir())) + 1:02d}-{name}.log"
    command = ["ansible-playbook", f"lifeboat.recovery.{name}", "-i", _INVENTORY, "-e", json.dumps(variables or {})]
    scratch = stage.folder / "scratch"
    environment = {
        **os.environ,
        **stage.settings(),
        "ANSIBLE_HOME": str(stage.folder / "ansible"),
        "ANSIBLE_REMOTE_TMP": str(scratch / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "TMPDIR": str(scratch),
    }
    # By SIGINT modules clean up behind themselves.
    with GuardedProcess(
        command, log=log, environment=environment, cwd=stage.folder, stop_signal=signal.SIGINT, grace_s=8.0
    ) as process:
        yield log
        status = process.wait()
    if status != expect:
        end = "\n".join(_said(log).splitlines()[-_LOG_TAIL_LINES:])
        raise DemoError(f"{shlex.join(map(str, command))}\nended with {status}, not {expect}. It said:\n{end}")


def _run_playbook(stage: Stage, name: str, variables: t.Mapping[str, str] | None = None, *, expect: int = 0) -> str:
    """Run a playbook of the collection and return what it said. For the rest see `_beside`."""
    with _beside(stage, name, variables, expect=expect) as log:
        pass
    return _said(log)


def _said(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _state(stage: Stage) -> comparison.State:
    return {
        **comparison.state_of(stage.postgres, application.DATABASE),
        **comparison.state_of_bucket(stage.site),
    }


def _play(stage: Stage, phases: Phases, pool: concurrent.futures.Executor) -> bool:
    """Play everything from the empty servers to the comparison, and say whether all came back."""
    postgres = stage.postgres
    filling = pool.submit(application.fill_database, postgres)
    with phases("site", "Make buckets, repositories and their keyring: playbook site"):
        _run_playbook(stage, "site")
    about = f"Verify the printed recovery code: recovery_key. Fill in {application.DOCUMENTS:,} PDF and PNG objects"
    code = {"lifeboat_recovery_code_file": str(stage.folder / "recovery-code")}
    with phases("fill", about), _beside(stage, "recovery_key", code):
        object_bytes = application.fill_bucket(stage.site)
        filling.result()
        before = _state(stage)
    about = "Back up, encrypted, to a local directory and off-site: backup, for each job. Mirror: mirror"
    with phases("backup", about), _beside(stage, "mirror"), _beside(stage, "backup", {"lifeboat_job": "documents"}):
        _run_playbook(stage, "backup", {"lifeboat_job": "archive"})
        data = stage.folder / "backups" / "data" / "demo-archive"
        stored = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    trial = {"lifeboat_level": "restore", "lifeboat_repository": "offsite"}
    about = "Prove the off-site copies by restoring them on trial: verify, for each job"
    with phases("verify", about), _beside(stage, "verify", {**trial, "lifeboat_job": "documents"}):
        _run_playbook(stage, "verify", {**trial, "lifeboat_job": "archive"})
    with phases("damage", "Work goes on; then tables and objects are damaged, database and local backups deleted"):
        application.work_on(postgres, _INVOICES_AFTER_BACKUP)
        failed_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        postgres.sql(_DAMAGE, application.DATABASE)
        application.damage_bucket(stage.site)
        damaged = _state(stage)
        postgres.sql(f"DROP DATABASE {application.DATABASE} WITH (FORCE)")
        shutil.rmtree(stage.folder / "backups")
    recovery = "dr.database_corruption"
    about = f"See the plan, which waits for a confirmation: {recovery}. So much gone? mirror refuses"
    with phases("plan", about):
        with _beside(stage, "mirror", expect=2) as mirror:
            said = _run_playbook(stage, recovery, {"lifeboat_failed_at": failed_at}, expect=2)
        _require("lifeboat_confirm=archive" in said, "the playbook did not ask for the confirmation")
        _require("mass_delete" in _said(mirror), "the mirror did not refuse to follow")
    confirmed = {"lifeboat_failed_at": failed_at, "lifeboat_confirm": application.DATABASE}
    bucket = {"lifeboat_job": "documents", "lifeboat_confirm": application.BUCKET}
    about = f"Recover the database: {recovery}. Get lost objects back: restore"
    with phases("recover", about), _beside(stage, "restore", bucket):
        _run_playbook(stage, recovery, confirmed)
    with phases("compare", "Compare every row and object by SQL and boto3"):
        recovered = _state(stage)
        rows = comparison.compare(before, damaged, recovered)
    with phases("again", "Recover again: nothing to do, nothing changes"):
        with _beside(stage, "restore", bucket) as objects:
            said = _run_playbook(stage, recovery, confirmed)
        _require(re.search(r"changed=0\b", said) is not None, "the second run changed something")
        said = _said(objects)
        _require(re.search(r"changed=0\b", said) is not None, "the second restore of objects changed something")
        _require(_state(stage) == recovered, "the second run changed the data")
    about = "Make the local repository again, and bring it what it lacks: copy. Compare the mirror: mirror"
    with phases("copy", about), _beside(stage, "mirror", {"lifeboat_verify": "yes"}):
        _run_playbook(stage, "copy", {"lifeboat_make": "local", "ansible_become": "false"})
    with phases("prune", "Remove the backup from before the damage, as keep says: prune"):
        said = _run_playbook(stage, "prune")
        _require(re.search(r"changed=[1-9]", said) is not None, "nothing was pruned")
    _show(stage, phases, rows, object_bytes, stored)
    return all(row.is_same for row in rows)


def _require(is_so: bool, problem: str) -> None:
    if not is_so:
        raise DemoError(problem)


def _show(stage: Stage, phases: Phases, rows: list[comparison.Row], object_bytes: int, stored: int) -> None:
    report = json.loads((stage.folder / "reports" / "demo-archive.json").read_text(encoding="utf-8"))
    database_bytes = int(stage.postgres.sql(f"SELECT pg_database_size('{application.DATABASE}')"))
    seconds = phases.seconds
    named = stage.postgres.sql("SELECT key, bytes FROM documents.document", application.DATABASE)
    expected = {key: int(size) for key, size in (line.rsplit("|", 1) for line in named.splitlines())}
    fitting = expected == application.keys_in_bucket(stage.site)
    facts = {
        "database": f"{_mb(database_bytes)}; a backup takes {_mb(stored)}, encrypted, in each of local and offsite",
        "bucket": f"{len(expected):,} objects of {_mb(object_bytes)}; the recovered rows name "
        + ("exactly these" if fitting else "OTHERS"),
        "backup": f"{seconds['backup']:.1f} s with all copies read back; a restore on trial: {seconds['verify']:.1f} s",
        "recovered from": f"{report['backup']['id']} in {report['backup']['repository']}",
        "lost for good": f"{_INVOICES_AFTER_BACKUP} invoices that were written after the backup",
        "measured RPO": f"{report['rpo_s']:.0f} s from the recovery point to the damage",
        "measured RTO": f"{report['rto_s']:.0f} s from the damage to a database that was compared and serves",
        "": "(" + ", ".join(f"{phase['name']} {phase['seconds']:.1f} s" for phase in report["phases"]) + ")",
        "in all": f"{time.monotonic() - phases.begun:.0f} s",
    }
    print("\n" + "\n".join(comparison.table(rows)) + "\n")
    print("\n".join(f"{name:16}{text}" for name, text in facts.items()), flush=True)
    _require(fitting, "the recovered rows name other objects than those of the bucket")


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _leave_running(stage: Stage) -> None:
    """Let the servers outlive us, and say how to reach and to stop them."""
    for server in stage.servers:
        server.process.leave_running()
    settings = stage.folder / "environment"
    with open(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in stage.settings().items())
    run = f"{shlex.quote(sys.executable)} {shlex.quote(str(CHECKOUT / 'tests' / 'environment' / 'run.py'))}"
    pids = " ".join(str(server.process.guard_pid) for server in stage.servers)
    psql = f"{stage.postgres.bin_dir}/psql -h {stage.postgres.socket_dir} -p {stage.postgres.port} -U postgres"
    print(
        f"\nThe servers are left running. Addresses and secrets:  . {settings}\n"
        f"  playbooks   {run} ansible-playbook -i {_INVENTORY} lifeboat.recovery.status\n"
        f"  database    {psql} {application.DATABASE}\n"
        f"  MinIO       {stage.site.endpoint} (site), {stage.offsite.endpoint} (off-site)\n"
        f"  logs        {stage.folder / 'logs'}\n"
        f"  stop        kill {pids} && rm -rf {stage.folder}",
        flush=True,
    )


def _scratch() -> Path:
    """Make the folder for everything; PostgreSQL, which is not root, must be able to walk into it."""
    folder = Path(tempfile.mkdtemp(prefix="lifeboat-demo-"))
    folder.chmod(0o755)
    for name in ("logs", "scratch"):
        (folder / name).mkdir()
    return folder


def main() -> int:
    """Play the demo and return the exit code: 0 only if everything came back. Raises SetupError."""
    unwind_on_sigterm()
    is_kept = os.environ.get("KEEP", "") not in ("", "0")
    major = _set_up()
    phases = Phases()
    with contextlib.ExitStack() as stack:
        folder = _scratch()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # Entered before the servers: they end first, and with them whatever a thread still asks them.
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor())
        stage = _stage(folder, major)
        with phases("start", f"Start PostgreSQL {major} and two MinIO servers, site and off-site"):
            for server in stage.servers:
                stack.enter_context(server)
        try:
            is_back = _play(stage, phases, pool)
        except (DemoError, SetupError) as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            is_back = False
        else:
            print("\nEverything came back." if is_back else "\nNOT everything came back.", flush=True)
        if is_kept:
            _leave_running(stage)
            stack.pop_all()
    return 0 if is_back else 1


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except SetupError as failure:
        raise SystemExit(f"Cannot set the demo up: {failure}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
