"""Report section on the data: the cohort, SUV computation and findings of the quality control."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from clickpet.cohort import JOINT
from clickpet.evaluate.run_results import RunResults
from clickpet.report.method_section import click_sources, lesion_curves
from clickpet.report.page import DASH, Cell, Section, Table, Text, number, study_cell
from clickpet.report.style import tracer_name

SPLIT_NAMES = {"train": "train (cross-validated)", "test": "test (held out)", "predict": "predict (no truth)"}


def data_section(run: RunResults) -> Section:
    """Counts per tracer, centre and split, SUV audit, quality findings."""
    blocks = [Text(f"{cohort_sentence(run.cohort)} {clicks_sentence(run)}".strip()), cohort_table(run)]
    blocks += _missing_sentences(run)
    blocks += suv_blocks(run)
    blocks += quality_blocks(run)
    return Section("data", "Studies", blocks)


def cohort_sentence(cohort: pd.DataFrame) -> str:
    """How many studies of how many patients, in words."""
    studies, patients = len(cohort), cohort["patient"].nunique()
    repeated = int((cohort.groupby("patient").size() > 1).sum())
    centres = cohort["centre"].replace("", pd.NA).nunique()
    text = f"The cohort has {_count(studies, 'study', 'studies')} of {_count(patients, 'patient', 'patients')}"
    text += f", {repeated} of them with more than one study" if repeated else ""
    text += f", from {_count(centres, 'centre', 'centres')}." if centres else "; no centre is named."
    return text


def clicks_sentence(run: RunResults) -> str:
    """For how many studies clicks were given, simulated, or neither."""
    source = click_sources(run)
    parts = [("given", source.given), ("simulated", source.simulated), ("none", source.none)]
    return "Clicks: " + ", ".join(f"{how} for {count} studies" for how, count in parts if count) + "."


def cohort_table(run: RunResults) -> Table:
    """A row per tracer, centre and split: studies, patients, lesions and their volume."""
    cohort = run.cohort.copy()
    cohort["tracer"] = _known_tracers(run)
    wanted = [name for name in ("slug", "truth_lesions", "truth_volume_ml") if name in run.scores]
    if wanted:
        cohort = cohort.merge(run.scores[wanted], on="slug", how="left")
    for name in ("truth_lesions", "truth_volume_ml"):
        if name not in cohort:
            cohort[name] = float("nan")
    rows = [
        [
            tracer_name(tracer) if tracer else "not known",
            centre or DASH,
            SPLIT_NAMES.get(split, split),
            *_counts(members),
        ]
        for (tracer, centre, split), members in cohort.groupby(["tracer", "centre", "split"])
    ]
    if len(rows) > 1:
        rows.append(["all", "", "", *_counts(cohort)])
    columns = [("Tracer", "text"), ("Centre", "text"), ("Split", "text"), ("Studies", "number"), ("Patients", "number")]
    columns += [("With lesions", "number"), ("Without lesions", "number"), ("Lesions", "number")]
    columns += [("TMTV, median (range), ml", "number")]
    return Table(
        "cohort",
        "Studies by tracer, centre and split. Lesions are 18-connected components of the truth; TMTV is the total "
        "volume of the lesions of a study, over the studies that have lesions.",
        columns,
        rows,
        note="Lesion counts are known for studies with a truth only. A patient may count in more than one row.",
    )


def _known_tracers(run: RunResults) -> list[str]:
    """The tracer of each study: the cohort's, or else the one that was found."""
    found = dict(zip(run.scores["slug"], run.scores["tracer"], strict=True)) if "slug" in run.scores else {}
    return [row.tracer or found.get(row.slug, "") for row in run.cohort.itertuples()]


def _counts(members: pd.DataFrame) -> list[object]:
    known = members.dropna(subset=["truth_lesions"])
    ill = known[known["truth_lesions"] > 0]
    volume = Cell(DASH)
    if len(ill):
        low, median, high = (ill["truth_volume_ml"].quantile(share) for share in (0, 0.5, 1))
        volume = Cell(f"{median:,.1f} ({low:,.1f} to {high:,.1f})", median)
    none = len(known) == 0
    return [
        len(members),
        members["patient"].nunique(),
        None if none else len(ill),
        None if none else len(known) - len(ill),
        None if none else int(known["truth_lesions"].sum()),
        volume,
    ]


