"""Gallery of case figures, worst cases first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clickpet.evaluate.run_results import RunResults
from clickpet.report.page import DASH, Gallery, Section, Table, Text, number, read_png
from clickpet.report.style import tracer_name

#: Of the pictures at most this share goes to studies without lesions, as long as others could use the place.
LESION_FREE_SHARE = 0.25


@dataclass(frozen=True)
class WorstCases:
    """Slugs, worst first: studies with lesions (lowest Dice), lesion-free ones (largest false volume), and those
    without a truth (in the cohort's order)."""

    with_lesions: list[str]
    lesion_free: list[str]
    without_truth: list[str]


def worst_first(scores: pd.DataFrame, slugs: Collection[str]) -> WorstCases:
    """Order `slugs` by how wrong their prediction is, by the scores' dice, fpv_ml and fnv_ml.

    Equal Dice: the larger false volume (FPV + FNV) first, then by slug.
    """
    ill, healthy, scored = [], [], set()
    for row in scores.to_dict("records"):
        if row["slug"] not in slugs:
            continue
        scored.add(row["slug"])
        if pd.isna(row["dice"]):
            healthy.append((-row["fpv_ml"], row["slug"]))
        else:
            ill.append((row["dice"], -(row["fpv_ml"] + row["fnv_ml"]), row["slug"]))
    return WorstCases(
        with_lesions=[key[-1] for key in sorted(ill)],
        lesion_free=[key[-1] for key in sorted(healthy)],
        without_truth=[slug for slug in slugs if slug not in scored],
    )


def select_cases(worst: WorstCases, count: int) -> WorstCases:
    """The first `count` cases over all groups: at most a quarter of them lesion-free while others wait, studies
    without truth last."""
    healthy = min(len(worst.lesion_free), int(count * LESION_FREE_SHARE))
    ill = min(len(worst.with_lesions), count - healthy)
    healthy = min(len(worst.lesion_free), count - ill)
    unknown = min(len(worst.without_truth), count - ill - healthy)
    return WorstCases(worst.with_lesions[:ill], worst.lesion_free[:healthy], worst.without_truth[:unknown])


def worst_pictures(scores: pd.DataFrame, pictures: Iterable[str | Path], count: int = 12) -> list[Path]:
    """Paths of the `count` pictures (`{slug}/mip_overlay.png`) to look at first."""
    by_slug = {Path(path).parent.name: Path(path) for path in pictures}
    chosen = select_cases(worst_first(scores, list(by_slug)), count)
    return [by_slug[slug] for slug in (*chosen.with_lesions, *chosen.lesion_free, *chosen.without_truth)]


def gallery_section(run: RunResults, count: int) -> Section:
    """Pictures of the `count` worst cases, and the places of all others."""
    if not run.case_pictures:
        return Section("gallery", "Cases, worst first", [Text("No case picture was given.")])
    slugs = [slug for slug in run.cohort["slug"] if slug in run.case_pictures]
    worst = worst_first(run.scores, slugs)
    shown = select_cases(worst, count)
    facts = case_facts(run)
    blocks: list = [
        Text(
            "Maximum intensity projections of the PET, coronal (seen from the front, the patient's right on the left) "
            "and sagittal (nose to the left), grey from SUV 0 (white) to 10 g/ml (black). Orange outline: truth. "
            "Green: predicted component that touches the truth. Filled orange: missed lesion (true component that "
            "touches no predicted voxel). Blue: false lesion (predicted component that touches no true voxel). Plus: "
            "tumour click; cross: background click. What lies one behind the other is drawn one over the other."
        )
    ]
    groups = (
        ("with-lesions", "Studies with lesions, lowest Dice first", shown.with_lesions, worst.with_lesions),
        ("lesion-free", "Studies without lesions, largest false volume first", shown.lesion_free, worst.lesion_free),
        ("without-truth", "Studies without truth: prediction only", shown.without_truth, worst.without_truth),
    )
    for key, caption, chosen, all_slugs in groups:
        if chosen:
            pictures = [(run.names[slug], facts[slug], read_png(run.case_pictures[slug])) for slug in chosen]
            blocks.append(
                Gallery(f"gallery-{key}", f"{caption} ({len(chosen)} of {len(all_slugs)} studies).", pictures)
            )
    other_slugs = [slug for _, _, chosen, all_slugs in groups for slug in all_slugs if slug not in set(chosen)]
    if other_slugs:
        blocks.append(
            Table(
                "other-pictures",
                "Pictures of the other studies, in the folder of results.",
                [("Study", "text"), ("Scores", "text"), ("Picture", "text")],
                [[run.names[slug], facts[slug], _place(run.case_pictures[slug])] for slug in other_slugs],
                folded=f"The other {len(other_slugs)} studies",
            )
        )
    return Section("gallery", "Cases, worst first", blocks)


def case_facts(run: RunResults) -> dict[str, str]:
    """{slug: tracer, split and scores of a case in a line}."""
    scores: Mapping = {row["slug"]: row for row in run.scores.to_dict("records")} if len(run.scores) else {}
    facts = {}
    for study in run.cohort.to_dict("records"):
        row = scores.get(study["slug"])
        tracer = study["tracer"] or (row["tracer"] if row else "")
        parts = [tracer_name(tracer) if tracer else "tracer not given", study["centre"], study["split"]]
        if row is None:
            parts.append("not scored")
        else:
            dice = "Dice not defined (no lesion)" if pd.isna(row["dice"]) else f"Dice {row['dice']:.3f}"
            fnv = number(row["fnv_ml"]).text
            parts += [dice, f"FPV {number(row['fpv_ml']).text} ml"] + ([] if fnv == DASH else [f"FNV {fnv} ml"])
        facts[study["slug"]] = " · ".join(part for part in parts if part)
    return facts


def _place(path: str | Path) -> str:
    return "/".join(Path(path).parts[-3:])
