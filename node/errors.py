"""What the daemon, its jobs and the command line refuse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hansa.config.errors import HansaError


class UsageError(HansaError):
    """A request that names something unknown or lacks something (fields: the names concerned)."""

    code = "usage"
    exit_code = 2


class JobError(HansaError):
    """A job that failed; every party has the same error (fields: job, culprit, step)."""

    code = "job-failed"
    exit_code = 7


class DaemonNotRunning(HansaError):
    """No daemon answers on the admin socket of this home."""

    code = "daemon-not-running"
    exit_code = 9


class MissingExtra(HansaError):
    """A feature whose optional dependency is not installed (fields: extra, package)."""

    code = "missing-extra"
    exit_code = 3


class EvidenceError(HansaError):
    """The trusted hardware of this machine gave no evidence, or none that can be used (fields: device)."""

    code = "evidence"
    exit_code = 8


class RelayedError(HansaError):
    """An error raised elsewhere (another process, another party), with its own code, cause and remedy."""

    def __init__(self, code: str, exit_code: int, message: str, *, remedy: str, **fields: Any) -> None:
        super().__init__(message, remedy=remedy, **fields)
        self.code = code  # type: ignore[misc]  # the one class whose code is data: it stands for another's
        self.exit_code = exit_code  # type: ignore[misc]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RelayedError:
        """Rebuild from ``HansaError.as_dict`` output; missing entries get neutral values."""
        fields = data.get("fields") or {}
        return cls(
            str(data.get("code", "internal")),
            int(data.get("exit_code", 1)),
            str(data.get("message", "the other side gave no reason")),
            remedy=str(data.get("remedy", "see `hansa job logs`")),
            **{str(k): v for k, v in fields.items() if k not in {"code", "exit_code", "message", "remedy"}},
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the end of a message; or the names there are, or nothing."""
    import difflib  # noqa: PLC0415  # only where somebody mistyped

    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (there is: {', '.join(names[:8])})" if names else ""
