"""The page of one patient: projections, lesions slice by slice, measurements, clicks and what is to be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from clickpet import __version__
from clickpet.clicks.model import Clicks
from clickpet.evaluate.lesion_table import number_lesions
from clickpet.images import voxel_volume_ml
from clickpet.report.lesion_slices import SLICE_DPI, WINDOW_MAX_SUV, SliceStudy, draw_lesion_slice
from clickpet.report.numbered_mip import MOST_NUMBERS, draw_numbered_mip
from clickpet.report.page import Definitions, Figure, Plates, Section, Table, Text, number, render_page
from clickpet.report.style import png_bytes, tracer_name

NOT_A_DEVICE = (
    "Not a medical device. Made by software for research; it must not be the basis of a diagnosis or a treatment. "
    "Every lesion here has to be looked at by a person."
)
#: Lesions that have a picture at most, largest first; the table has all.
MOST_PICTURES = 40
#: A mean disagreement from here on is worth a second look (0 all models agree, 0.5 none).
DOUBTFUL = 0.25
MIP_DPI = 130
#: Columns of the lesion table that not every study has, and what they are called here.
_OPTIONAL_COLUMNS = {"site": "site", "status": "against the truth"}
_KINDS = {"tumor": "tumour", "background": "background"}
_SOURCES = {
    "found": "found by the discriminator on the MIP",
    "given": "given by the user",
    "only": "the only tracer that the models know",
}


@dataclass(frozen=True, eq=False)
class PatientResults:
    """What is known of one segmented study.

    case : its name;  suv, ct : float (x, y, z), g/ml and HU;  lesions : final mask (x, y, z);  affine : voxel index to
    RAS+ mm;  clicks : on that grid;  table : of `measure_lesions`;  totals : of `measure_study`;  tracer, prediction,
    quality, case_record : contents of tracer.json, prediction.json, quality.json, case.json;  truth : mask or None.
    """

    case: str
    suv: np.ndarray
    ct: np.ndarray
    lesions: np.ndarray
    affine: np.ndarray
    clicks: Clicks
    table: pd.DataFrame
    totals: Mapping[str, float | int | None]
    tracer: Mapping
    prediction: Mapping
    quality: Mapping
    case_record: Mapping
    truth: np.ndarray | None = None
    threshold: float = 0.5


def build_patient_page(found: PatientResults) -> str:
    """The page of a study as HTML text: complete without network or other files, and no path or identifier in it but
    the case name."""
    numbers = number_lesions(found.lesions)
    study = SliceStudy.turned(found.suv, found.ct, numbers, found.affine, truth=found.truth, clicks=found.clicks)
    window = WINDOW_MAX_SUV.get(found.tracer["tracer"], max(WINDOW_MAX_SUV.values()))
    return render_page(
        title=found.case,
        lead=_lead(found),
        highlights=_highlights(found.totals),
        sections=[
            Section("overview", "Overview", [Text(NOT_A_DEVICE, "warning"), _projection(study, window)]),
            Section("lesions", "Lesions", [_lesion_table(found), *_pictures(found, study, window)]),
            Section("clicks", "Clicks", _click_blocks(found, numbers)),
            Section("checks", "To be checked", _checks(found)),
            Section("method", "How it was made", [_method(found)]),
        ],
    )


def _lead(found: PatientResults) -> str:
    count = found.totals["lesions"]
    lesions = "No lesion was" if not count else "1 lesion was" if count == 1 else f"{count} lesions were"
    clicks = len(found.clicks.tumor), len(found.clicks.background)
    helped = f"{clicks[0]} tumour and {clicks[1]} background clicks" if sum(clicks) else "no clicks"
    return f"{tracer_name(found.tracer['tracer'])} PET/CT. {lesions} found, with {helped}."


def _highlights(totals: Mapping) -> list[tuple[str, str, str]]:
    return [
        ("Lesions", str(totals["lesions"]), "18-connected components"),
        ("Total volume (TMTV)", number(totals["tmtv_ml"], 1, "ml").text, "of all lesions"),
        ("Total lesion glycolysis (TLG)", number(totals["tlg"], 1, "g").text, "SUVmean times volume, summed"),
        ("Highest SUVmax", number(totals["suv_max"], 1).text, "g/ml, body weight"),
        ("Spread (Dmax)", number(totals.get("dmax_mm"), 0, "mm").text, "between the two lesions farthest apart"),
    ]


def _projection(study: SliceStudy, window: float) -> Figure:
    more = f" Numbers up to {MOST_NUMBERS} are drawn." if len(study.boxes) > MOST_NUMBERS else ""
    return Figure(
        "mip",
        f"Maximum intensity projections of the PET, SUV 0 to {window:g}: lesions outlined and numbered as in "
        f"[[lesion-table]], largest first; clicks as + (tumour) and x (background).{more}",
        png_bytes(draw_numbered_mip(study, window_max_suv=window), dpi=MIP_DPI),
        f"Coronal and sagittal projection with {len(study.boxes)} numbered lesions",
        "uptake without an outline, and outlines around organs (brain, heart, kidneys, bladder, glands, gut).",
    )


def _lesion_table(found: PatientResults) -> Table:
    columns = [
        ("lesion", "number"), ("volume, ml", "number"), ("SUVmax", "number"), ("SUVpeak", "number"),
        ("SUVmean", "number"), ("TLG, g", "number"), ("disagreement", "number"), ("x, y, z, mm", "text"),
    ]  # fmt: skip
    more = [(column, name) for column, name in _OPTIONAL_COLUMNS.items() if column in found.table]
    columns += [(name, "text") for _, name in more]
    rows = []
    for row in found.table.to_dict("records"):
        place = ", ".join(str(round(row[f"{axis}_mm"])) for axis in "xyz")
        cells = [
            int(row["lesion"]), number(row["volume_ml"]), number(row["suv_max"], 1), number(row["suv_peak"], 1),
            number(row["suv_mean"], 1), number(row["tlg"], 1), number(row.get("disagreement")), place,
        ]  # fmt: skip
        rows.append([*cells, *(row[column] for column, _ in more)])
    return Table(
        "lesion-table",
        "Lesions, largest first. SUV by body weight, g/ml; SUVpeak is the highest mean of a 1 ml sphere around a voxel "
        "of the lesion. Disagreement is the standard deviation of the lesion probability over the models, 0 to 0.5: "
        "large where they do not agree; a dash where one model predicted.",
        columns,
        rows,
        empty="no lesions",
    )


def _pictures(found: PatientResults, study: SliceStudy, window: float) -> list[Plates]:
    rows = found.table.to_dict("records")[:MOST_PICTURES]
    if not rows:
        return []
    pictures = []
    for row in rows:
        figure = draw_lesion_slice(study, int(row["lesion"]), window_max_suv=window)
        facts = f"{row['volume_ml']:.2f} ml, SUVmax {row['suv_max']:.1f}"
        if np.isfinite(row.get("disagreement", np.nan)):
            facts += f", disagreement {row['disagreement']:.2f}"
        pictures.append((f"Lesion {row['lesion']}", facts, png_bytes(figure, dpi=SLICE_DPI)))
    left = len(found.table) - len(rows)
    truth = " The dashed line is the truth." if found.truth is not None else ""
    more = f" The {left} smallest have no picture." if left else ""
    return [
        Plates(
            "slices",
            "The axial slice that holds most of each lesion: PET over CT, the frame enlarged on the right, the "
            f"patient's right side on the left. Bold: the lesion; thin: other lesions.{truth} Clicks on this slice or "
            f"the next ones are + and x.{more}",
            pictures,
            "Look whether the contour follows the uptake, and what the CT shows there.",
        )
    ]


def _click_blocks(found: PatientResults, numbers: np.ndarray) -> list[object]:
    """What is at each click."""
    rows = click_rows(found.clicks, numbers, found.suv, found.affine)
    if not rows:
        return [Text("No clicks were given: the models found everything by themselves.")]
    odd = sum(row["odd"] for row in rows)
    told = f"{odd} of {len(rows)} clicks got the opposite of what they say." if odd else "Every click got what it says."
    table = Table(
        "click-table",
        "For each click whether a lesion is there. A tumour click without a lesion, and a background click inside "
        "one, are to be looked at.",
        [("click", "text"), ("x, y, z, voxel", "text"), ("x, y, z, mm", "text"), ("SUV", "number"),
         ("lesion there", "text"), ("its volume, ml", "number"), ("", "text")],
        [[row["click"], row["voxel"], row["mm"], number(row["suv"], 1), row["lesion"], number(row["volume_ml"]),
          "check" if row["odd"] else ""] for row in rows],
    )  # fmt: skip
    return [Text(told, "warning" if odd else ""), table]


def click_rows(clicks: Clicks, numbers: np.ndarray, suv: np.ndarray, affine: np.ndarray) -> list[dict]:
    """For each click, in the order made within its kind, what is there.

    numbers : lesion of each voxel (x, y, z), 0 for none. Returns rows of click (kind and number), voxel and mm (text),
    suv, lesion ("lesion 3" or "none"), volume_ml of it (NaN for none), odd (a tumour click without lesion, or a
    background click in one).
    """
    sizes = np.bincount(numbers.ravel(order="K"), minlength=1) * voxel_volume_ml(affine)
    rows = []
    for kind, name in _KINDS.items():
        for count, voxel in enumerate(getattr(clicks, kind), start=1):
            lesion = int(numbers[tuple(voxel)])
            rows.append(
                {
                    "click": f"{name} {count}",
                    "voxel": ", ".join(str(part) for part in voxel),
                    "mm": ", ".join(str(round(part)) for part in apply_affine(affine, voxel)),
                    "suv": float(suv[tuple(voxel)]),
                    "lesion": f"lesion {lesion}" if lesion else "none",
                    "volume_ml": float(sizes[lesion]) if lesion else float("nan"),
                    "odd": (kind == "tumor") != bool(lesion),
                }
            )
    return rows


def _checks(found: PatientResults) -> list[object]:
    """Findings of the quality control, doubts of the headers, and lesions that the models do not agree on."""
    lines = [f"{one['severity']}: {one['what']}" for one in found.quality["findings"]]
    for name, label in (("suv", "PET"), ("ct", "CT")):
        told = {one["what"] for one in found.quality["findings"]}
        warnings = found.case_record.get(name, {}).get("warnings") or ()
        lines += [f"{label}: {text}" for text in warnings if not any(text in what for what in told)]
    blocks: list[object] = [Text(line, "warning") for line in lines]
    if not lines:
        blocks.append(Text("The quality control found nothing odd in PET and CT."))
    if len(found.prediction["members"]) < 2:
        blocks.append(Text("One model predicted, so how far models disagree is not known."))
    elif "disagreement" in found.table and found.table["disagreement"].notna().any():
        doubtful = found.table.loc[found.table["disagreement"] >= DOUBTFUL, "lesion"].tolist()
        if doubtful:
            names = ", ".join(str(one) for one in doubtful)
            blocks.append(Text(f"The models disagree (mean of {DOUBTFUL} or more) about lesion {names}.", "warning"))
        else:
            blocks.append(Text(f"No lesion has a mean disagreement of {DOUBTFUL} or more."))
    return blocks


def _method(found: PatientResults) -> Definitions:
    details, tracer = found.prediction, found.tracer
    votes = tracer.get("votes") or {}
    counted = ", ".join(f"{tracer_name(name)} {count}" for name, count in votes.items())
    axes = details["mirror_axes"]
    entries = [
        ("tracer", f"{tracer_name(tracer['tracer'])}, {_SOURCES.get(tracer['source'], tracer['source'])}"
         + (f" (votes: {counted})" if counted else "")),
        ("models", _models(details["members"])),
        ("SUV", found.case_record["suv"]["rule"]),
        ("grid", f"{' x '.join(map(str, found.suv.shape))} voxels of "
         f"{' x '.join(f'{edge:.2f}' for edge in found.case_record['spacing_mm'])} mm"),
        ("inference", f"{details['tiles']} tiles, {len(axes)} mirrored axes, {details['seconds']['total']:.0f} s on "
         f"{details['device']}"),
        ("a voxel is lesion", f"above a probability of {found.threshold:g}"),
        ("software", f"clickpet {__version__}"),
    ]  # fmt: skip
    return Definitions(entries)


def _models(members: Sequence) -> str:
    folds = ", ".join(str(one) for one in members)
    return f"mean of folds {folds}" if len(members) > 1 else f"fold {folds} alone"
