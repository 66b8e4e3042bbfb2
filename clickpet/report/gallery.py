"""Which studies are shown with pictures (the worst ones and a sample of the others), and their gallery."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from clickpet.evaluate.run_results import RunResults
from clickpet.report.embedding import embed_scan
from clickpet.report.page import DASH, Gallery, Section, StudyPictures, Table, Text, number, study_key
from clickpet.report.rotation import VIEWS
from clickpet.report.style import tracer_name

#: Of the worst cases at most this share is without lesions, as long as others could use the place.
LESION_FREE_SHARE = 0.25
#: Size of the sample of the other studies, as a share of the worst ones.
SAMPLE_SHARE = 0.25
#: Most that pictures add to a page. With the tables of 1,611 studies the page stays below 30 MB.
MAX_PICTURE_BYTES = 20_000_000
TITLE = "Studies to look at"


@dataclass(frozen=True)
class Cases:
    """Slugs, worst first: studies with lesions (lowest Dice), lesion-free ones (largest false volume), those without
    a truth (in the cohort's order), and a sample of the scored ones that are not among the worst."""

    with_lesions: list[str]
    lesion_free: list[str]
    without_truth: list[str]
    sample: list[str] = field(default_factory=list)

    @property
    def scored(self) -> list[str]:
        """Studies with a truth."""
        return [*self.with_lesions, *self.lesion_free]


def worst_first(scores: pd.DataFrame, slugs: Collection[str]) -> Cases:
    """Order `slugs` by how wrong their prediction is, by the scores' dice, fpv_ml and fnv_ml.

    Equal Dice: the larger false volume (FPV + FNV) first, then by slug.
    """
    wanted, ill, healthy, scored = set(slugs), [], [], set()
    for row in scores.to_dict("records"):
        if row["slug"] not in wanted:
            continue
        scored.add(row["slug"])
        if pd.isna(row["dice"]):
            healthy.append((-row["fpv_ml"], row["slug"]))
        else:
            ill.append((row["dice"], -(row["fpv_ml"] + row["fnv_ml"]), row["slug"]))
    return Cases(
        with_lesions=[key[-1] for key in sorted(ill)],
        lesion_free=[key[-1] for key in sorted(healthy)],
        without_truth=[slug for slug in slugs if slug not in scored],
    )


def select_cases(worst: Cases, count: int) -> Cases:
    """The `count` worst scored cases (at most a quarter of them lesion-free while others wait), a sample of the other
    scored ones, and the first `count` cases without a truth."""
    healthy = min(len(worst.lesion_free), int(count * LESION_FREE_SHARE))
    ill = min(len(worst.with_lesions), count - healthy)
    healthy = min(len(worst.lesion_free), count - ill)
    others = worst.with_lesions[ill:] + worst.lesion_free[healthy:]
    return Cases(
        worst.with_lesions[:ill],
        worst.lesion_free[:healthy],
        worst.without_truth[:count],
        spread(others, int(count * SAMPLE_SHARE)),
    )


def spread(slugs: list[str], count: int) -> list[str]:
    """`count` of `slugs`, evenly spread over their order: the middle one of each of `count` equal parts."""
    count = min(count, len(slugs))
    return [slugs[(2 * place + 1) * len(slugs) // (2 * count)] for place in range(count)]


def worst_pictures(scores: pd.DataFrame, pictures: Iterable[str | Path], count: int = 12) -> dict[str, Path]:
    """The `count` pictures (`{slug}/mip_overlay.png`) to look at first, by slug."""
    by_slug = {Path(path).parent.name: Path(path) for path in pictures}
    chosen = select_cases(worst_first(scores, list(by_slug)), count)
    return {slug: by_slug[slug] for slug in [*chosen.scored, *chosen.without_truth][:count]}


def gallery_section(run: RunResults, count: int, *, max_bytes: int = MAX_PICTURE_BYTES) -> Section:
    """Pictures of the `count` worst cases, of a sample and of new patients, and the places of all others.

    max_bytes : pictures that would make the page larger are left out, the sample's first.
    """
    if not run.case_pictures:
        return Section("gallery", TITLE, [Text("No case picture was given.")])
    worst = worst_first(run.scores, [slug for slug in run.cohort["slug"] if slug in run.case_pictures])
    chosen = select_cases(worst, count)
    facts = case_facts(run)
    embedded = dict(_embedded(run, [*chosen.scored, *chosen.without_truth, *chosen.sample], facts, max_bytes))
    blocks: list = [
        Text(
            "Open a study by its picture or by its name in a table. Maximum intensity projections of the PET: coronal "
            "(from the front, the patient's right on the left) and sagittal (from the side, the front on the left). "
            "The grey bar beside them tells their SUV window, which depends on the tracer. Orange outline: truth. "
            "Green: predicted component that touches the truth. Filled orange: missed lesion. Blue: false lesion; "
            "where there is no truth, every predicted lesion. Plus: tumour click; cross: background click. What lies "
            "one behind the other is drawn one over the other."
        )
    ]
    groups = (
        ("with-lesions", "Studies with lesions, lowest Dice first", chosen.with_lesions, worst.with_lesions),
        ("lesion-free", "Studies without lesions, largest false volume first", chosen.lesion_free, worst.lesion_free),
        ("sample", "A sample of the other scored studies, evenly spread from worse to better", chosen.sample,
         [slug for slug in worst.scored if slug not in set(chosen.scored)]),
        ("without-truth", "Studies without a truth: prediction only", chosen.without_truth, worst.without_truth),
    )  # fmt: skip
    for key, caption, slugs, of_slugs in groups:
        shown = [embedded[slug] for slug in slugs if slug in embedded]
        if shown:
            blocks.append(Gallery(f"gallery-{key}", f"{caption} ({len(shown)} of {len(of_slugs)} studies).", shown))
    others = [slug for slug in [*worst.scored, *worst.without_truth] if slug not in embedded]
    if others:
        blocks.append(
            Table(
                "other-pictures",
                "Pictures of the other studies, in the folder of results.",
                [("Study", "text"), ("Scores", "text"), ("Picture", "text")],
                [[run.names[slug], facts[slug], _place(run.case_pictures[slug])] for slug in others],
                folded=f"The other {len(others)} studies",
            )
        )
    return Section("gallery", TITLE, blocks)


def _embedded(
    run: RunResults, slugs: list[str], facts: Mapping[str, str], max_bytes: int
) -> Iterator[tuple[str, StudyPictures]]:
    left = max_bytes
    for slug in slugs:
        rotation, slices = run.rotations.get(slug), run.lesion_slices.get(slug)
        pictures = StudyPictures(
            study_key(slug),
            run.names[slug],
            facts[slug],
            embed_scan(run.case_pictures[slug]),
            rotation=embed_scan(rotation) if rotation else None,
            views=VIEWS,
            slices=embed_scan(slices) if slices else None,
        )
        left -= pictures.size_bytes
        if left < 0:
            return
        yield slug, pictures


def case_facts(run: RunResults) -> dict[str, str]:
    """{slug: tracer, split and scores of a case in a line}."""
    scores: Mapping = {row["slug"]: row for row in run.scores.to_dict("records")} if len(run.scores) else {}
    facts = {}
    for study in run.cohort.to_dict("records"):
        slug, row = study["slug"], scores.get(study["slug"])
        tracer = study["tracer"] or (row["tracer"] if row else run.predictions.get(slug, {}).get("tracer", ""))
        parts = [tracer_name(tracer) if tracer else "tracer not given", study["centre"], study["split"]]
        if row is None:
            found = run.studies.get(slug)
            parts.append("not scored" if found is None else f"TMTV {number(found['tmtv_ml']).text} ml")
        else:
            dice = "Dice not defined (no lesion)" if pd.isna(row["dice"]) else f"Dice {row['dice']:.3f}"
            fnv = number(row["fnv_ml"]).text
            parts += [dice, f"FPV {number(row['fpv_ml']).text} ml"] + ([] if fnv == DASH else [f"FNV {fnv} ml"])
        facts[slug] = " · ".join(part for part in parts if part)
    return facts


def _place(path: str | Path) -> str:
    return "/".join(Path(path).parts[-3:])
