# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import pwd
import tempfile
import traceback
import typing as t

from ..errors import LifeboatError, UsageError

Document = t.Dict[str, t.Any]  # noqa: UP006 - evaluated at run time on Python 3.9 as well; JSON-serialisable


def is_root() -> bool:
    """Say whether this process may become any user."""
    return os.geteuid() == 0


def is_other(user: str) -> bool:
    """Say whether `user` (empty: whoever runs this) is another one than this process's. Raises UsageError."""
    return bool(user) and _account(user).pw_uid != os.geteuid()


def become(user: str, job: str) -> None:
    """Become the user that a job belongs to, for good; does nothing when that is who runs this.

    Raises UsageError when only root could.
    """
    if not is_other(user):
        return
    if not is_root():
        raise UsageError(
            f"Cannot work on job {job} as user {user_name()}",
            f"its run_as is {user}",
            f"run this as {user} or root, such as: sudo -u {user} lifeboat …",
        )
    entry = _account(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)
    # Both may lead to a folder that only root can use.
    os.environ.pop("TMPDIR", None)
    tempfile.tempdir = None
    os.chdir("/")


def as_user(user: str, job: str, work: t.Callable[[], Document]) -> Document:
    """Return what `work` returns when it is done by the user that a job belongs to; this process stays who it is.

    Root does it in a child that gives up its rights. What the child sends is JSON, because nothing that comes from a
    user with fewer rights may be more than data here. `work` must raise nothing but LifeboatError.
    """
    if not is_other(user) or not is_root():
        become(user, job)
        return work()
    return apart(user, job, work)


def apart(user: str, job: str, work: t.Callable[[], Document]) -> Document:
    """Return what `work` returns when a copy of this process does it as the user that a job belongs to.

    For work that is followed by that of other users: a process with threads could not be copied again. Otherwise as
    `as_user`.
    """
    receiving, sending = os.pipe()
    pid = os.fork()  # there are no threads before the first request
    if pid == 0:
        _be_child(sending, user, job, work)
    os.close(sending)
    return _answer_of(pid, receiving, user, job)


def _be_child(sending: int, user: str, job: str, work: t.Callable[[], Document]) -> t.NoReturn:
    status = 1
    try:
        with open(sending, "w", encoding="utf-8") as pipe:
            become(user, job)
            json.dump(work(), pipe)
        status = 0
    except LifeboatError as error:
        os.write(2, f"{error}\n".encode())
    except Exception:
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(status)


def _answer_of(pid: int, receiving: int, user: str, job: str) -> Document:
    problem = f"Cannot work on job {job} as user {user or user_name()}"
    try:
        with open(receiving, encoding="utf-8") as pipe:
            text = pipe.read()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 15)
        raise
    finally:
        _pid, status = os.waitpid(pid, 0)
    if status != 0:
        raise LifeboatError(problem, f"its process ended with status {status}", "see what it said above")
    answer = json.loads(text)
    if not isinstance(answer, dict):
        raise LifeboatError(problem, "its process did not answer with an object", "try again")
    return answer


def user_name() -> str:
    """Return the name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise UsageError(
            f"Cannot work as user {user}", "this host has no such user", "create it, or correct run_as"
        ) from error
