"""The cohort table of folders that each hold one study as NIfTI files: file names only."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from pathlib import Path

from clickpet.cohort import SPLITS, TRACERS
from clickpet.errors import InputError
from clickpet.ingest.cohort_builder import Cohort, check_choice, existing_folder, some, tracer_in

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
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        names = sorted(name for name in names if not _is_hidden(name))
        relative = Path(path).relative_to(folder)
        found, trouble = _match_files(names, patterns)
        shown = "_".join(relative.parts) or folder.name
        for name in [name for name in folders if name.lower().endswith(NIFTI_SUFFIXES)]:
            cohort.left.append((str(relative / name), "is a folder called like a file; put the file in its place"))
            folders.remove(name)
        if not found and not trouble:
            if any(name.lower().endswith(NIFTI_SUFFIXES) for name in names):
                cohort.left.append((shown, f"no file matches a pattern: {some(names)}"))
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


def _is_hidden(name: str) -> bool:
    """True for what a Mac leaves beside files (`._CT.nii.gz`, `.DS_Store`, the folder `__MACOSX` of an archive)."""
    return name.startswith(".") or name == "__MACOSX"


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
                    f"{kind}: {len(fits)} files fit {pattern} ({some(fits)}); give --{kind} with a narrower pattern"
                )
            if len(fits) == 1:
                found[kind] = fits[0]
            if fits:
                used.update(fits)
                break
    return found, trouble
