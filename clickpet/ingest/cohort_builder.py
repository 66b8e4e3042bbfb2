"""Writing the cohort table `cases.tsv` from what users have: an autoPET release, NIfTI folders, DICOM studies.

Every builder says what it took, what it left and why, and never opens an image: names and headers only.
"""

from __future__ import annotations

import csv
import fnmatch
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clickpet.cohort import COLUMNS, FILES, SPLITS, TRACERS
from clickpet.errors import InputError
from clickpet.slugs import make_slugs

#: Where the autoPET III/IV training set comes from, by tracer (challenge website, "Dataset").
AUTOPET_CENTRES = {"fdg": "UKT", "psma": "LMU"}
NIFTI_SUFFIXES = (".nii.gz", ".nii")
#: File-name patterns of `build_from_nifti` in order of preference; upper and lower case are the same.
DEFAULT_PATTERNS = {
    "ct": ("CTres.nii*", "CT_image.nii*", "CT.nii*", "*_0000.nii*", "ct[_-]*.nii*", "*[_-]ct.nii*"),
    "pet": (
        "SUV.nii*", "PET_image.nii*", "PET.nii*", "PT.nii*", "*_0001.nii*",
        "suv[_-]*.nii*", "*[_-]suv.nii*", "*[_-]pet.nii*", "*[_-]pt.nii*",
    ),
    "label": (
        "SEG.nii*", "PET_mask.nii*", "TTB.nii*", "label.nii*", "truth.nii*", "mask.nii*", "lesions.nii*",
        "*[_-]seg.nii*", "*[_-]label.nii*", "*[_-]mask.nii*", "*[_-]lesions.nii*",
    ),
    "clicks": ("*clicks.json", "*clicks.mrk.json"),
    "organs": ("organs.nii*", "*[_-]organs.nii*"),
}  # fmt: skip


