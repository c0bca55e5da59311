"""One question to the daemon of ``--home``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hansa.config.errors import ConfigError
from hansa.node.admin.client import AdminClient

MAX_JOB_FILE = 1 << 20


def ask(args: argparse.Namespace, method: str, **params: Any) -> Any:
    """Call a method; raises ``DaemonNotRunning``, or the daemon's own error."""
    with AdminClient(args.home) as client:
        return client.call(method, **params)


def job_file(path: str) -> dict[str, str]:
    """The parameters of job.plan and job.submit: the file's text and name."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_JOB_FILE + 1)
        if len(data) > MAX_JOB_FILE:
            raise ValueError(f"it is longer than {MAX_JOB_FILE >> 20} MiB")
        if not data.strip():
            raise ValueError("it is empty")
        return {"file_text": data.decode(), "file_name": path}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"the job file {path} cannot be read: {reason}",
            remedy="write one after examples/ and docs/job.md, then `hansa job plan FILE.toml`",
            file=path,
        ) from error
