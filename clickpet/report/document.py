"""The report of a run as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping

from clickpet.evaluate.run_results import RunResults
from clickpet.report.data_section import cohort_sentence, data_section
from clickpet.report.gallery import gallery_section
from clickpet.report.method_section import methods_section
from clickpet.report.model_section import tracer_section, training_section
from clickpet.report.page import Section, estimate, render_page
from clickpet.report.patients_section import patients_section
from clickpet.report.rounds_section import rounds_sections
from clickpet.report.run_section import prediction_section, provenance_section
from clickpet.report.score_section import interactive_section, scores_section
from clickpet.report.style import tracer_name

TITLE = "Click-guided lesion segmentation in whole-body PET/CT"


def build_report(run: RunResults, *, worst_cases: int = 40) -> str:
    """The whole report as HTML text: complete without network or other files.

    worst_cases : how many of the worst studies are shown with pictures, beside a sample of the others and new patients;
    the pictures of all others are listed with their places.
    """
    return render_page(
        title=TITLE,
        lead=cohort_sentence(run.cohort) + _lead(run),
        highlights=highlights(run),
        sections=[section for section in _sections(run, worst_cases) if section],
    )


def _sections(run: RunResults, worst_cases: int) -> list[Section | None]:
    """The sections in their order; None for one that this run has nothing for."""
    return [
        methods_section(run),
        data_section(run),
        tracer_section(run),
        training_section(run),
        scores_section(run),
        interactive_section(run),
        *rounds_sections(run),
        patients_section(run),
        prediction_section(run),
        gallery_section(run, worst_cases),
        provenance_section(run),
    ]


def _lead(run: RunResults) -> str:
    scored = len(run.scores)
    if not scored:
        return " None has a truth: the lesions were segmented, nothing was scored."
    return f" {scored} of them were scored against a truth by the official definitions of autoPET."


def highlights(run: RunResults) -> list[tuple[str, str, str]]:
    """Main results as (what, value, remark): Dice overall and per tracer, Dice without clicks, tracer accuracy."""
    found = []
    for row in run.summary.to_dict("records"):
        if row["group"] in ("overall", "tracer"):
            rows = run.scores if row["group"] == "overall" else run.scores[run.scores["tracer"] == row["level"]]
            found += _dice(f"Dice, {_group(row)}", row, f"n = {int(rows['dice'].notna().sum())}")
    if not run.interactive_summary.empty:
        steps = run.interactive_summary
        first = steps[(steps["group"] == "overall") & (steps["measure"] == "value")].sort_values("clicks").iloc[:1]
        for row in first.to_dict("records"):
            found += _dice(f"Dice at {row['clicks']} clicks, {_group(row)}", row, "")
    if run.accuracy.get("n"):
        share = f"{run.accuracy['accuracy'] * 100:.1f} %"
        found.append(("Tracer found", share, f"{run.accuracy['correct']} of {run.accuracy['n']} studies"))
    return found


def _group(row: Mapping) -> str:
    return "all studies" if row["group"] == "overall" else tracer_name(row["level"])


def _dice(what: str, row: Mapping, remark: str) -> list[tuple[str, str, str]]:
    """A highlight of a row's mean Dice with its interval; none where it has no Dice."""
    dice = estimate(row["dice_mean"], row["dice_low"], row["dice_high"])
    if dice.value is None:
        return []
    value, _, interval = dice.text.partition(" ")
    parts = [f"CI {interval.strip('()')}" if interval else "no interval", remark]
    return [(what, value, "; ".join(part for part in parts if part))]
