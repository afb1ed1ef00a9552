# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail: by an SMTP server, or by the host's own sendmail."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email.message
import email.policy
import email.utils
import re
import smtplib
import socket
import threading
import typing as t

from .. import clock
from ..child import Child
from ..errors import LifeboatError, UsageError
from ..s3.endpoint import is_loopback
from .notify_channel import Channel, NotSent, Opened, Secret, tls_context
from .notify_event import Event

SECURITY = ("starttls", "tls", "none")
PORTS = {"starttls": 587, "tls": 465, "none": 25}
SENDMAIL = "/usr/sbin/sendmail"  # Filesystem Hierarchy Standard 3.0, section 4.10
# As operators write it; no blanks, no option, nothing that begins a second header. A name alone is a user of the host.
_ADDRESS = re.compile(r"[A-Za-z0-9._%+][A-Za-z0-9._%+-]*(@[A-Za-z0-9.-]+)?")
_TEMPFAIL = 75  # EX_TEMPFAIL of sysexits.h


@dataclasses.dataclass(frozen=True)
class Letter(Channel):
    """What all mail has."""

    to: tuple[str, ...] = ()
    sender: str = ""  # address; empty: lifeboat@ this host

    def __post_init__(self) -> None:
        for each in (*self.to, *((self.sender,) if self.sender else ())):
            if not _ADDRESS.fullmatch(each):
                raise UsageError(f"Cannot use channel {self.name}", f"{each!r} is no address", "write ops@example.com")

    def message(self, event: Event) -> email.message.EmailMessage:
        """Return the mail about an event."""
        made = email.message.EmailMessage(email.policy.SMTP)
        made["Subject"] = event.title
        made["From"] = self.address
        made["To"] = ", ".join(self.to)
        made["Date"] = email.utils.format_datetime(clock.now())
        made["Message-ID"] = email.utils.make_msgid("lifeboat", _domain(self.address))
        # So that nobody's holiday answers (RFC 3834, section 5).
        made["Auto-Submitted"] = "auto-generated"
        made["X-Lifeboat-Event"] = event.outcome
        made.set_content(event.text())
        return made

    @property
    def address(self) -> str:
        return self.sender or f"lifeboat@{socket.gethostname()}"


@dataclasses.dataclass(frozen=True)
class SmtpMail(Letter):
    """Mail by an SMTP server (RFC 5321, RFC 3207)."""

    server: str = "localhost"
    port: int = 0  # 0: the usual one
    security: str = "starttls"
    user: str = ""
    password: Secret = dataclasses.field(default_factory=Secret)
    ca_cert: str = ""
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.security == "none" and not self.allow_plaintext and not is_loopback(self.server):
            raise UsageError(
                f"Cannot use channel {self.name}",
                f"{self.server} would be spoken to without encryption, and is not this machine",
                "use starttls or tls, or allow_plaintext: true where the network is trusted",
            )
        if bool(self.user) != bool(self.password):
            missing = "the password" if self.user else "the user"
            raise UsageError(f"Cannot use channel {self.name}", f"{missing} is missing", "give both, or neither")

    def opened(self) -> Opened:
        """Return it with its password. Raises UsageError."""
        password = self.password.read() if self.password else ""
        tls_context(self.ca_cert)  # a wrong file is found now
        pair = base64.b64encode(f"\0{self.user}\0{password}".encode()).decode("ascii") if password else ""
        return Opened(lambda event: self._send(event, password), (password, pair))

    def _send(self, event: Event, password: str) -> None:
        message = self.message(event)
        try:
            with self._connected() as server:
                if self.security == "starttls":
                    server.starttls(context=tls_context(self.ca_cert))
                if self.user:
                    server.login(self.user, password)
                refused = server.send_message(message, self.address, list(self.to))
        except smtplib.SMTPResponseException as error:
            words = error.smtp_error
            said = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
            raise NotSent(f"{self.server} said {error.smtp_code} {said}", 400 <= error.smtp_code < 500) from None
        except smtplib.SMTPRecipientsRefused as error:
            raise NotSent(f"{self.server} refused {', '.join(error.recipients)}", False) from None
        except smtplib.SMTPNotSupportedError as error:
            raise NotSent(f"{self.server} cannot do it: {error}", False) from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(f"{self.server}: {error}", True) from None
        if refused:
            raise NotSent(f"{self.server} refused {', '.join(refused)} and took the others", False)

    @contextlib.contextmanager
    def _connected(self) -> t.Iterator[smtplib.SMTP]:
        name, port = socket.gethostname(), self.port or PORTS[self.security]
        if self.security == "tls":
            context = tls_context(self.ca_cert)
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.server, port, name, timeout=self.timeout_s, context=context)
        else:
            server = smtplib.SMTP(self.server, port, name, timeout=self.timeout_s)
        # Not `with server`: after a failure it would wait for an answer to QUIT once more.
        try:
            yield server
            with contextlib.suppress(OSError):
                server.quit()
        finally:
            server.close()


@dataclasses.dataclass(frozen=True)
class Sendmail(Letter):
    """Mail by the program that every mail server brings."""

    program: str = SENDMAIL

    def opened(self) -> Opened:
        """Return it; there are no secrets."""
        return Opened(self._send)

    def _send(self, event: Event) -> None:
        argv = [self.program, "-i", *(["-f", self.sender] if self.sender else []), "--", *self.to]
        message = self.message(event).as_bytes(policy=email.policy.SMTP.clone(linesep="\n"))
        try:
            with Child(argv, pipe_stdin=True) as child:
                # A program that hangs is ended; then the pipe breaks, or the wait is over.
                alarm = threading.Timer(self.timeout_s, child.stop)
                alarm.daemon = True
                alarm.start()
                try:
                    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
                        pipe.write(message)
                    status = child.wait()
                finally:
                    alarm.cancel()
        except LifeboatError as error:
            raise NotSent(error.summary, False) from None
        if status != 0:
            ended = f"ended by signal {-status}" if status < 0 else f"exit code {status}"
            raise NotSent(f"{self.program}: {child.stderr() or 'it said nothing'} ({ended})", status == _TEMPFAIL)


def _domain(address: str) -> str:
    return email.utils.parseaddr(address)[1].rpartition("@")[2] or "localhost"
