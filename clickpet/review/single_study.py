"""One study given by its files, reviewed with a folder of models."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clickpet.clicks.model import Clicks
from clickpet.clicks.reading import read_clicks
from clickpet.errors import InputError
from clickpet.ingest.petct import read_study
from clickpet.models.settings import read_settings
from clickpet.review.source import OpenedStudy

if TYPE_CHECKING:
    from clickpet.live.models import LiveModels
    from clickpet.live.session import LiveSession


@dataclass(eq=False)
class SingleStudy:
    """A study as `clickpet review --ct --pet` names it.

    name : that its results begin with;  ct, pet : files or DICOM folders;  models_folder : with fdg/, psma/, tracer/;
    out : folder for what is saved;  clicks : file of clicks that there are already;  tracer : "" to find it;  config :
    keys that differ.
    """

    name: str
    ct: Path
    pet: Path
    models_folder: Path
    out: Path
    clicks: Path | None = None
    tracer: str = ""
    config: Mapping = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    _models: LiveModels | None = None
    _loading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def check(self) -> None:
        """InputError for paths that are not there, before a browser is opened."""
        for path in filter(None, (self.ct, self.pet, self.clicks)):
            if not path.exists():
                raise InputError("no such file or folder", where=path, mend="correct the path")
        read_settings(self.models_folder).check_study(self.tracer)

    def read(self) -> OpenedStudy:
        """CT and PET on the PET's grid, and the clicks."""
        scans = read_study(ct=self.ct, pet=self.pet)
        clicks = Clicks.empty()
        if self.clicks is not None:
            clicks = read_clicks(self.clicks, shape=scans.shape, affine=scans.affine)
        notes = [line for part in scans.record.values() for line in part.get("warnings", ())]
        return OpenedStudy(scans, clicks, self.tracer, notes=notes)

    def models(self) -> LiveModels:
        """Networks of all tracers and folds of the folder."""
        from clickpet.live.models import LiveModels

        with self._loading:
            if self._models is None:
                self._models = LiveModels.load(self.models_folder, config=self.config)
            return self._models

    def save(self, session: LiveSession) -> list[str]:
        """Write clicks, mask, lesion table and the course of the review into `out`."""
        from clickpet.live.saving import save_session

        paths = save_session(session, self.out, name=self.name, pet=self.pet)
        return [f"In {self.out}: {', '.join(path.name for path in paths.values())}"]
