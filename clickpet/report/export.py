"""Export of masks and lesion tables from a folder of results, under the original names of the studies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from clickpet.cohort import SPLITS, Study
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import measure_lesions, measure_study
from clickpet.evaluate.tables import write_table
from clickpet.files import read_json, replacing
from clickpet.images import read_image
from clickpet.ingest.study import holds_dicom
from clickpet.slugs import output_name

#: First columns of the tables of the whole cohort.
LABELS = ("case", "file", "tracer", "patient", "centre", "split")


@dataclass(frozen=True)
class Exported:
    """What was written of a study.  row : of studies.csv;  lesions : of `measure_lesions`;  objects : kinds of DICOM
    objects."""

    row: dict
    lesions: pd.DataFrame
    objects: tuple[str, ...]


def choose_studies(
    studies: Sequence[Study], results: Path, *, cases: Iterable[str] = (), splits: Iterable[str] = ()
) -> tuple[list[Study], list[Study]]:
    """The studies to export, and those among them that have no mask yet.

    cases : names or slugs, none for all;  splits : none for all.  Raises InputError for an unknown case or split, and
    where no study has a mask.
    """
    wanted, splits = list(cases), list(splits)
    for split in splits:
        if split not in SPLITS:
            raise InputError(f"split {split!r} is not known", mend=f"give one of {', '.join(SPLITS)}")
    known = {name for study in studies for name in (study.case, study.slug)}
    for name in wanted:
        if name not in known:
            raise InputError(f"no study is called {name!r}", mend="give a name from the cohort table, in quotes")
    chosen = [
        study
        for study in studies
        if (not wanted or study.case in wanted or study.slug in wanted) and (not splits or study.split in splits)
    ]
    there = [study for study in chosen if _mask_of(results, study).is_file()]
    if not there:
        raise InputError(
            "holds no final mask of these studies",
            where=results,
            mend="run the workflow (target predict or evaluate), or give the folder of its results",
        )
    return there, [study for study in chosen if study not in there]


def masks_of_no_study(studies: Sequence[Study], results: Path) -> list[str]:
    """Slugs of the masks in `results` that belong to none of `studies`."""
    known = {study.slug for study in studies}
    found = sorted(path.parent.name for path in results.glob("cases/*/lesions.nii.gz"))
    return [slug for slug in found if slug not in known]


def export_results(
    studies: Sequence[Study],
    results: str | Path,
    to: str | Path,
    *,
    identity: str = "case",
    kinds: Sequence[str] = ("seg",),
    contours_on: str = "pet",
    jobs: int = 1,
    progress: Callable[[str], None] = print,
) -> list[Exported]:
    """Export the final masks of `studies` (see `choose_studies`) below `to`; returns what was written.

    masks/{case}.nii.gz : the mask on the grid of the PET, NIfTI;  seg/{case}.dcm, rtstruct/{case}.dcm, sr/{case}.dcm :
    where the PET is DICOM, the objects of `kinds` (see `clickpet.report.dicom_results`);  tables/{case}.csv : its
    lesions as `measure_lesions` gives them, with the tracking identifiers of the DICOM objects;  lesions.csv,
    studies.csv : all lesions, and a row a study with lesions, TMTV, TLG, SUVmax, Dmax.  {case} is the name in the
    cohort table; one that cannot be a file's name becomes its slug, which the column `file` tells.
    identity : whom an object names, see `clickpet.dicom.seg_export.write_seg`;  contours_on : "pet" or "ct";
    jobs : processes;  progress : called with a line for each study.

    Raises InputError for a DICOM PET that was changed since, so that the mask is not on its grid.
    """
    results, to = Path(results), Path(to)
    how = {"identity": identity, "contours_on": contours_on}
    work = partial(_export_study, results=results, to=to, kinds=tuple(kinds), how=how)
    names = file_names(studies)
    done: list[Exported] = []
    for exported in _map_studies(work, studies, names, jobs):
        done.append(exported)
        row, also = exported.row, "".join(f", {kind.upper()}" for kind in exported.objects)
        progress(f"{row['case']}: {row['lesions']} lesions, {row['tmtv_ml']:.1f} ml{also}")
    write_table(to / "studies.csv", pd.DataFrame([one.row for one in done]))
    write_table(to / "lesions.csv", pd.concat([_named(one) for one in done], ignore_index=True))
    return done


def _map_studies(work: Callable, studies: Sequence[Study], names: Sequence[str], jobs: int) -> Iterator[Exported]:
    if jobs == 1:
        yield from map(work, studies, names)
        return
    with ProcessPoolExecutor(max_workers=min(jobs, len(studies))) as pool:
        yield from pool.map(work, studies, names)


def file_names(studies: Sequence[Study]) -> list[str]:
    """Names of the studies' files without suffix: the case, or its slug where the case cannot be one or is taken."""
    names, taken = [], set()
    owner = {study.slug.lower(): study.case for study in studies}
    for study in studies:
        name = output_name(study.case)
        if name.lower() in taken or owner.get(name.lower(), study.case) != study.case:
            name = study.slug
        taken.add(name.lower())
        names.append(name)
    return names


def _mask_of(results: Path, study: Study) -> Path:
    return results / "cases" / study.slug / "lesions.nii.gz"


def _export_study(study: Study, name: str, *, results: Path, to: Path, kinds: tuple[str, ...], how: dict) -> Exported:
    folder = results / "cases" / study.slug
    source = _mask_of(results, study)
    mask = read_image(source)
    lesions = measure_lesions(mask.array, read_image(folder / "suv.nii.gz").array, mask.affine)
    kinds = kinds if holds_dicom(study.pet) else ()
    if kinds:
        from clickpet.report.dicom_results import require_dicom, with_tracking, write_dicom_results

        require_dicom(kinds, pet=study.pet, ct=study.ct, contours_on=how["contours_on"])
        paths = {kind: to / kind / f"{name}.dcm" for kind in kinds}
        clicked = bool(read_json(folder / "clicks.json").get("points"))
        write_dicom_results(paths, mask.array, mask.affine, lesions, pet=study.pet, ct=study.ct, case=study.case,
                            semiautomatic=clicked, **how)  # fmt: skip
    totals = measure_study(lesions)
    if kinds:
        lesions = with_tracking(lesions, mask.array, mask.affine, study.pet)
    with replacing(to / "masks" / f"{name}.nii.gz") as temporary:
        shutil.copyfile(source, temporary)
    write_table(to / "tables" / f"{name}.csv", lesions)
    labels = {label: name if label == "file" else getattr(study, label) for label in LABELS}
    return Exported({**labels, **totals}, lesions, kinds)


def _named(exported: Exported) -> pd.DataFrame:
    """The lesion table of a study with LABELS as its first columns."""
    table = exported.lesions.copy()
    for place, label in enumerate(LABELS):
        table.insert(place, label, exported.row[label])
    return table
