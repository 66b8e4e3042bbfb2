"""Findings of the quality control: what is wrong with a study, how bad it is, and tables of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from clickpet.errors import InputError
from clickpet.fields import field_text

#: What findings are about, worst first; `rank_findings` sorts by this order within hard and soft.
CODES = (
    "grid", "not_finite", "swapped", "ct_empty", "not_hu", "not_suv", "counts", "suv_range", "suv_level", "liver_level",
    "truth_values", "lesion_in_air", "ct_misplaced", "click_outside", "click_misplaced", "same_scan", "axes",
    "orientation", "spacing", "header", "coverage", "ct_coverage", "empty_slices", "liver_volume", "hu_range",
    "lesion_faint", "lesion_count", "lesion_volume", "click_count",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a study.

    severity : "hard" (stops the run) or "soft";  code : one of CODES;  what : a sentence;  value : the number
    behind it, None where there is none;  mend : what to do.
    """

    severity: str
    code: str
    what: str
    value: float | None = None
    mend: str = ""


def as_record(case: str, slug: str, findings: Sequence[Finding], *, orientation: str = "", scan: str = "") -> dict:
    """The findings of a study as it is kept in `quality.json`.

    orientation : of the axes, such as "LAS";  scan : a hash of the PET; both empty where they are not known.
    """
    hard = sum(finding.severity == "hard" for finding in findings)
    return {
        "case": case,
        "slug": slug,
        "orientation": orientation,
        "scan": scan,
        "hard": hard,
        "soft": len(findings) - hard,
        "findings": [asdict(finding) for finding in findings],
    }


def rank_findings(records: Sequence[Mapping]) -> list[dict]:
    """All findings of a cohort as rows of the table, worst first: hard before soft, then by CODES, then by name.

    records : as `as_record` gives them. Two soft findings are added that only the whole cohort shows: an orientation
    that differs from that of most (the networks see axes, not anatomy), and a PET that is another case's as well.
    """
    cases_of: dict[str, list[str]] = defaultdict(list)
    for record in records:
        cases_of[record.get("scan", "")].append(record["case"])
    rows = [
        {"severity": found["severity"], "code": found["code"], "case": record["case"], "slug": record["slug"],
         "what": found["what"], "value": found["value"], "mend": found["mend"]}
        for record in records
        for found in [*record["findings"], *_odd_orientation(record, records), *_same_scan(record, cases_of)]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["severity"] != "hard", CODES.index(row["code"]), row["case"]))


def findings_table(rows: Sequence[Mapping]) -> str:
    """`quality.tsv`: the rows of `rank_findings`, tab-separated; a header alone where nothing was found."""
    names = ("severity", "code", "case", "slug", "what", "value", "mend")
    lines = ["\t".join(names)]
    for row in rows:
        value = "" if row["value"] is None else f"{row['value']:.6g}"
        lines.append("\t".join(field_text({**row, "value": value}[name]) for name in names))
    return "\n".join(lines) + "\n"


def require_sound(rows: Sequence[Mapping], *, where: object = None) -> None:
    """Raise InputError that names the hard findings among `rows`, if there are any."""
    hard = [row for row in rows if row["severity"] == "hard"]
    if hard:
        some = " | ".join(f"{row['case']}: {row['what']}" for row in hard[:5])
        more = f" (and {len(hard) - 5} more)" if len(hard) > 5 else ""
        raise InputError(
            f"{len(hard)} hard findings: {some}{more}",
            where=where,
            mend="mend these studies or take them out of the cohort table",
        )


def in_order(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda found: (found.severity != "hard", CODES.index(found.code)))


def _odd_orientation(record: Mapping, records: Sequence[Mapping]) -> list[dict]:
    counts = Counter(other["orientation"] for other in records if other["orientation"])
    if not record["orientation"] or not counts:
        return []
    usual, count = max(counts.items(), key=lambda item: (item[1], item[0]))
    if record["orientation"] == usual or count <= len(records) / 2:
        return []
    what = f"its axes are {record['orientation']}, those of {count} others {usual}"
    return [asdict(Finding("soft", "orientation", what, None, f"store it as {usual}, as the others are"))]


def _same_scan(record: Mapping, cases_of: Mapping[str, Sequence[str]]) -> list[dict]:
    """cases_of : {hash of a PET: cases}."""
    cases = cases_of[record["scan"]] if record.get("scan") else []
    if len(cases) < 2:
        return []
    others = [case for case in cases if case != record["case"]]
    what = f"its PET is also that of {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}"
    mend = "keep one of the rows: a scan that a model was trained on scores too well"
    return [asdict(Finding("soft", "same_scan", what, len(cases), mend))]


def is_sound_study(record: Mapping) -> bool:
    """True if the record of one study (`as_record`) holds no hard finding."""
    return not _hard(record)


def require_sound_study(record: Mapping) -> None:
    """Raise InputError that names the hard findings in the record of one study (`as_record`); print the soft ones."""
    hard = _hard(record)
    if hard:
        raise InputError(
            " | ".join(found["what"] for found in hard), where=f"case {record['case']}", mend=hard[0]["mend"] or None
        )
    for line in soft_lines(record):
        print(line)


def _hard(record: Mapping) -> list[dict]:
    return [found for found in record["findings"] if found["severity"] == "hard"]


def soft_lines(record: Mapping) -> list[str]:
    """The soft findings in the record of one study, a line each."""
    return [f"warning: {found['what']}; {found['mend']}" for found in record["findings"] if found["severity"] == "soft"]
