"""RO-Crate 1.1 metadata of a run (https://w3id.org/ro/crate/1.1)."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from clickpet.report.provenance import file_sha256

_SPECIFICATION = "https://w3id.org/ro/crate/1.1"
#: RO-Crate 1.1's context is older than schema.org's `sha256`.
_CONTEXT = [f"{_SPECIFICATION}/context", {"sha256": "https://schema.org/sha256"}]
#: What each suffix is; the longest suffix wins.
_FORMATS = {
    ".tsv": "text/tab-separated-values",
    ".csv": "text/csv",
    ".json": "application/json",
    ".html": "text/html",
    ".png": "image/png",
    ".nii.gz": "application/gzip",
    ".pth": "application/octet-stream",
    ".tex": "application/x-tex",
}
_DESCRIPTIONS = {
    "cohort.tsv": "The studies, one a row, with their patients, centres, splits and folds",
    "splits.json": "Which patient and study is in which cross-validation fold",
    "scores.tsv": "Dice, false positive and false negative volume and lesion counts, one study a row",
    "summary.tsv": "Mean scores with 95 % confidence intervals: overall, per tracer, centre and fold",
    "interactive.tsv": "Scores over the number of clicks, one study and click step a row",
    "report.html": "The results as one page: methods, cohort, scores, figures, provenance",
    "provenance.json": "Configuration, seeds, versions, hashes, and time and memory of every job",
}


def describe_run(provenance: Mapping, outputs: Sequence[str | Path], *, root: str | Path) -> dict:
    """RO-Crate metadata of a run, to be written as `ro-crate-metadata.json` into `root`.

    provenance : as of `clickpet.report.provenance.gather_provenance`;  outputs : existing files below `root`, each
    listed with its size and SHA-256.  The day of publication, which the specification asks for, is today's in
    UTC, or that of SOURCE_DATE_EPOCH.
    """
    root = Path(root)
    files = [_file(Path(path), root) for path in sorted({Path(path) for path in outputs}, key=str)]
    parts = [{"@id": file["@id"]} for file in files]
    inputs = [part for part in parts if part["@id"] in ("cohort.tsv", "splits.json")]
    packages = [
        {"@id": f"#{package}", "@type": "SoftwareApplication", "name": package, "softwareVersion": version}
        for package, version in provenance["versions"].items()
        if version
    ]
    git = provenance.get("git")
    software = {
        "@id": "#clickpet",
        "@type": ["SoftwareApplication", "SoftwareSourceCode"],
        "name": "clickpet",
        "softwareVersion": provenance["clickpet"],
        "programmingLanguage": {"@id": "#python"},
        "license": {"@id": "https://spdx.org/licenses/Apache-2.0"},
        "softwareRequirements": [{"@id": package["@id"]} for package in packages],
    }
    if git:
        software["version"] = git["commit"] + (" with uncommitted changes" if git["dirty"] else "")
    seconds = sum(rule["seconds_total"] for rule in provenance.get("rules", []))
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "conformsTo": {"@id": _SPECIFICATION},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": "clickpet results",
            "description": (
                "Click-guided lesion segmentation in whole-body PET/CT: trained models' predictions, scores and report "
                f"of {provenance['cohort']['studies']} studies of {provenance['cohort']['patients']} patients."
            ),
            "datePublished": _today(),
            "license": {"@id": "#licence"},
            "hasPart": parts,
            "mentions": {"@id": "#run"},
        },
        {
            "@id": "#licence",
            "@type": "CreativeWork",
            "name": "Licence of the results",
            "description": "Not stated here: what was computed from images is shared under the terms of those images.",
        },
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": "clickpet workflow run",
            "description": f"{seconds:.0f} s of jobs; configuration, seeds and costs are in provenance.json",
            "instrument": {"@id": "#clickpet"},
            "object": inputs,
            "result": [part for part in parts if part not in inputs],
        },
        software,
        {
            "@id": "#python",
            "@type": "ComputerLanguage",
            "name": "Python",
            "version": provenance["platform"]["python"],
        },
        {
            "@id": "https://spdx.org/licenses/Apache-2.0",
            "@type": "CreativeWork",
            "name": "Apache License 2.0",
        },
        *packages,
        *files,
    ]
    return {"@context": _CONTEXT, "@graph": graph}


def _file(path: Path, root: Path) -> dict:
    identifier = path.resolve().relative_to(root.resolve()).as_posix()
    entry = {
        "@id": identifier,
        "@type": "File",
        "name": identifier,
        "contentSize": str(path.stat().st_size),
        "sha256": file_sha256(path),
    }
    suffix = next((suffix for suffix in sorted(_FORMATS, key=len, reverse=True) if path.name.endswith(suffix)), None)
    if suffix:
        entry["encodingFormat"] = _FORMATS[suffix]
    if identifier in _DESCRIPTIONS:
        entry["description"] = _DESCRIPTIONS[identifier]
    return entry


def _today() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return moment.date().isoformat()
