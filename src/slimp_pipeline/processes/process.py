"""Which process something belongs to, told in a way that outlives it: numbers of processes are used again."""

import hashlib
import json
import os
import re
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

_PID_NAMESPACE = "pid:[{}]"  # as Linux names it


@dataclass(frozen=True)
class Process:
    """A process of some machine; what would name the machine stands as a digest, since it is noted in MLflow.

    Args:
        host: Digest of the machine's name and id.
        machine: Of its id alone, which survives a restart; empty where there is none.
        boot: Of the id of its run since the last start.
        numbering: Which set of process numbers it sees: containers have their own.
        number: The process's number.
        started: When it started, in clock ticks since the start of the machine.
    """

    host: str
    machine: str
    boot: str
    numbering: str
    number: int
    started: str

    @classmethod
    def own(cls) -> "Process":
        """This very process."""
        return cls(*_machine(), _link("/proc/self/ns/pid"), os.getpid(), _started(os.getpid()))

    def as_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Process | None":
        """Read what `as_text` wrote; None where it says something else."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError):
            return None

    def as_name(self) -> str:
        """As a part of a file's name."""
        numbering = re.sub(r"\D", "", self.numbering)
        return "-".join((self.host, self.machine, self.boot, numbering, str(self.number), self.started))

    @classmethod
    def from_name(cls, name: str) -> "Process | None":
        """Read what `as_name` wrote; None where it says something else."""
        if not (parts := re.fullmatch(r"([\da-f]*)-([\da-f]*)-([\da-f]*)-(\d*)-(\d+)-(\d*)", name)):
            return None
        host, machine, boot, numbering, number, started = parts.groups()
        return cls(host, machine, boot, numbering and _PID_NAMESPACE.format(numbering), int(number), started)

    def is_gone(self) -> bool:
        """Whether it provably runs no more; False where that can't be told, as on another machine."""
        here = Process.own()
        if self.host != here.host or not (self.boot and here.boot):
            return False
        if self.boot != here.boot:  # restarted since, if it is the same machine
            return bool(self.machine) and self.machine == here.machine
        return bool(self.numbering) and self.numbering == here.numbering and _started(self.number) != self.started


@cache
def _machine() -> tuple[str, str, str]:
    """Digests of its name and id, of its id, and of its run since the last start."""
    machine = _read("/etc/machine-id")
    boot = _read("/proc/sys/kernel/random/boot_id")
    return _digest(f"{socket.gethostname()} {machine}"), _digest(machine), _digest(boot)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _started(number: int) -> str:
    # The name of a program, in parentheses, may hold blanks and parentheses.
    fields = _read(f"/proc/{number}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
