"""One new patient through the workflow: a cohort of one row and a config, in a working folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from clickpet.cohort import TRACERS
from clickpet.config import ConfigError, resolve
from clickpet.errors import InputError
from clickpet.files import read_json, replacing, write_json, write_text
from clickpet.ingest.bids_files import metadata_files
from clickpet.ingest.cohort_builder import Cohort, table_text
from clickpet.ingest.findings import soft_lines
from clickpet.ingest.study import VOLUME_SUFFIXES
from clickpet.models.settings import read_settings
from clickpet.slugs import make_slug, output_name
from clickpet.workflow.child_run import WORKFLOW, require_workflow, run_workflow
from clickpet.workflow.folder_lock import locked_folder
from clickpet.workflow.signals import termination_as_exception

#: File or folder names that tell what a volume is, not whose.
_NO_NAME = re.compile(
    r"(ct|pet|pt|suv|image|volume|scan|nifti|dicom|input|data|tmp)s?([_-]?(image|suv|bw|res|tr|ts|ct|pet|\d+))*", re.I
)
#: What a user gets of a case: end of the name in the folder of results, and the workflow's file.
RESULTS = {
    "_lesions.csv": "lesion_table.csv",
    "_study.json": "study.json",
    "_prediction.json": "prediction.json",
    "_quality.json": "quality.json",
    "_mip.png": "mip.png",
    "_report.html": "patient.html",
}
#: What only keys of the config's section `predict` ask for.
MAPS = {
    "save_disagreement": {"_disagreement.nii.gz": "disagreement.nii.gz"},
    "save_probability": {"_probability.nii.gz": "probability.nii.gz"},
}
#: Files in the working folder: the cohort and config of the patient, and of which inputs its results are.
TABLE, CONFIG, INPUTS = "patient.tsv", "patient.yaml", "inputs.json"
#: Rules that read what the user gave, and what each of them reads.
READING_RULES = {"import_case": ("ct", "pet"), "place_clicks": ("clicks",)}


@dataclass(frozen=True)
class NewPatient:
    """What there is of a patient: paths of CT, PET and, if any, clicks;  tracer : "fdg", "psma" or "" (to be found)."""

    case: str
    ct: Path
    pet: Path
    clicks: Path | None = None
    tracer: str = ""

    def check(self) -> None:
        """InputError if a file is not there, both scans are one, or the tracer or name makes no sense."""
        for name in ("ct", "pet", "clicks"):
            path = getattr(self, name)
            if path is not None and not path.exists():
                raise InputError("no such file or folder", where=path, mend=f"correct the path after --{name}")
            if path is not None and not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
                raise InputError("may not be read", where=path, mend="ask its owner, or give a copy")
        if self.clicks and not self.clicks.is_file():
            raise InputError("is a folder, not a file", where=self.clicks, mend="give the file of the clicks")
        if self.ct.resolve() == self.pet.resolve() and self.ct.is_file():
            raise InputError("is given both as CT and as PET", where=self.ct, mend="give the PET after --pet")
        if self.tracer and self.tracer not in TRACERS:
            raise InputError(
                f"tracer {self.tracer!r} is not known",
                mend=f"give one of {', '.join(TRACERS)}, or none to have it found",
            )
        if not self.case.strip() or re.search(r"[\t\r\n]", self.case):
            raise InputError(f"{self.case!r} is no name for a case", mend="give one line of text after --case")

    @property
    def file_name(self) -> str:
        """What the names of this patient's results begin with: the case name, or its slug where no file can have it."""
        return output_name(self.case)

    @property
    def files(self) -> dict[str, Path]:
        """Absolute paths of "ct", "pet" and, if any, "clicks"."""
        given = {name: getattr(self, name) for name in ("ct", "pet", "clicks")}
        return {name: path.resolve() for name, path in given.items() if path}

    def cohort_table(self, paths: Mapping[str, Path]) -> str:
        """The cohort table that holds this patient alone, its files under `paths` (as `files`)."""
        cohort = Cohort()
        cohort.take(self.case, patient=self.case, tracer=self.tracer, split="predict", **paths)
        return table_text(cohort)


@dataclass(frozen=True)
class DicomObjects:
    """DICOM objects that are written beside the mask.

    kinds : of `clickpet.report.dicom_results.KINDS`;  identity : whom they name, "case" or "source";  contours_on :
    whose slices carry the contours of an RTSTRUCT, "pet" or "ct".
    """

    kinds: tuple[str, ...] = ()
    identity: str = "case"
    contours_on: str = "pet"