@dataclass
class Cohort:
    """Rows of the cohort table, what was left out, and what the user should know.

    rows : dicts with the keys COLUMNS; paths are absolute or empty.
    left : (what, why) of each study or file that was not taken;  notes : sentences.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, case: str, **columns: object) -> None:
        """Add a row; columns that are not given stay empty."""
        row = dict.fromkeys(COLUMNS, "")
        row.update(case=case, **{name: "" if value is None else str(value) for name, value in columns.items()})
        self.rows.append(row)


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
    dataset = _read_json(folder / "dataset.json", dict) if (folder / "dataset.json").is_file() else {}
    ending = str(dataset.get("file_ending", ".nii.gz"))
    cohort = Cohort()

    ct_names = _cases_in(images, f"_0000{ending}")
    pet_names = _cases_in(images, f"_0001{ending}")
    label_names = _cases_in(labels, ending)
    click_files = click_files_in(folder, clicks)
    organ_files = _organ_files(organs)
    metadata = _autopet_metadata(folder)
    if not ct_names | pet_names:
        raise InputError(f"has no image that ends in _0000{ending}", where=images, mend="unpack the release again")

    for case in sorted(ct_names | pet_names):
        missing = [
            f"{image} {images.name}/{case}_{channel}{ending} is missing"
            for image, channel, names in (("CT", "0000", ct_names), ("PET", "0001", pet_names))
            if case not in names
        ]
        labelled = case in label_names
        if not labelled and split != "predict":
            missing.append(f"label {labels.name}/{case}{ending} is missing")
        if missing:
            cohort.left.append((case, ", ".join(missing)))
            continue
        tracer, patient, date = _autopet_fields(case)
        if not tracer and split in (None, "train"):
            cohort.left.append(
                (case, "its name begins with neither fdg_ nor psma_, and a training case needs its tracer")
            )
            continue
        about = metadata.get((tracer, patient, date)) or metadata.get((tracer, patient, None)) or {}
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


def build_from_nifti(
    folder: str | Path,
    *,
    patterns: dict[str, Iterable[str]] | None = None,
    tracer: str | None = None,
    centre: str | None = None,
    split: str | None = None,
) -> Cohort:
    """Cohort of folders that each hold the CT, PET and, where there are, mask, clicks and organs of one study.

    patterns : {"ct" | "pet" | "label" | "clicks" | "organs": file-name patterns}, in the place of those of
    DEFAULT_PATTERNS;  tracer : "fdg" or "psma", else what a folder or file name says, else empty;
    split : else train where there is a mask and predict where there is none.

    A study's name is its path below `folder` with `_` between the parts, its patient the first part.

    Raises InputError for a wrong folder, tracer or split and where two studies get one name.
    """
    folder = existing_folder(folder)
    check_choice("tracer", tracer, TRACERS)
    check_choice("split", split, SPLITS)
    patterns = {**DEFAULT_PATTERNS, **{kind: tuple(given) for kind, given in (patterns or {}).items() if given}}
    cohort = Cohort()
    for path, folders, names in os.walk(folder):
        folders.sort()
        relative = Path(path).relative_to(folder)
        found, trouble = _match_files(sorted(names), patterns)
        shown = "_".join(relative.parts) or folder.name
        if not found and not trouble:
            if any(name.lower().endswith(NIFTI_SUFFIXES) for name in names):
                cohort.left.append((shown, f"no file matches a pattern: {_some(names)}"))
            continue
        if "pet" not in found and not trouble and "ct" not in found:
            continue  # masks or clicks alone make no study
        trouble += [f"no {kind.upper()} (patterns {' '.join(patterns[kind])})" for kind in ("ct", "pet")
                    if kind not in found and not any(text.startswith(f"{kind}:") for text in trouble)]  # fmt: skip
        if split in ("train", "test") and "label" not in found:
            trouble.append(f"no mask, which split {split} needs")
        if trouble:
            cohort.left.append((shown, "; ".join(trouble)))
            continue
        own_split = split or ("train" if "label" in found else "predict")
        own_tracer = tracer or tracer_in(shown, found["pet"])
        if own_split == "train" and not own_tracer:
            cohort.left.append(
                (shown, "a training case needs its tracer; give --tracer, or --split test to have it found")
            )
            continue
        if own_split == "predict":
            found.pop("label", None)
        cohort.take(
            shown,
            tracer=own_tracer,
            patient=relative.parts[0] if relative.parts else folder.name,
            centre=centre,
            split=own_split,
            **{kind: Path(path, name) for kind, name in found.items()},
        )
    if not cohort.rows and not cohort.left:
        raise InputError(
            "holds no folder with a PET image", where=folder, mend="give file-name patterns with --pet --ct"
        )
    raw = [row["case"] for row in cohort.rows if Path(row["pet"]).name.lower().startswith(("pet.nii", "pt.nii"))]
    if raw:
        cohort.notes.append(
            f"{len(raw)} PET images are not called SUV (first: {raw[0]}); they are taken to be SUV in g/ml"
        )
    return cohort


def table_text(cohort: Cohort, *, relative_to: str | Path | None = None) -> str:
    """The table as text that `clickpet.cohort.read_cohort` reads: tab-separated, sorted by name, nothing quoted.

    relative_to : folder that paths are written relative to, else they are absolute.
    Raises InputError if a name cannot be written in a table or is there twice.
    """
    rows = sorted(cohort.rows, key=lambda row: row["case"])
    make_slugs([row["case"] for row in rows])
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        if relative_to is not None:
            row = row | {kind: os.path.relpath(row[kind], relative_to) for kind in FILES if row[kind]}
        values = [row[name] for name in COLUMNS]
        unfit = next((value for value in values if any(sign in value for sign in "\t\n\r")), None)
        if unfit is not None:
            raise InputError(f"{unfit!r} holds a tab or line break, which a table cannot", mend="rename that file")
        lines.append("\t".join(values))
    return "\n".join(lines) + "\n"


def write_table(cohort: Cohort, path: str | Path, *, relative: bool = False, force: bool = False) -> None:
    """Write the table to `path`, whole or not at all.

    relative : write paths relative to the working directory, where the workflow is started, else absolute.
    Raises InputError if there is a file already and `force` is False, and if no study was taken.
    """
    from clickpet.files import write_text

    path = Path(path)
    if path.exists() and not force:
        raise InputError("is there already", where=path, mend="give another --out, or --force to replace it")
    if not cohort.rows:
        raise InputError("no study was taken, so no table is written", mend="see above why each was left")
    write_text(path, table_text(cohort, relative_to=Path.cwd() if relative else None))


def summary_text(cohort: Cohort, *, most: int = 20) -> str:
    """What was taken, what was left and why, as lines for the terminal; `most` : reasons that are listed."""
    rows = cohort.rows
    lines = [f"taken   {len(rows)} studies of {len({(row['patient'] or row['case']) for row in rows})} patients"]
    for column in ("tracer", "centre", "split"):
        counts = Counter(row[column] or "not given" for row in rows)
        if rows:
            lines.append(f"  {column:<7}" + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    if rows:
        filled = ", ".join(f"{kind} {sum(bool(row[kind]) for row in rows)}" for kind in ("label", "clicks", "organs"))
        lines.append(f"  {'with':<7}{filled}")
    lines.append(f"left    {len(cohort.left)}")
    reasons: dict[str, list[str]] = {}
    for what, why in cohort.left:
        reasons.setdefault(why, []).append(what)
    for why, names in list(reasons.items())[:most]:
        lines.append(f"  {names[0]}: {why}" if len(names) == 1 else f"  {len(names)} ({_some(names)}): {why}")
    if len(reasons) > most:
        lines.append(f"  ... and {sum(map(len, list(reasons.values())[most:]))} more")
    lines += [f"note    {note}" for note in cohort.notes]
    return "\n".join(lines)


def existing_folder(folder: str | Path) -> Path:
    """`folder` as an absolute path; raises InputError if it is none."""
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise InputError("no such folder" if not path.exists() else "is not a folder", where=folder)
    return path


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    """Raise InputError if `value` is given and not one of `choices`."""
    if value is not None and value not in choices:
        raise InputError(f"{name} {value!r} is not known", mend=f"give one of {', '.join(choices)}")


def _read_json(path: Path, kind: type) -> object:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as JSON ({error})", where=path, mend="unpack the release again") from error
    if not isinstance(value, kind):
        raise InputError(f"holds a {type(value).__name__}, not a {kind.__name__}", where=path)
    return value


def _some(names: Iterable[str], most: int = 4) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _cases_in(folder: Path, ending: str) -> set[str]:
    """Names of the files of `folder` that have `ending`, without it."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name.removesuffix(ending) for entry in entries
                if entry.name.endswith(ending) and not entry.name.startswith(".")}  # fmt: skip


