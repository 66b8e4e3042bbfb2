"""A finished run as a worklist: its studies worst first, each with the models that the run segmented it with."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clickpet.clicks.reading import read_clicks
from clickpet.clicks.writing import write_clicks
from clickpet.cohort import Study, read_cohort
from clickpet.errors import InputError
from clickpet.evaluate.tables import read_table
from clickpet.files import read_json
from clickpet.images import read_image
from clickpet.ingest.findings import soft_lines
from clickpet.ingest.petct import PetCt
from clickpet.models.settings import read_settings
from clickpet.review.cohort_clicks import FOLDER, set_clicks
from clickpet.review.source import OpenedStudy

if TYPE_CHECKING:
    from clickpet.live.models import LiveModels
    from clickpet.live.session import LiveSession

WORKLIST, SETTINGS = "worklist.tsv", "worklist.json"
#: Columns of the worklist that the page shows.
_FACTS = ("rank", "tracer", "split", "priority", "why", "dice", "disagreement")


@dataclass(eq=False)
class RunFolder:
    """The folder of results of a run, and its cohort table, into which reviewed clicks are entered.

    results : folder with worklist.tsv;  cohort : the table;  cohort_text : as the config names it;  config : of the
    run, the sections that predictions follow;  device : for the networks (None: a GPU if there is one).
    """

    results: Path
    cohort: Path
    cohort_text: str
    config: Mapping
    device: str | None = None
    _loaded: dict = field(default_factory=dict, repr=False)
    _loading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, results: str | Path, *, cohort: str | Path | None = None, device: str | None = None) -> RunFolder:
        """The run in `results`. cohort : its table, where it is not where the config says.

        Raises InputError where there is no worklist or no cohort table.
        """
        results = Path(results)
        for name in (WORKLIST, SETTINGS, "cohort.tsv"):
            if not (results / name).is_file():
                raise InputError(
                    f"has no {name}",
                    where=results,
                    mend="give the folder of results of a finished run, or run snakemake again",
                )
        settings = read_json(results / SETTINGS)
        text = str(cohort or settings["cohort"])
        # the config names paths from the folder in which Snakemake runs, which holds results/
        table = Path(cohort) if cohort else results.resolve().parent / text
        if not table.is_file():
            raise InputError("no such cohort table", where=table, mend="give the run's table with --cohort")
        return cls(results, table, text, settings["config"], device)

    def studies(self) -> list[RunStudy]:
        """The studies of the worklist, worst first."""
        worklist = read_table(self.results / WORKLIST).astype(object)
        worklist = worklist.where(worklist.notna(), None)
        rows = {study.slug: study for study in read_cohort(self.results / "cohort.tsv", tell=lambda line: None)}
        folds = read_table(self.results / "cohort.tsv").set_index("slug")["fold"]
        return [
            RunStudy(
                self,
                rows[row["slug"]],
                folds[row["slug"]],
                {**{name: row[name] for name in _FACTS}, "reviewed": self.clicks_of(row["slug"]).is_file()},
            )
            for row in worklist.to_dict("records")
            if row["slug"] in rows
        ]

    def clicks_of(self, slug: str) -> Path:
        """The file that reviewed clicks of a study are written to."""
        return self.cohort.parent / FOLDER / f"{slug}.json"

    def models_for(self, tracer: str, split: str, fold: str) -> LiveModels:
        """The networks that the run segments a study of `tracer` with: for a train case the one of `fold`, its own."""
        imported = self.config["predict"].get("models") if split == "predict" else None
        folder = self.results.resolve().parent / imported if imported else self.results / "models"
        key = folder, tracer, fold if split == "train" else "all"
        with self._loading:
            if key not in self._loaded:
                self._loaded[key] = self._load(folder, tracer, [fold] if split == "train" else None)
            return self._loaded[key]

    def _load(self, folder: Path, tracer: str, folds: list[str] | None) -> LiveModels:
        from clickpet.devices import choose_device
        from clickpet.live.models import LiveModels
        from clickpet.models.patient import resolved_config
        from clickpet.predict.ensemble import LesionEnsemble

        settings = read_settings(folder)
        settings.check_study(tracer)
        model, lock = settings.lesion_model(tracer), threading.Lock()
        device = self.device or choose_device(apple=True)
        ensemble = LesionEnsemble.load(folder / model, folds or settings.folds[model], device=device, lock=lock)
        config = resolved_config({name: self.config[name] for name in ("heatmap", "predict", "postprocess")})
        table = self.results / "calibration.json"
        calibration = {tracer: read_json(table)[model]} if table.is_file() else {}
        return LiveModels(settings, config, device, {tracer: ensemble}, [], calibration, lock)


@dataclass(eq=False)
class RunStudy:
    """A study of a run. row : of the cohort;  fold : that held it out ("" unless split is train)."""

    run: RunFolder
    row: Study
    fold: str
    facts: Mapping[str, object]

    @property
    def name(self) -> str:
        return self.row.case

    @property
    def folder(self) -> Path:
        return self.run.results / "cases" / self.row.slug

    @property
    def tracer(self) -> str:
        """The tracer whose models the run segmented it with."""
        return read_json(self.folder / "tracer.json")["tracer"]

    def read(self) -> OpenedStudy:
        """The run's own CT, PET, clicks, mask and truth."""
        suv, ct = (read_image(self.folder / f"{name}.nii.gz") for name in ("suv", "ct"))
        scans = PetCt(ct=ct.array, suv=suv.array, affine=suv.affine)
        clicks = read_clicks(self.folder / "clicks.json", shape=suv.shape, affine=suv.affine, missing_ok=True)
        masks = {}
        for name in ("lesions", "truth"):
            path = self.folder / f"{name}.nii.gz"
            masks[name] = (read_image(path).array != 0).view("uint8") if path.is_file() else None
        quality = self.folder / "quality.json"
        notes = soft_lines(read_json(quality)) if quality.is_file() else []
        if self.row.split == "train":
            notes = [*notes, "A train case: the next run learns from its new clicks, so it trains the models again."]
        return OpenedStudy(scans, clicks, self.tracer, masks["lesions"], masks["truth"], notes)

    def models(self) -> LiveModels:
        """What the run segmented it with."""
        return self.run.models_for(self.tracer, self.row.split, self.fold)

    def save(self, session: LiveSession) -> list[str]:
        """Enter the clicks into the cohort table, and keep mask and course of the review in `results`/review/."""
        from clickpet.live.saving import save_session

        if self.run.config.get("clicks", {}).get("simulate") == "always":
            raise InputError(
                "clicks.simulate is 'always', so the run reads no clicks of the table",
                where=self.run.cohort,
                mend="set it to 'missing', run again, and review then",
            )
        file = self.run.clicks_of(self.row.slug)
        write_clicks(file, session.clicks)
        set_clicks(self.run.cohort, self.row.case, str(Path(self.run.cohort_text).parent / FOLDER / file.name))
        save_session(session, self.run.results / "review" / self.row.slug)
        self.facts = {**self.facts, "reviewed": True}
        return [
            f"Clicks: {file}",
            f"Entered in {self.run.cohort}: the next run of snakemake segments this study again",
            f"Mask and course of the review: {self.run.results / 'review' / self.row.slug}",
        ]