def name_of(pet: str | Path) -> str:
    """A case name from the path of a PET: its file's or the nearest folder's that says more than "PET" or "images"."""
    path = Path(pet).resolve()
    stem = next((path.name.removesuffix(end) for end in VOLUME_SUFFIXES if path.name.lower().endswith(end)), path.name)
    for name in (stem.removesuffix("_0001"), *(parent.name for parent in path.parents)):
        if name and not _NO_NAME.fullmatch(name):
            return name
    return "patient"


def predict_patient(
    patient: NewPatient,
    models: str | Path,
    out: str | Path,
    *,
    work: str | Path | None = None,
    config: Mapping | None = None,
    cores: int | None = None,
    objects: DicomObjects = DicomObjects(),
    progress: Callable[[str], None] = lambda step: None,
) -> dict[str, Path]:
    """Segment a patient with the workflow's own rules; put what was found into the folder `out`.

    models : folder with fdg/, psma/, tracer/ (see `clickpet.models.settings`);  work : working folder, in which a
    second call computes again only what changed (None: a temporary one); one call at a time works in it;  config :
    differences to config/config.yaml;  cores : None takes all;  objects : also as DICOM, where the PET is;
    progress : is told each step.

    Returns {"mask": path, and the keys of RESULTS and, if asked for, MAPS and kinds of objects: path}; the names start
    with the case's. With objects the lesion table has their tracking identifiers.
    The mask lies on the PET's grid, as .mha where the PET is one, else .nii.gz. Raises InputError, one line, for
    whatever is wrong with the input; nothing is in `out` then. SIGTERM ends the workflow, removes the temporary
    folder and raises TerminatedError.
    """
    out = Path(out)
    patient.check()
    if objects.kinds:
        from clickpet.report.dicom_results import require_dicom

        require_dicom(objects.kinds, pet=patient.pet, ct=patient.ct, contours_on=objects.contours_on)
    read_settings(models).check_study(patient.tracer)
    _require_writable(out)
    require_workflow()
    settings = dict(config or {})
    settings["cohort"] = TABLE
    settings["predict"] = {**settings.get("predict", {}), "models": str(Path(models).resolve())}
    try:
        resolve(settings)
    except ConfigError as error:
        raise InputError(" | ".join(str(error).splitlines())) from error
    targets = ["results/calibration.json"] if settings["predict"].get("mirroring") == "budget" else []
    with termination_as_exception(), _working_folder(work, progress) as (folder, lock):
        paths = {name: _without_braces(path, folder, name) for name, path in patient.files.items()}
        settings["predict"]["models"] = str(_without_braces(Path(models).resolve(), folder, "models"))
        own = {
            TABLE: patient.cohort_table(paths),
            CONFIG: yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
        }
        inputs = _states(patient)
        outdated = _outdated_rules(folder / INPUTS, inputs)
        for name, text in own.items():
            write_text(folder / name, text)
        run_workflow(
            folder,
            [WORKFLOW / "config" / "config.yaml", folder / CONFIG],
            ["predict", *targets],
            cores=cores or len(os.sched_getaffinity(0)),
            forced_rules=outdated,
            keep_logs=work is not None,
            lock=lock,
            progress=progress,
        )
        if any((folder / name).read_text(encoding="utf-8") != text for name, text in own.items()):
            raise InputError(
                "another program has put its own patient here", where=folder, mend="give each call its own --work"
            )
        case = folder / "results" / "cases" / make_slug(patient.case)
        if read_json(case / "case.json")["case"] != patient.case:
            raise InputError("holds results of another case", where=case, mend="give each call its own --work")
        if inputs != _states(patient):
            raise InputError(
                "CT, PET or clicks have changed while they were segmented", mend="start again when they are complete"
            )
        write_json(folder / INPUTS, inputs)
        for line in soft_lines(read_json(case / "quality.json")):
            progress(line)
        files = dict(RESULTS)
        for key, asked in MAPS.items():
            files.update(asked if settings["predict"].get(key) else {})
        found = _collect(case, patient, out, files)
        return {**found, **_write_objects(case, patient, out, found["_lesions.csv"], objects)}


@contextmanager
def _working_folder(work: str | Path | None, progress: Callable[[str], None]) -> Iterator[tuple[Path, int]]:
    """`work`, or a temporary folder that goes in the end; and the file descriptor of its lock."""
    if work is not None:
        with locked_folder(work, progress=progress) as lock:
            yield Path(work).resolve(), lock
        return
    with (
        tempfile.TemporaryDirectory(prefix="clickpet-", ignore_cleanup_errors=True) as folder,
        locked_folder(folder) as lock,
    ):
        yield Path(folder).resolve(), lock