def _autopet_fields(case: str) -> tuple[str, str, str]:
    """Tracer (empty if it is not one of ours), patient (else the whole name) and the rest of a name."""
    fields = case.split("_", 2)
    tracer = fields[0].lower() if fields[0].lower() in TRACERS else ""
    if not tracer or len(fields) < 2 or not fields[1]:
        return tracer, case, ""
    return tracer, fields[1], fields[2] if len(fields) > 2 else ""


def click_files_in(folder: Path, given: str | Path | None) -> dict[str, Path]:
    """{case: click file} of the folder `given`, or of the folders in `folder` whose name starts with "clicks"."""
    folders = [existing_folder(given)] if given else sorted(path for path in folder.glob("[Cc]licks*") if path.is_dir())
    files = {}
    for place in folders:
        for name in sorted(os.listdir(place)):
            for ending in ("_clicks.json", "_clicks.mrk.json", ".mrk.json", ".json"):
                if name.endswith(ending):
                    files.setdefault(name.removesuffix(ending), place / name)
                    break
    if given and not files:
        raise InputError("holds no click file", where=given, mend="name them {case}_clicks.json")
    return files


def _organ_files(given: str | Path | None) -> dict[str, Path]:
    if given is None:
        return {}
    place, files = existing_folder(given), {}
    for name in sorted(os.listdir(place)):
        for ending in ("_organs.nii.gz", "_organs.nii", ".nii.gz", ".nii"):
            if name.endswith(ending):
                files.setdefault(name.removesuffix(ending), place / name)
                break
    if not files:
        raise InputError("holds no organ map", where=given, mend="name them {case}.nii.gz")
    return files


