# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs use cases of the engine, each in a process of its own that can be ended or held up at any of its steps.

python3 crash_driver.py FOLDER LOCKS, where FOLDER holds `ansible_collections`, and jobs are locked in LOCKS. Each line
of standard input is an order (JSON: the fields of `Order`), each line of standard output an event: {"event": "held"}
when the run stands still at a step until the next line comes in, {"event": "ended", ...} when its process is gone. The
engine is imported once; a run is a fork, because most of the time of a short run would be imports.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import gc
import importlib
import json
import os
import platform
import resource
import signal
import sys
import threading
import types
import typing as t

_ENGINE = "ansible_collections.lifeboat.recovery.plugins.module_utils._engine"
# What the use cases import: a fork that had to import it would do so each time.
_USED = (
    *(f"host.{name}" for name in ("copy_run", "database_backup", "mirror_run", "prune_run", "restore_run", "signals")),
    *(f"host.{name}" for name in ("object_sources", "objects_backup", "objects_choice", "objects_destination")),
    *("host.objects_job", "host.objects_restore", "host.verify_run", "repository.bucket", "repository.delete"),
    *("repository.directory", "repository.keep", "s3.client"),
)
_KEYRINGS = "ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.keyrings"


@dataclasses.dataclass(frozen=True)
class Order:
    """One run: what to do, and what happens to it."""

    use_case: str  # back_up | copy | verify | restore | mirror | prune | delete | keyring, and those of objects
    job: str
    # name, `directory`, or `bucket`, `prefix` and `endpoint`; UUID; `secret` of the keyring, where there is one
    places: t.Sequence[t.Mapping[str, t.Any]]
    server: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # fields of the engine's Server
    options: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # of the use case
    step: str = ""  # where it happens, as `steps` of a former run name it; empty: nothing happens
    fault: str = ""  # kill | terminate | hold | stop (all of its threads, by SIGSTOP)
    away_s: float = 0.0  # how long it seems to have stood still once it goes on after a stop
    clock_ahead_s: float = 0.0  # how far the clock of this host is ahead of all others
    part_bytes: int = 0  # size of the parts of uploads, for small data to have several; 0: as the engine has it
    file_limit_bytes: int = 0  # no file may grow beyond this (setrlimit(2), RLIMIT_FSIZE); 0: no limit
    host: str = ""  # name that this host is to have
    lock_folder: str = ""  # where this host keeps its locks, if it is another one
    is_week_later: bool = False  # intents of runs that are not under way are dead
    is_hour_later: bool = False  # a lease that a killed run left is over (waiting would take an hour)
    # Objects: `endpoint` and `buckets`, or `roots`; to restore to: `endpoint`, or `folder`, and `map`.
    source: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    pack_bytes: int = 0  # plain size of packs, for small data to have several; 0: as the engine has it