def _require_writable(folder: Path) -> None:
    """InputError if no file can be written into `folder`, which may be there or be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError("is a file, not a folder", where=there, mend="give a folder after --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError("may not be written to", where=there, mend="give another folder after --out")


def _without_braces(path: Path, folder: Path, name: str) -> Path:
    """A path to the same file without braces, which Snakemake takes for wildcards.

    Where `path` has braces it is a symbolic link in `folder`, relative to it: to the file's folder if only that has
    braces, so that the file finds those beside it, else to the file.  name : what the link's name begins with.
    """
    if not re.search(r"[{}]", str(path)):
        return path
    in_name = re.search(r"[{}]", path.name)
    target = path if in_name else path.parent
    link = Path(f"{name}_{re.sub(r'[{}]', '_', path.name)}" if in_name else f"{name}_folder")
    place = folder / link
    if not (place.is_symlink() and Path(os.readlink(place)) == target):
        place.unlink(missing_ok=True)
        place.symlink_to(target)
    return link if in_name else link / path.name


def _states(patient: NewPatient) -> dict[str, list[list]]:
    """`_state` of CT, PET (with the metadata of one in a BIDS data set) and clicks."""
    states = {name: _state(path) for name, path in patient.files.items()}
    states["pet"] += [state for file in metadata_files(patient.files["pet"]) for state in _state(file)]
    return states


def _state(path: Path) -> list[list]:
    """Name, size and time of a file, or of all files in a folder: what changes when it is replaced."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [[str(file), (found := file.stat()).st_size, found.st_mtime_ns] for file in files]


def _outdated_rules(record: Path, inputs: Mapping) -> list[str]:
    """Rules whose inputs are not known to be those that the results in a working folder were made of.

    record : file that says of which inputs; gone afterwards if any differ, to be written again after a whole run.
    Snakemake sees that a file was replaced only by a later time; a copy may keep an earlier one.
    """
    if not (record.parent / "results").exists():
        write_json(record, inputs)
        return []
    try:
        known = read_json(record)
    except (OSError, ValueError):
        known = {}
    outdated = [rule for rule, names in READING_RULES.items() if any(known.get(n) != inputs.get(n) for n in names)]
    if outdated:
        record.unlink(missing_ok=True)
    return outdated


def _write_objects(
    case: Path, patient: NewPatient, out: Path, table_file: Path, objects: DicomObjects
) -> dict[str, Path]:
    """Write the DICOM objects of a case to `out`, and name its lesions in the table there as they do."""
    if not objects.kinds:
        return {}
    from clickpet.clicks.reading import read_clicks
    from clickpet.evaluate.tables import read_table, write_table
    from clickpet.images import read_image
    from clickpet.report.dicom_results import KINDS, with_tracking, write_dicom_results

    mask = read_image(case / "lesions.nii.gz")
    clicks = read_clicks(case / "clicks.json", shape=mask.shape, affine=mask.affine)
    table = read_table(case / "lesion_table.csv")
    paths = {kind: out / f"{patient.file_name}{KINDS[kind]}" for kind in objects.kinds}
    write_dicom_results(
        paths, mask.array, mask.affine, table, pet=patient.pet, ct=patient.ct, case=patient.case,
        identity=objects.identity, semiautomatic=bool(len(clicks.tumor) + len(clicks.background)),
        contours_on=objects.contours_on,
    )  # fmt: skip
    write_table(table_file, with_tracking(table, mask.array, mask.affine, patient.pet))
    return paths


def _collect(case: Path, patient: NewPatient, out: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """Copy the `files` of a case, and its mask, to `out` under its original name."""
    name = patient.file_name
    found = {}
    for end, file in files.items():
        found[end] = out / f"{name}{end}"
        with replacing(found[end]) as temporary:
            shutil.copyfile(case / file, temporary)
    mask = case / "lesions.nii.gz"
    if patient.pet.name.lower().endswith((".mha", ".mhd")):
        from clickpet.images import read_image, write_image

        found["mask"] = out / f"{name}.mha"
        write_image(found["mask"], read_image(mask).array, read_image(patient.pet).affine)  # NIfTI rounds affines
    else:
        found["mask"] = out / f"{name}.nii.gz"
        with replacing(found["mask"]) as temporary:
            shutil.copyfile(mask, temporary)
    return found