def _autopet_metadata(folder: Path) -> dict[tuple[str, str, str | None], dict[str, str]]:
    """{(tracer, patient, date or None): row} of the metadata tables, centre under the key "centre"."""
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
            patient = about.get("subject id", "").split("_")[-1]
            found[tracer, patient, about.get("study date") or None] = about
            found.setdefault((tracer, patient, None), about)
    return found


def note_spare_files(cohort: Cohort, what: str, files: dict[str, Path]) -> None:
    """Note the files of cases that were not taken."""
    spare = sorted(set(files) - {row["case"] for row in cohort.rows})
    if spare:
        cohort.notes.append(f"{len(spare)} {what} belong to no study that was taken (first: {files[spare[0]].name})")


def _note_autopet(cohort: Cohort, folder: Path, dataset: dict, metadata: dict) -> None:
    taken = {row["case"] for row in cohort.rows}
    declared = dataset.get("numTraining")
    if isinstance(declared, int) and declared != len(taken):
        cohort.notes.append(f"dataset.json tells of {declared} studies, {len(taken)} were taken")
    unknown = sum(not row["tracer"] for row in cohort.rows)
    if unknown:
        cohort.notes.append(f"{unknown} names do not begin with fdg_ or psma_: their tracer is left empty, to be found")
    described = {tracer for tracer, _, _ in metadata}
    strange = [row["case"] for row in cohort.rows
               if row["tracer"] in described and (row["tracer"], row["patient"], None) not in metadata]  # fmt: skip
    if strange:
        cohort.notes.append(f"{len(strange)} studies have no row in the metadata tables (first: {strange[0]})")
    splits = folder / "splits_final.json"
    if splits.is_file():
        named = {
            str(case) for fold in _read_json(splits, list) for case in (*fold.get("train", ()), *fold.get("val", ()))
        }
        text = f"{splits} can be used as the folds"
        if named != taken:
            text += f"; it leaves out {len(taken - named)} of these studies and names {len(named - taken)} others"
        cohort.notes.append(text)


def _match_files(names: list[str], patterns: dict[str, tuple[str, ...]]) -> tuple[dict[str, str], list[str]]:
    """{kind: file name} by the first pattern that fits, and what is ambiguous.

    A file that fits two kinds belongs to the kind whose pattern comes first in the order label, clicks, organs,
    ct, pet, so that `PET_mask` and `ct_seg` are masks.
    """
    found, trouble, used = {}, [], set()
    for kind in ("organs", "label", "clicks", "ct", "pet"):
        for pattern in patterns[kind]:
            fits = [name for name in names if name not in used and fnmatch.fnmatch(name.lower(), pattern.lower())]
            if len(fits) > 1:
                trouble.append(
                    f"{kind}: {len(fits)} files fit {pattern} ({_some(fits)}); give --{kind} with a narrower pattern"
                )
            if len(fits) == 1:
                found[kind] = fits[0]
            if fits:
                used.update(fits)
                break
    return found, trouble


def tracer_in(*texts: str) -> str:
    """The one tracer that a folder or file name says, else empty."""
    words = {word for text in texts for word in "".join(c if c.isalnum() else " " for c in text.lower()).split()}
    said = words & set(TRACERS)
    return said.pop() if len(said) == 1 else ""
