"""The cohort table of a BIDS data set: PET images with their CT, masks of its derivatives, and clicks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from clickpet.cohort import SPLITS, TRACERS
from clickpet.errors import InputError
from clickpet.ingest.bids_files import PET_NAME, read_metadata
from clickpet.ingest.bids_suv import suv_of_bids
from clickpet.ingest.cohort_builder import Cohort, check_choice, existing_folder, some

#: How tracers are called in TracerName and in the entity `trc`.
_TRACER_WORDS = {"fdg": ("fdg", "fluorodeoxyglucose"), "psma": ("psma", "dcfpyl", "piflufolastat", "flotufolastat")}
#: File names of a lesion mask among the derivatives, after the entities; upper and lower case are the same.
_MASK_END = re.compile(r"_(?:mask|dseg|seg|lesions?)\.nii(?:\.gz)?", re.I)
_CT_END = re.compile(r"_ct\.nii(?:\.gz)?", re.I)
#: Entities that say how an image was made, not of whom and when.
_OF_STUDY = ("sub", "ses", "run")


def build_from_bids(
    folder: str | Path,
    *,
    derivatives: str | Path | None = None,
    tracer: str | None = None,
    centre: str | None = None,
    split: str | None = None,
) -> Cohort:
    """Cohort of a BIDS data set: a study for each `sub-*/[ses-*/]pet/*_pet.nii[.gz]`.

    The CT is `*_ct.nii[.gz]` of the same subject and session, in any folder there (BIDS has no name for it);  the mask
    `*_mask`, `*_dseg`, `*_seg` or `*_lesions` of it below `derivatives` (None: `derivatives/` of the data set), where
    one has "lesion" or "tumor" in its name only those count;  clicks `*_clicks.json` in the same places.
    tracer : "fdg" or "psma", else what TracerName or the entity `trc` says;  split : else train where there is a mask
    and predict where there is none.

    A study is called by its entities (`sub-01_ses-a`), its patient by the subject. Studies whose metadata give no SUV
    are left, with the reason. Raises InputError for a wrong folder, tracer or split and a folder without such an image.
    """
    folder = existing_folder(folder)
    check_choice("tracer", tracer, TRACERS)
    check_choice("split", split, SPLITS)
    derived = existing_folder(derivatives) if derivatives else folder / "derivatives"
    pets = sorted(path for path in folder.glob("sub-*/**/*_pet.nii*") if PET_NAME.fullmatch(path.name))
    if not pets:
        raise InputError(
            "holds no sub-*/ses-*/pet/*_pet.nii.gz", where=folder, mend="give the top folder of a BIDS data set"
        )
    names = [_study_name(path) for path in pets]
    cohort = Cohort()
    for pet, short in zip(pets, names, strict=True):
        name = short if names.count(short) == 1 else re.sub(r"_pet\.nii(\.gz)?$", "", pet.name)
        try:
            _, record = suv_of_bids(pet)
            found = _files_beside(pet, folder, derived)
            metadata = read_metadata(pet)
        except InputError as error:
            cohort.left.append((name, str(error)))
            continue
        own_split = split or ("train" if "label" in found else "predict")
        own_tracer = tracer or _tracer_of(pet, metadata)
        if own_split != "predict" and "label" not in found:
            cohort.left.append((name, f"no mask, which split {own_split} needs"))
            continue
        if own_split == "train" and not own_tracer:
            cohort.left.append((name, "a training case needs its tracer; give --tracer"))
            continue
        if own_split == "predict":
            found.pop("label", None)
        cohort.take(name, tracer=own_tracer, patient=pet.name.split("_")[0], centre=centre, split=own_split, pet=pet,
                    **found)  # fmt: skip
        cohort.notes += [f"{name}: {text}" for text in record["warnings"]]
    return cohort


def _study_name(pet: Path) -> str:
    return "_".join(part for part in pet.name.split("_")[:-1] if part.split("-")[0] in _OF_STUDY)


def _files_beside(pet: Path, folder: Path, derived: Path) -> dict[str, Path]:
    """CT, and if any mask and clicks, of the subject and session of a PET; InputError where the CT is not one file."""
    subject = pet.name.split("_")[0]
    session = next((part for part in pet.name.split("_") if part.startswith("ses-")), None)
    places = Path(subject, session) if session else Path(subject)
    own = [path for path in sorted((folder / places).rglob("*")) if path.is_file() and not path.name.startswith(".")]
    made = [path for top in _tops(derived, places) for path in sorted(top.rglob("*")) if path.is_file()]
    cts = _of_run(pet, [path for path in own if _CT_END.search(path.name)])
    if len(cts) != 1:
        told = f"{len(cts)} CT images ({some(path.name for path in cts)})" if cts else "no CT image (*_ct.nii.gz)"
        raise InputError(f"has {told}", where=folder / places, mend="keep one beside the PET")
    found = {"ct": cts[0]}
    masks = _of_run(pet, [path for path in [*own, *made] if _MASK_END.search(path.name)])
    masks = [path for path in masks if re.search("lesion|tumou?r", path.name, re.I)] or masks
    if len(masks) > 1:
        listed = some(str(path.relative_to(path.parents[1])) for path in masks)
        raise InputError(f"{len(masks)} masks belong to it ({listed})", where=folder / places, mend="keep one")
    clicks = _of_run(pet, [path for path in [*own, *made] if path.name.endswith(("_clicks.json", "_clicks.mrk.json"))])
    for kind, files in (("label", masks), ("clicks", clicks)):
        if files:
            found[kind] = files[0]
    return found


def _tops(derived: Path, places: Path) -> list[Path]:
    """Folders of a subject and session below the derivatives: of each pipeline, or at once."""
    candidates = [derived / places, *(path / places for path in sorted(derived.glob("*")) if path.is_dir())]
    return [path for path in candidates if path.is_dir()]


def _of_run(pet: Path, files: Sequence[Path]) -> list[Path]:
    """The files of the PET's run, where both name one; all files where none of them does."""
    run = next((part for part in pet.name.split("_") if part.startswith("run-")), None)
    same = [path for path in files if run and f"_{run}_" in path.name]
    return same or [path for path in files if "_run-" not in path.name] or list(files)


def _tracer_of(pet: Path, metadata: dict) -> str:
    """The tracer that TracerName or the entity `trc` says, else empty."""
    entity = next((part for part in pet.name.split("_") if part.startswith("trc-")), "")
    text = f"{metadata.get('TracerName', '')} {entity}".lower()
    found = [tracer for tracer, words in _TRACER_WORDS.items() if any(word in text for word in words)]
    return found[0] if len(found) == 1 else ""
