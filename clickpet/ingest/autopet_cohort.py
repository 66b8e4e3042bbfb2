"""The cohort table of an unpacked autoPET III or IV training set (nnU-Net layout): names and metadata tables only."""

from __future__ import annotations

import csv
from pathlib import Path

from clickpet.cohort import TRACERS, patient_key
from clickpet.errors import InputError
from clickpet.files import read_json
from clickpet.ingest.cohort_builder import Cohort, click_files_in, existing_folder, files_in, note_spare_files

#: Where the autoPET III/IV training set comes from, by tracer (challenge website, "Dataset").
AUTOPET_CENTRES = {"fdg": "UKT", "psma": "LMU"}


def build_from_autopet(
    folder: str | Path,
    *,
    clicks: str | Path | None = None,
    organs: str | Path | None = None,
    centre: str | None = None,
    split: str | None = None,
) -> Cohort:
    """Cohort of an unpacked autoPET III or IV training set (nnU-Net layout).

    folder : holds imagesTr (`{case}_0000` CT, `{case}_0001` PET) and labelsTr;  clicks : folder of
    `{case}_clicks.json`, by default the folders of the release whose name starts with "clicks";  organs : folder
    of organ maps `{case}.nii.gz`;  centre, split : for all studies, else by the metadata tables and tracer,
    and train.

    The tracer is the first field of the name, the patient the second. The centre is what a column
    "centre", "center" or "site" of `fdg_metadata.csv` and `psma_metadata.csv` says; where there is none,
    UKT for FDG and LMU for PSMA, which is how the training set was collected.

    Raises InputError where the folder is not laid out like this.
    """
    folder = existing_folder(folder)
    images, labels = folder / "imagesTr", folder / "labelsTr"
    if not images.is_dir():
        nested = sorted(path.parent.name for path in folder.glob("*/imagesTr"))
        mend = f"give {folder / nested[0]}" if nested else "give the folder that holds imagesTr and labelsTr"
        raise InputError("has no folder imagesTr", where=folder, mend=mend)
    dataset = _read_side_file(folder / "dataset.json", dict) if (folder / "dataset.json").is_file() else {}
    ending = str(dataset.get("file_ending", ".nii.gz"))
    cohort = Cohort()

    ct_names = set(files_in(images, [f"_0000{ending}"]))
    pet_names = set(files_in(images, [f"_0001{ending}"]))
    label_names = set(files_in(labels, [ending])) if labels.is_dir() else set()
    click_files = click_files_in(folder, clicks)
    organ_files = _organ_files(organs)
    metadata = _autopet_metadata(folder)
    if not ct_names | pet_names:
        raise InputError(f"has no image that ends in _0000{ending}", where=images, mend="unpack the release again")

    for case in sorted(ct_names | pet_names):
        missing = [
            f"{image} {_absent(images / f'{case}_{channel}{ending}')}"
            for image, channel, names in (("CT", "0000", ct_names), ("PET", "0001", pet_names))
            if case not in names
        ]
        labelled = case in label_names
        if not labelled and split != "predict":
            missing.append(f"label {_absent(labels / f'{case}{ending}')}")
        if missing:
            cohort.left.append((case, ", ".join(missing)))
            continue
        tracer, patient, date = _autopet_fields(case)
        if not tracer and split in (None, "train"):
            cohort.left.append(
                (case, "its name begins with neither fdg_ nor psma_, and a training case needs its tracer")
            )
            continue
        key = patient_key(patient)
        about = metadata.get((tracer, key, date)) or metadata.get((tracer, key, None)) or {}
        cohort.take(
            case,
            tracer=tracer,
            patient=patient,
            centre=centre or about.get("centre") or AUTOPET_CENTRES.get(tracer, ""),
            split=split or "train",
            ct=images / f"{case}_0000{ending}",
            pet=images / f"{case}_0001{ending}",
            label=labels / f"{case}{ending}" if labelled and split != "predict" else None,
            clicks=click_files.get(case),
            organs=organ_files.get(case),
        )
    for case in sorted(label_names - ct_names - pet_names):
        cohort.left.append((f"{labels.name}/{case}{ending}", "a label without images"))
    note_spare_files(cohort, "clicks", click_files)
    note_spare_files(cohort, "organ maps", organ_files)
    _note_autopet(cohort, folder, dataset, metadata)
    return cohort


