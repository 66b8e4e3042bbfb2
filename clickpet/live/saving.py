"""What a live session leaves behind: clicks, mask, lesion table and the course of the interaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clickpet.clicks.writing import write_clicks, write_markups
from clickpet.errors import InputError
from clickpet.evaluate.tables import write_table
from clickpet.files import write_json
from clickpet.images import write_image
from clickpet.ingest.study import holds_dicom
from clickpet.live.session import LiveRecord, LiveSession


def save_session(
    session: LiveSession,
    folder: str | Path,
    *,
    name: str = "",
    pet: str | Path | None = None,
    identity: str = "case",
) -> dict[str, Path]:
    """Write clicks, the mask of the last prediction and the course of the interaction into `folder`.

    clicks.json : Grand Challenge JSON;  clicks.mrk.json : 3D Slicer Markups;  lesions.nii.gz : mask on the PET's
    grid;  lesion_table.csv : `measure_lesions`;  interaction.json : each click and scribble with its time, ml before
    and after, seconds;  lesions.dcm : DICOM SEG, where `pet` (the PET's source) is DICOM. No file says who clicked.
    name : what the names begin with ("p1" gives p1_clicks.json) and whom a SEG names;  identity : see
    `clickpet.dicom.seg_export.write_seg`.

    Returns {"clicks", "markups", "mask", "table", "interaction" and perhaps "seg": path}. Raises InputError if nothing
    was predicted, or for a DICOM PET that the mask is not on the grid of.
    """
    result, study, folder = session.result, session.study, Path(folder)
    if result is None:
        raise InputError("the session has no prediction to save", mend="call predict first")
    ends = {
        "clicks": "clicks.json",
        "markups": "clicks.mrk.json",
        "mask": "lesions.nii.gz",
        "table": "lesion_table.csv",
        "interaction": "interaction.json",
    }
    paths = {what: folder / (f"{name}_{end}" if name else end) for what, end in ends.items()}
    write_clicks(paths["clicks"], session.clicks)
    write_markups(paths["markups"], session.clicks, study.affine)
    write_image(paths["mask"], result.mask, study.affine)
    write_table(paths["table"], result.lesions)
    write_json(paths["interaction"], interaction_record(session.history, study.affine, session.tracer.tracer))
    if pet is not None and holds_dicom(pet):
        from clickpet.dicom.seg_export import write_seg

        paths["seg"] = folder / (f"{name}_lesions.dcm" if name else "lesions.dcm")
        clicked = bool(len(session.clicks.tumor) or len(session.clicks.background))
        write_seg(paths["seg"], result.mask, study.affine, pet, case=name or "case", identity=identity,
                  semiautomatic=clicked)  # fmt: skip
    return paths


def interaction_record(history: Sequence[LiveRecord], affine: np.ndarray, tracer: str) -> dict:
    """The course of an interaction: {"tracer", "affine", "interactions": a record each, in the order made}.

    affine : (4, 4), voxel to RAS+ mm, of the grid of the points.
    """
    return {
        "tracer": tracer,
        "affine": np.asarray(affine).tolist(),
        "interactions": [
            {
                "kind": one.kind,
                "points": one.points.tolist(),
                "time": one.time,
                "ml_before": one.ml_before,
                "ml_after": one.ml_after,
                "seconds": one.seconds,
                "undone": one.undone,
            }
            for one in history
        ],
    }
