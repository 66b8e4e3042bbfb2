"""Ownership token for a checkpoint folder: the newest process wins."""

from __future__ import annotations

import secrets
from pathlib import Path

from clickpet.files import write_text


class TakenOverError(RuntimeError):
    """Another process has taken the folder over; this one must not write into it any more."""


class OwnershipToken:
    """Marks a folder as this process's own; the process that has marked it last owns it.

    A node that its scheduler has given up may compute on while the job has begun again elsewhere; so may a job whose
    master was killed. A lock would keep the successor out for ever after a crash; a token lets it in and stops the
    forerunner at its next `check`.
    """

    def __init__(self, folder: str | Path):
        self.file = Path(folder) / "owner"
        self.token = secrets.token_hex(8)
        write_text(self.file, self.token)

    def check(self) -> None:
        """Raise TakenOverError if another process has marked the folder since."""
        if self.file.read_text(encoding="utf-8") != self.token:
            raise TakenOverError(f"{self.file.parent} was taken over by a later job, which goes on with it")