def _read_side_file(path: Path, kind: type) -> object:
    """The JSON in a file of the release, a `kind`."""
    try:
        value = read_json(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path, mend="unpack the release again") from error
    if not isinstance(value, kind):
        raise InputError(f"holds a {type(value).__name__}, not a {kind.__name__}", where=path)
    return value


def _absent(path: Path) -> str:
    """What is said of a file of the release that is not there."""
    return f"{path.parent.name}/{path.name} is {'a folder, not a file' if path.is_dir() else 'missing'}"


def _autopet_fields(case: str) -> tuple[str, str, str]:
    """Tracer (empty if it is not one of ours), patient (else the whole name) and the rest of a name."""
    fields = case.split("_", 2)
    tracer = fields[0].lower() if fields[0].lower() in TRACERS else ""
    if not tracer or len(fields) < 2 or not fields[1]:
        return tracer, case, ""
    return tracer, fields[1], fields[2] if len(fields) > 2 else ""


def _organ_files(given: str | Path | None) -> dict[str, Path]:
    if given is None:
        return {}
    files = files_in(existing_folder(given), ("_organs.nii.gz", "_organs.nii", ".nii.gz", ".nii"))
    if not files:
        raise InputError("holds no organ map", where=given, mend="name them {case}.nii.gz")
    return files


def _autopet_metadata(folder: Path) -> dict[tuple[str, str, str | None], dict[str, str]]:
    """{(tracer, `patient_key`, date or None): row} of the metadata tables, centre under the key "centre"."""
    found = {}
    for tracer in TRACERS:
        path = folder / f"{tracer}_metadata.csv"
        if not path.is_file():
            continue
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"cannot be read as a table ({error})", where=path, mend="unpack the release again"
            ) from error
        for row in rows:
            about = {str(name).strip().lower(): str(value or "").strip() for name, value in row.items()}
            about["centre"] = about.get("centre") or about.get("center") or about.get("site") or ""
            patient = patient_key(about.get("subject id", "").split("_")[-1])
            found[tracer, patient, about.get("study date") or None] = about
            found.setdefault((tracer, patient, None), about)
    return found


def _note_autopet(cohort: Cohort, folder: Path, dataset: dict, metadata: dict) -> None:
    taken = {row["case"] for row in cohort.rows}
    declared = dataset.get("numTraining")
    if isinstance(declared, int) and declared != len(taken):
        cohort.notes.append(f"dataset.json tells of {declared} studies, {len(taken)} were taken")
    unknown = sum(not row["tracer"] for row in cohort.rows)
    if unknown:
        cohort.notes.append(f"{unknown} names do not begin with fdg_ or psma_: their tracer is left empty, to be found")
    described = {tracer for tracer, _, _ in metadata}
    strange = [
        row["case"]
        for row in cohort.rows
        if row["tracer"] in described and (row["tracer"], patient_key(row["patient"]), None) not in metadata
    ]
    if strange:
        cohort.notes.append(f"{len(strange)} studies have no row in the metadata tables (first: {strange[0]})")
    splits = folder / "splits_final.json"
    if splits.is_file():
        named = {
            str(case)
            for fold in _read_side_file(splits, list)
            for part in ("train", "val")
            if isinstance(fold, dict) and isinstance(fold.get(part), list)
            for case in fold[part]
        }
        text = f"{splits} can be used as the folds"
        if named != taken:
            text += f"; it leaves out {len(taken - named)} of these studies and names {len(named - taken)} others"
        cohort.notes.append(text)
