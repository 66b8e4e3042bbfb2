"""One new patient through the workflow: a cohort of one row and a config, in a working folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from clickpet.cohort import TRACERS
from clickpet.config import ConfigError, resolve
from clickpet.errors import InputError
from clickpet.files import replacing, write_text
from clickpet.ingest.cohort_builder import Cohort, table_text
from clickpet.ingest.study import VOLUME_SUFFIXES
from clickpet.models.settings import read_settings
from clickpet.slugs import make_slug, output_name

#: The workflow lies beside the package in a checkout; the package alone (a wheel) has none.
WORKFLOW = Path(__file__).resolve().parents[2]
#: File or folder names that tell what a volume is, not whose.
_NO_NAME = re.compile(
    r"(ct|pet|pt|suv|image|volume|scan|nifti|dicom|input|data|tmp)s?([_-]?(image|suv|bw|res|tr|ts|ct|pet|\d+))*", re.I
)
#: What a user gets of a case: end of the name in the folder of results, and the workflow's file.
RESULTS = {
    "_lesions.csv": "lesion_table.csv",
    "_study.json": "study.json",
    "_prediction.json": "prediction.json",
    "_mip.png": "mip.png",
}
#: What only `predict.save_disagreement` asks for.
MAP = {"_disagreement.nii.gz": "disagreement.nii.gz"}


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
        if self.ct.resolve() == self.pet.resolve() and self.ct.is_file():
            raise InputError("is given both as CT and as PET", where=self.ct, mend="give the PET after --pet")
        if self.tracer and self.tracer not in TRACERS:
            raise InputError(
                f"tracer {self.tracer!r} is not known",
                mend=f"give one of {', '.join(TRACERS)}, or none to have it found",
            )
        if not self.case.strip() or re.search(r"[\t\r\n]", self.case):
            raise InputError(f"{self.case!r} is no name for a case", mend="give one line of text after --case")

    def row(self) -> str:
        """The cohort table that holds this patient, with absolute paths."""
        files = {name: getattr(self, name) for name in ("ct", "pet", "clicks")}
        paths = {name: path.resolve() for name, path in files.items() if path}
        cohort = Cohort()
        cohort.take(self.case, patient=self.case, tracer=self.tracer, split="predict", **paths)
        return table_text(cohort)


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
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Path]:
    """Segment a patient with the workflow's own rules; put what was found into the folder `out`.

    models : folder with fdg/, psma/, tracer/ (see `clickpet.models.settings`);  work : working folder, in which a
    second call computes again only what changed (None: a temporary one);  config : differences to
    config/config.yaml;  cores : None takes all;  say : is told each step.

    Returns {"mask": path, and the keys of RESULTS and, if asked for, MAP: path}; the names start with the case's.
    The mask lies on the PET's grid, as .mha where the PET is one, else .nii.gz. Raises InputError, one line, for
    whatever is wrong with the input; nothing is in `out` then.
    """
    out = Path(out)
    patient.check()
    read_settings(models).check_study(patient.tracer)
    if out.exists() and not out.is_dir():
        raise InputError("is a file, not a folder", where=out, mend="give a folder after --out")
    if not (WORKFLOW / "Snakefile").is_file():
        raise InputError(
            "the workflow is not beside the package",
            where=WORKFLOW,
            mend="install clickpet from its checkout (make install), which holds Snakefile and rules/",
        )
    settings = dict(config or {})
    settings["cohort"] = "patient.tsv"
    settings["predict"] = {**settings.get("predict", {}), "models": str(Path(models).resolve())}
    try:
        resolve(settings)
    except ConfigError as error:
        raise InputError(" | ".join(str(error).splitlines())) from error
    targets = ["results/calibration.json"] if settings["predict"].get("mirroring") == "budget" else []
    with _working_folder(work) as folder:
        write_text(folder / "patient.tsv", patient.row())
        write_text(folder / "patient.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        _run_workflow(folder, ["predict", *targets], cores or os.cpu_count() or 1, say)
        files = {**RESULTS, **(MAP if settings["predict"].get("save_disagreement") else {})}
        return _collect(folder / "results" / "cases" / make_slug(patient.case), patient, out, files)


@contextmanager
def _working_folder(work: str | Path | None) -> Iterator[Path]:
    """`work`, or a temporary folder that goes in the end."""
    if work is not None:
        Path(work).mkdir(parents=True, exist_ok=True)
        yield Path(work).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="clickpet-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run_workflow(folder: Path, targets: list[str], cores: int, say: Callable[[str], None]) -> None:
    """Run Snakemake in `folder`; tell its rules as they start."""
    log = folder / "snakemake.log"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(WORKFLOW / "Snakefile"),
        "--directory",
        str(folder),
    ]
    command += ["--configfile", str(WORKFLOW / "config" / "config.yaml"), str(folder / "patient.yaml")]
    command += ["--cores", str(cores), "--scheduler", "greedy", "--nocolor", "--", *targets]
    lines: list[str] = []
    with replacing(log) as temporary, open(temporary, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=folder
        )
        try:
            for line in process.stdout:
                file.write(line)
                lines.append(line.strip())
                rule = re.fullmatch(r"(?:local)?rule (\w+):", line.strip())
                if rule and rule[1] not in targets:
                    say(rule[1].replace("_", " "))
        except BaseException:
            process.terminate()
            process.wait()
            raise
        code = process.wait()
    if code:
        raise InputError(_reason(lines))


def _reason(lines: list[str]) -> str:
    """Why the workflow failed: the one line that a job or the reading of config and cohort left."""
    for mark in ("clickpet: error: ", "clickpet: ", "config: ", "cohort: "):
        for line in lines:
            if line.startswith(mark):
                return line.removeprefix(mark)
    return "the workflow failed: " + " | ".join(line for line in lines[-8:] if line)


def _collect(case: Path, patient: NewPatient, out: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """Copy the `files` of a case, and its mask, to `out` under its original name."""
    name = output_name(patient.case)
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
