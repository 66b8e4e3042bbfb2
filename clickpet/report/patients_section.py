"""Report section on new patients: what was found in studies without a truth."""

from __future__ import annotations

from clickpet.evaluate.run_results import RunResults
from clickpet.report.page import DASH, Section, Table, number, study_cell
from clickpet.report.style import tracer_name


def patients_section(run: RunResults) -> Section | None:
    """What was found in studies without a truth, a row each; None where there is no such study."""
    if not run.studies:
        return None
    findings = {} if run.quality is None or run.quality.empty else run.quality.groupby("slug").size().to_dict()
    rows = []
    for slug, found in run.studies.items():
        prediction = run.predictions.get(slug, {})
        tracer = prediction.get("tracer", "")
        rows.append(
            [
                study_cell(run.names[slug], slug),
                tracer_name(tracer) if tracer else DASH,
                found["lesions"],
                *(number(found[name]) for name in ("tmtv_ml", "tlg", "suv_max", "suv_peak", "largest_ml")),
                number(prediction.get("disagreement"), 3),
                None if run.quality is None else int(findings.get(slug, 0)),
            ]
        )
    columns = [
        ("Study", "text"),
        ("Tracer", "text"),
        ("Lesions", "number"),
        ("TMTV, ml", "number"),
        ("TLG, g", "number"),
    ]
    columns += [("SUVmax", "number"), ("SUVpeak", "number"), ("Largest, ml", "number"), ("Disagreement", "number")]
    columns += [("Findings", "number")]
    caption = (
        "Studies without a truth, as segmented. TLG: sum of volume times SUVmean; SUVmax and SUVpeak: the highest of "
        "all lesions; disagreement: of the folds, over the predicted lesion voxels; findings: of the quality check."
    )
    note = "High disagreement and findings say where to look first; they are not probabilities."
    return Section("patients", "New patients", [Table("new-patients", caption, columns, rows, note=note)])
