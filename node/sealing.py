"""Blobs sealed on disk: a job's checkpoints and its model, readable only with the job's sealing key.

XChaCha20-Poly1305 with a random 24-byte nonce in front; the associated data names what the blob is (job, attempt,
epoch, or model), so that no file can stand in for another. Files are written whole or not at all.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from nacl import exceptions
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)

from hansa.protocols.errors import SecurityError

KEPT = 3  # parties are at most one epoch apart when one is lost, and one epoch is a reserve
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)\.sealed")


def seal(key: bytes, blob: bytes, name: bytes) -> bytes:
    """Encrypt a blob under its name: 24 + 16 bytes longer."""
    nonce = os.urandom(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
    sealed: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(blob, name, nonce, key)
    return nonce + sealed


def unseal(key: bytes, sealed: bytes, name: bytes) -> bytes:
    """The blob again. Raises SecurityError when it was sealed with another key, under another name, or changed."""
    nonce, body = sealed[:24], sealed[24:]
    try:
        blob: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(body, name, nonce, key)
    except (exceptions.CryptoError, ValueError) as error:
        raise SecurityError(
            "a sealed file does not open: it was changed, or belongs to another job",
            remedy="restore HOME/jobs from a backup, or submit the job anew",
        ) from error
    return blob


def model_name(job_id: bytes) -> bytes:
    """The name under which the model of a training job is sealed."""
    return b"model" + job_id


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is there whole (0600) or not at all; once this returns, it is there."""
    partial = path.with_name(path.name + ".partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power cut brings the older file back, after peers have seen the newer one
    finally:
        os.close(folder)


class SealedCheckpoints:
    """The checkpoints of one job at one party: the last few epochs, each with the attempt that wrote it.

    Beginning an attempt drops every epoch after the agreed one, before any link stands: so an epoch's file always
    belongs to the run that the other parties' files of that epoch belong to.
    """

    def __init__(self, folder: Path, key: bytes, job_id: bytes, attempt: int, resume_epoch: int) -> None:
        self._folder = folder
        self._key = key
        self._job_id = job_id
        self._attempt = attempt
        self._resume_epoch = resume_epoch

    def begin(self) -> None:
        """Drop what is later than the epoch to resume from (-1: everything)."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in checkpoint_files(self._folder):
            if file.epoch > self._resume_epoch:
                file.path.unlink()

    def save(self, epoch: int, blob: bytes) -> None:
        """Seal the state after ``epoch``, and drop what is older than the last few."""
        path = self._folder / f"checkpoint-{self._attempt}-{epoch}.sealed"
        write_whole(path, seal(self._key, blob, self._name(self._attempt, epoch)))
        for old in checkpoint_files(self._folder)[:-KEPT]:
            old.path.unlink()

    def load(self) -> tuple[int, bytes] | None:
        """The state to resume from; None to begin at the beginning. Raises SecurityError if it does not open."""
        if self._resume_epoch < 0:
            return None
        for file in checkpoint_files(self._folder):
            if file.epoch == self._resume_epoch:
                return file.epoch, unseal(self._key, file.path.read_bytes(), self._name(file.attempt, file.epoch))
        raise SecurityError(
            f"the checkpoint of epoch {self._resume_epoch} is gone from {self._folder}",
            remedy="submit the job anew",
            file=str(self._folder),
        )

    def _name(self, attempt: int, epoch: int) -> bytes:
        return b"checkpoint" + self._job_id + attempt.to_bytes(4, "big") + epoch.to_bytes(4, "big")


class CheckpointFile(NamedTuple):
    """A checkpoint on disk: the epoch it is of, and the attempt that wrote it."""

    epoch: int
    attempt: int
    path: Path


def checkpoint_files(folder: Path) -> list[CheckpointFile]:
    """The checkpoints in a folder, the earliest epoch first."""
    found = [(_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*.sealed")]
    return sorted(CheckpointFile(int(match[2]), int(match[1]), path) for match, path in found if match)