class Steps:
    """Names every step by its phase, name and number, such as `copying/s3.put_object.sent#2`, and acts at one."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._lock = threading.Lock()
        self._phase = "beginning"
        self._counts: dict[str, int] = {}
        self.seen: list[str] = []
        self.said: list[str] = []

    def say(self, line: str) -> None:
        """Begin a phase with what a run tells its user."""
        self.said.append(line)
        self._phase = line.partition(": ")[2].partition(" ")[0]

    def __call__(self, name: str) -> None:
        with self._lock:
            bare = f"{self._phase}/{name}"
            self._counts[bare] = self._counts.get(bare, 0) + 1
            step = f"{bare}#{self._counts[bare]}"
            self.seen.append(step)
        if step == self._order.step:
            self._act()

    def _act(self) -> None:
        if self._order.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._order.fault == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        elif self._order.fault == "hold":
            _tell({"event": "held", "peak_kib": _peak_kib()})
            if not _line():
                os._exit(1)  # the tests are gone
        elif self._order.fault == "stop":
            _tell({"event": "stopped", "pid": os.getpid()})
            os.kill(os.getpid(), signal.SIGSTOP)
            _Absence.is_over = True


class _Absence:
    """Makes a process that was stopped find that much time has passed meanwhile.

    The clocks of servers cannot be moved. So a process that will be stopped sees all clocks behind by the time of its
    absence until then, and its requests are signed with the true time; whatever it still sends afterwards with a time
    that it read before, is as old as that time says, and the server judges it.
    """

    is_over = False

    def __init__(self, away_s: float, reached: t.Callable[[str], None]) -> None:
        self._away = dt.timedelta(seconds=away_s)
        self._reached = reached

    def begin(self) -> None:
        clock, signer = _engine("clock"), _engine("s3.signature").Signer
        vars(clock)["AHEAD"] += self._away  # what others made meanwhile is not of the future
        host, monotonic, signed = clock.now, clock.monotonic, signer.signed
        for store in (_engine("repository.bucket").BucketStore, _engine("repository.directory").DirectoryStore):
            store.now = self._behind(store.now)
        vars(clock)["now"] = lambda: host() - self._left
        vars(clock)["monotonic"] = lambda: monotonic() - self._left.total_seconds()
        signer.signed = lambda this, login, moment, *more: signed(this, login, moment + self._left, *more)

    @property
    def _left(self) -> dt.timedelta:
        return dt.timedelta(0) if self.is_over else self._away

    def _behind(self, read: t.Callable[[t.Any], dt.datetime]) -> t.Callable[[t.Any], dt.datetime]:
        def reading(store: t.Any) -> dt.datetime:
            moment = read(store) - self._left
            self._reached("clock.read")  # between a check and the request that is signed with its time
            return moment

        return reading


def _engine(name: str) -> types.ModuleType:
    return importlib.import_module(f"{_ENGINE}.{name}")


def _place(facts: t.Mapping[str, t.Any]) -> t.Any:
    if "directory" in facts:
        store = _engine("repository.directory").DirectoryStore(facts["directory"])
    else:
        endpoint = _engine("s3.endpoint").Endpoint(**facts["endpoint"])
        store = _engine("repository.bucket").open_bucket(endpoint, facts["bucket"], facts["prefix"])
    access = _engine("repository.keyring").Access(_secret(facts["secret"])) if facts.get("secret") else None
    return _engine("host.place").Place(facts["name"], store, facts.get("repository", ""), access)


def _secret(text: str) -> t.Any:
    return _engine("repository.organisation_secret").from_text(text, "an order")


def _mirrored(order: Order, say: t.Callable[[str], None]) -> t.Any:
    mirror, endpoint = _engine("host.mirror_run"), _engine("s3.endpoint").Endpoint
    sides = [
        mirror.Side("", endpoint(**facts["endpoint"]), facts["bucket"], facts.get("prefix", ""))
        if "bucket" in facts
        else mirror.Side("", path=facts["directory"])
        for facts in order.places
    ]
    job = mirror.MirrorJob(sides[0], tuple(sides[1:]), **order.options)
    with mirror.opened(job) as request:
        return mirror.run(mirror.plan(request, job), say)


def _done(order: Order, say: t.Callable[[str], None]) -> t.Any:
    if order.use_case == "mirror":
        return _mirrored(order, say)
    if order.use_case == "keyring":
        return _keyring_changed(order)
    places = tuple(_place(facts) for facts in order.places)
    if order.use_case == "prune":
        return _pruned(order, places, say)
    if order.use_case == "delete":
        window = dt.timedelta(minutes=15)
        return _engine("repository.delete").delete(places[0].store, order.job, window=window, **order.options)
    if order.use_case == "back_up_objects":
        return _objects_backed_up(order, places, say)
    if order.use_case == "restore_objects":
        return _objects_restored(order, places, say)
    server, options = _engine("postgres.connection").Server(**order.server), dict(order.options)
    if order.use_case == "back_up":
        run = _engine("host.database_backup")
        return run.back_up(run.DatabaseJob(name=order.job, server=server, places=places, **options), say)
    if order.use_case == "copy":
        run = _engine("host.copy_run")
        return run.run(run.plan(run.CopyRequest(job=order.job, source=places[0], target=places[1], **options)), say)
    if order.use_case == "verify":
        run = _engine("host.verify_run")
        return run.verify(run.plan(run.VerifyRequest(job=order.job, places=places, **options)), say)
    run = _engine("host.restore_run")
    return run.restore(run.plan(run.RestoreRequest(job=order.job, places=places, server=server, **options)), say)


def _keyring_changed(order: Order) -> None:
    """Make a keyring with so many `epochs`, or add what is missing of them; or let another `secret` open it."""
    keyrings, stores = importlib.import_module(_KEYRINGS), [_place(facts).store for facts in order.places]
    secret, new = _secret(order.places[0]["secret"]), order.options.get("secret")
    if new:
        keyrings.rewrap(stores, _secret(new), _engine("repository.keyring").Access(secret))
    else:
        keyrings.create(stores, secret, is_single=True, epochs=order.options["epochs"])


def _pruned(order: Order, places: tuple[t.Any, ...], say: t.Callable[[str], None]) -> t.Any:
    run, options = _engine("host.prune_run"), dict(order.options)
    keep = _engine("repository.keep").keep_from(options.pop("keep"))
    request = run.Request(order.job, places, {place.name: keep for place in places}, **options)
    outcomes = run.run(request, run.plan(request), say)
    error = run.error_of(outcomes)
    if error is not None:
        raise error
    return tuple(each.result for each in outcomes)


def _objects_backed_up(order: Order, places: tuple[t.Any, ...], say: t.Callable[[str], None]) -> t.Any:
    run, sources = _engine("host.objects_backup"), _engine("host.object_sources")
    if "roots" in order.source:
        kind, opened = "files", sources.FileSelection(tuple(order.source["roots"])).opened
    else:
        client, selection = _client(order.source), sources.BucketSelection(tuple(order.source["buckets"]))
        kind, opened = "bucket", functools.partial(selection.opened, client)
    job = _engine("host.objects_job").ObjectsJob(order.job, kind, opened, places, **order.options)
    return run.back_up(job, say)


def _objects_restored(order: Order, places: tuple[t.Any, ...], say: t.Callable[[str], None]) -> t.Any:
    run, destinations = _engine("host.objects_restore"), _engine("host.objects_destination")
    options = dict(order.options)
    choice = _engine("host.objects_choice").Choice(order.job, options.pop("backup", "latest_good"))
    if "folder" in order.source:
        destination = destinations.Folder(order.source["folder"])
    else:
        destination = destinations.Server(_client(order.source))
    options["confirm"] = tuple(options.get("confirm", ()))
    request = run.RestoreRequest(choice, places, destination, map=order.source.get("map", {}), **options)
    return run.restore(run.plan(request, say), say)


def _client(facts: t.Mapping[str, t.Any]) -> t.Any:
    return _engine("s3.client").S3Client(_engine("s3.endpoint").Endpoint(**facts["endpoint"]))


def _prepare(order: Order, steps: Steps) -> None:
    if order.part_bytes:
        vars(_engine("s3.multipart"))["_SIZES"] = (order.part_bytes,)
    if order.pack_bytes:
        run = _engine("host.objects_backup")
        vars(run)["PackWriter"] = functools.partial(run.PackWriter, pack_size=order.pack_bytes)
    if order.file_limit_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit_bytes, order.file_limit_bytes))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if order.away_s:
        _Absence(order.away_s, steps).begin()
    if order.clock_ahead_s:
        clock, ahead = _engine("clock"), dt.timedelta(seconds=order.clock_ahead_s)
        host = clock.now
        vars(clock)["now"] = lambda: host() + ahead
    if order.host:
        vars(platform)["node"] = lambda: order.host
    if order.lock_folder:
        vars(_engine("host.job_lock"))["_FOLDERS"] = (order.lock_folder,)
    if order.is_week_later:
        vars(_engine("repository.alive"))["INTENT_LIFE"] = dt.timedelta(hours=-1)
    if order.is_hour_later:
        vars(_engine("repository.lease"))["MARGIN"] = dt.timedelta(days=-1)


def _run(order: Order) -> dict[str, t.Any]:
    """Do what is ordered and return what came of it, as JSON has it."""
    errors, signals, steps = _engine("errors"), _engine("host.signals"), Steps(order)
    _prepare(order, steps)
    _engine("steps").watch(steps)
    told: dict[str, t.Any] = {"error": "", "exit_code": 0}
    try:
        with signals.unwinding():
            result = _done(order, steps.say)
    except signals.Interrupted as interrupted:
        raise SystemExit(interrupted.exit_code) from None
    except errors.LifeboatError as error:
        told.update(error=str(error), exit_code=error.exit_code, kind=type(error).__name__)
        told["guard"] = getattr(error, "guard", "")
        result = getattr(error, "result", None)
    several = isinstance(result, tuple)
    found = [dataclasses.asdict(each) for each in (result if several else (result,)) if each is not None]
    told.update(result=found, steps=steps.seen, said=steps.said, peak_kib=_peak_kib())
    return told


def _peak_kib() -> int:
    """Return the most memory that this process has ever had resident, its children not counted (proc(5), VmHWM)."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def _forked(order: Order) -> dict[str, t.Any]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.close(reader)
            data = json.dumps(_run(order), default=str).encode()
            with open(writer, "wb") as pipe:
                pipe.write(data)
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    _pid, status = os.waitpid(pid, 0)
    return {"event": "ended", "status": os.waitstatus_to_exitcode(status), **(json.loads(data) if data else {})}


def _tell(event: t.Mapping[str, t.Any]) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")


def _line() -> bytes:
    """Read a line, and not a byte more: runs and their parent read from the same pipe."""
    read = bytearray()
    while not read.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        read += byte
    return bytes(read)


def main(folder: str, locks: str) -> None:
    """Carry out orders until there are no more; jobs are locked in the folder `locks`."""
    sys.path.insert(0, folder)
    for name in _USED:
        _engine(name)
    vars(_engine("host.job_lock"))["_FOLDERS"] = (locks,)
    _engine("repository.key_wrapping").library()
    importlib.import_module("cryptography.hazmat.backends").default_backend()
    importlib.import_module(_KEYRINGS)
    gc.collect()
    gc.freeze()  # else the first search for cycles of each fork would copy most of the memory
    while True:
        line = _line()
        if not line:
            return
        _tell(_forked(Order(**json.loads(line))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