def _missing_sentences(run: RunResults) -> list[Text]:
    cohort, trained = run.cohort, list(lesion_curves(run))
    splits = set(cohort["split"])
    sentences = []
    if len(trained) == 1 and trained != [JOINT]:
        sentences.append(f"All train studies are {tracer_name(trained[0])}: one lesion model was trained.")
    if "test" not in splits and len(run.scores):
        sentences.append("There is no held-out test study: all scores are from cross-validation.")
    if "train" not in splits:
        sentences.append("There is no train study: nothing was trained on this cohort.")
    if "predict" in splits:
        count = int((cohort["split"] == "predict").sum())
        text = _count(count, "study of the split predict has", "studies of the split predict have")
        sentences.append(f"{text} no score: segmented only.")
    return [Text(" ".join(sentences))] if sentences else []


def suv_blocks(run: RunResults) -> list:
    """Where SUV came from, counted, and study by study under a fold."""
    audits = {slug: record["suv"] for slug, record in run.cases.items() if isinstance(record.get("suv"), Mapping)}
    if not audits:
        return [Text("No record of how SUV was computed was given.", "fine")]
    kinds: dict[tuple[str, str], list[str]] = {}
    for slug, audit in audits.items():
        kinds.setdefault((str(audit.get("source", DASH)), str(audit.get("rule", DASH))), []).append(slug)
    blocks = [
        Table(
            "suv",
            "How the PET became body-weight SUV (g/ml).",
            [("Source", "text"), ("Rule", "text"), ("Studies", "number")],
            [[source, rule, len(slugs)] for (source, rule), slugs in sorted(kinds.items())],
        )
    ]
    warned = [
        (slug, text)
        for slug, record in run.cases.items()
        for part in ("suv", "ct")
        for text in (record.get(part) or {}).get("warnings") or []
    ]
    if warned:
        blocks.append(
            Table(
                "suv-warnings",
                "Remarks of the import: SUV, and CT against PET.",
                [("Study", "text"), ("Remark", "text")],
                [[study_cell(run.names.get(slug, slug), slug), text] for slug, text in warned],
            )
        )
    details = [name for name in _value_names(audits) if name not in ("source", "rule", "warnings")]
    if details:
        blocks.append(
            Table(
                "suv-audit",
                "What the SUV of each study was computed from.",
                [("Study", "text"), *((name.replace("_", " "), "text") for name in details)],
                [
                    [study_cell(run.names.get(slug, slug), slug), *(_short(audit.get(name)) for name in details)]
                    for slug, audit in audits.items()
                ],
                folded=f"SUV audit of every study ({len(audits)})",
            )
        )
    return blocks


def _value_names(records: Mapping[str, Mapping]) -> list[str]:
    names: dict[str, None] = {}
    for record in records.values():
        names.update({name: None for name, value in record.items() if not isinstance(value, Mapping)})
    return list(names)


def _short(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(f"{part:.6g}" if isinstance(part, float) else str(part) for part in value)
    return number(value, 6 if abs(value) < 0.01 else 2) if isinstance(value, float) else value


def quality_blocks(run: RunResults) -> list:
    """Findings of the quality check: counted by kind, and one by one under a fold."""
    if run.quality is None:
        return []
    what = "the quality check of images, labels and clicks"
    if run.quality.empty:
        return [Text(f"Nothing was found by {what}.")]
    kinds = [
        [severity, code, members["case"].nunique(), len(members)]
        for (severity, code), members in run.quality.groupby(["severity", "code"], sort=False)
    ]
    details = run.quality[[name for name in run.quality.columns if name != "slug"]].astype(object)
    rows = [
        [study_cell(value, slug) if name == "case" else value for name, value in row.items()]
        for row, slug in zip(details.where(details.notna(), None).to_dict("records"), run.quality["slug"], strict=True)
    ]
    kind_columns = [("Severity", "text"), ("Kind", "text"), ("Studies", "number"), ("Findings", "number")]
    columns = [(name.capitalize(), "number" if name == "value" else "text") for name in details.columns]
    return [
        Table("quality", f"Findings of {what}; soft ones are for a person to look at.", kind_columns, kinds),
        Table("findings", f"Every finding of {what}.", columns, rows, folded=f"Every finding ({len(rows)})"),
    ]


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
