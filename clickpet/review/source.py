"""What can be reviewed: studies by their number, each read when it is opened, and where its clicks are saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clickpet.clicks.model import Clicks

if TYPE_CHECKING:
    from clickpet.ingest.petct import PetCt
    from clickpet.live.models import LiveModels
    from clickpet.live.session import LiveSession


@dataclass(frozen=True, eq=False)
class OpenedStudy:
    """A study in memory.

    scans : CT and PET;  clicks : that there are already;  tracer : "fdg", "psma" or "" (to be found);  mask : uint8
    (x, y, z) of an earlier prediction, or None;  truth : the same of an expert, or None;  notes : lines about what is
    odd with it.
    """

    scans: PetCt
    clicks: Clicks = field(default_factory=Clicks.empty)
    tracer: str = ""
    mask: np.ndarray | None = None
    truth: np.ndarray | None = None
    notes: Sequence[str] = ()


class ReviewedStudy(Protocol):
    """A study that may be reviewed.

    name : that a person knows it by;  facts : what the worklist says of it, as JSON values.
    """

    name: str
    facts: Mapping[str, object]

    def read(self) -> OpenedStudy:
        """CT, PET, clicks and masks; InputError for files that cannot be used."""

    def models(self) -> LiveModels:
        """The models that segment it, loaded once."""

    def save(self, session: LiveSession) -> list[str]:
        """Keep clicks and mask of a session; returns lines that say where they are and what comes next."""
