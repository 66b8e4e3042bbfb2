"""Report sections on the run: inference times and mirroring, costs of the jobs, versions, configuration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import yaml

from clickpet.evaluate.run_results import RunResults
from clickpet.predict.mirroring import mirror_axes_for
from clickpet.report.page import DASH, Cell, Listing, Section, Table, Text, number, study_cell

#: nnU-Net counts axes as z, y, x.
_AXIS_NAMES = "zyx"


def prediction_section(run: RunResults) -> Section | None:
    """Mirroring axes as expected and as used, tiles, times, memory and disagreement of the folds; None without one."""
    if not run.predictions:
        return None
    records = run.predictions
    expected = {slug: expected_axes(record, run.config["predict"]) for slug, record in records.items()}
    groups: dict[tuple[str, str], list[Mapping]] = {}
    for slug, record in records.items():
        key = (axes_text(expected[slug]), axes_text(record.get("mirror_axes")))
        groups.setdefault(key, []).append(record)
    columns = [("Axes by the rule", "text"), ("Axes used", "text"), ("Studies", "number"), ("Million voxels", "number")]
    columns += [("Tiles, median", "number"), ("Time, median (max), s", "number"), ("Peak memory, GB", "number")]
    depth = Table(
        "depth",
        "Mirroring axes by the rule and as used, with the time of a study from reading to writing.",
        columns,
        [[*key, len(members), *_depth(members)] for key, members in sorted(groups.items())],
        note="Axes are those of the network's grid; each axis doubles the forward passes.",
    )
    odd = [
        slug for slug, record in records.items() if axes_text(expected[slug]) != axes_text(record.get("mirror_axes"))
    ]
    blocks = [Text(_time_sentence(records)), depth]
    if odd and run.config["predict"]["mirroring"] == "voxels":
        text = f"{len(odd)} studies were mirrored over other axes than the rule says: "
        blocks.append(Text(text + ", ".join(run.names.get(slug, slug) for slug in odd), "warning"))
    over = [run.names.get(slug, slug) for slug, record in records.items() if record.get("fits") is False]
    if over:
        text = f"{len(over)} studies were not expected to fit the time limit even without mirroring, which they got: "
        blocks.append(Text(text + ", ".join(over), "warning"))
    disagreements = [record["disagreement"] for record in records.values() if record.get("disagreement") is not None]
    if disagreements:
        blocks.append(
            Text(
                f"Fold disagreement is the standard deviation of the lesion probability over the folds, averaged over "
                f"the predicted lesion voxels of a study: median {np.median(disagreements):.3f} (range "
                f"{min(disagreements):.3f} to {max(disagreements):.3f}; n = {len(disagreements)} studies predicted by "
                "more than one fold)."
            )
        )
    else:
        blocks.append(
            Text("Fold disagreement is not defined: every study was predicted by one fold (cross-validation).")
        )
    blocks.append(_per_case(run, expected))
    return Section("prediction", "Prediction: time and depth", blocks)


def expected_axes(record: Mapping, predict: Mapping) -> tuple[int, ...] | None:
    """Axes by the paper's rule for a prediction; in budget mode those that were planned (None: not recorded)."""
    if predict["mirroring"] == "voxels":
        return mirror_axes_for(record["voxels"], predict["voxel_limits"]) if record.get("voxels") else None
    planned = record.get("expected_axes")
    return None if planned is None else tuple(planned)


def axes_text(axes) -> str:
    """Mirroring axes in words: "z, y, x", "none"; a dash where they are not known."""
    if axes is None:
        return DASH
    return ", ".join(_AXIS_NAMES[axis] for axis in axes) or "none"


def _total_s(record: Mapping) -> float:
    seconds = record.get("seconds")
    if isinstance(seconds, Mapping):
        return float(seconds.get("total") or sum(seconds.values()))
    return float("nan") if seconds is None else float(seconds)


def _time_sentence(records: Mapping[str, Mapping]) -> str:
    seconds = np.array([_total_s(record) for record in records.values()])
    devices = sorted({_device(record["device"]) for record in records.values() if record.get("device")})
    text = f"{len(records)} studies were segmented"
    text += f" on {' and '.join(devices)}" if devices else ""
    if np.isfinite(seconds).any():
        text += f", {np.nanmedian(seconds):.1f} s a study (median; longest {np.nanmax(seconds):.1f} s)"
    expected = [record["expected_s"] for record in records.values() if record.get("expected_s") is not None]
    if expected:
        text += f"; the calibration expected {np.median(expected):.1f} s (median of {len(expected)})"
    limits = {record["time_limit_s"] for record in records.values() if record.get("time_limit_s") is not None}
    if limits:
        limit = min(limits)
        over = int(np.sum(seconds > limit))
        text += f". {over or 'None'} took longer than the limit of {limit:g} s"
    return text + "."


def _device(name: str) -> str:
    return "the CPU" if name == "cpu" else "a GPU" if name.startswith("cuda") else name


def _depth(members: list[Mapping]) -> list[object]:
    voxels = np.array([record.get("voxels") or np.nan for record in members], float) / 1e6
    seconds = np.array([_total_s(record) for record in members])
    tiles = [record["tiles"] for record in members if record.get("tiles") is not None]
    memory = [record["peak_memory_mb"] for record in members if record.get("peak_memory_mb") is not None]
    return [
        Cell(f"{np.nanmin(voxels):.2f} to {np.nanmax(voxels):.2f}", float(np.nanmin(voxels))),
        number(float(np.median(tiles)), 0) if tiles else None,
        Cell(f"{np.nanmedian(seconds):.1f} ({np.nanmax(seconds):.1f})", float(np.nanmedian(seconds))),
        number(max(memory) / 1024, 2) if memory else None,
    ]


def _per_case(run: RunResults, expected: Mapping) -> Table:
    columns = [("Study", "text"), ("Folds used", "text"), ("Voxels", "number"), ("Axes by the rule", "text")]
    columns += [("Axes used", "text"), ("Tiles", "number"), ("Passes", "number"), ("Expected, s", "number")]
    columns += [("Used, s", "number"), ("Peak memory, MB", "number"), ("Fold disagreement", "number")]
    rows = []
    for slug, record in run.predictions.items():
        rows.append(
            [
                study_cell(run.names.get(slug, slug), slug),
                ", ".join(str(member) for member in record.get("members") or []) or DASH,
                record.get("voxels"),
                axes_text(expected[slug]),
                axes_text(record.get("mirror_axes")),
                record.get("tiles"),
                record.get("forward_passes"),
                number(record.get("expected_s"), 1),
                number(_total_s(record), 1),
                number(record.get("peak_memory_mb"), 0),
                number(record.get("disagreement"), 3),
            ]
        )
    caption = "Prediction of every study. Passes: forward passes (tiles times mirrorings times folds)."
    return Table("predictions", caption, columns, rows, folded=f"Every study ({len(rows)})")


def provenance_section(run: RunResults) -> Section:
    """Software, seeds, hashes, costs per rule, and the whole configuration."""
    provenance = run.provenance
    git = provenance.get("git")
    if git:
        state = f"commit {git['commit']}" + (
            " with uncommitted changes" if git["dirty"] else ", no tracked file changed"
        )
    else:
        state = "not run from a git checkout"
    cohort = provenance["cohort"]
    facts = [["clickpet", f"{provenance['clickpet']} ({state})"]]
    facts += [["Python", f"{provenance['platform']['python']} on {provenance['platform']['system']}"]]
    facts += [["Cohort table, SHA-256", cohort["table_sha256"] or "not found"]]
    facts += [["cohort.tsv, SHA-256", cohort["cohort_tsv_sha256"]]]
    facts += [[f"Seed: {name}", str(seed)] for name, seed in provenance["seeds"].items()]
    packages = [[name, version or "not installed"] for name, version in provenance["versions"].items()]
    blocks = [
        Table("software", "The run and what decides its outcome.", [("What", "text"), ("Value", "text")], facts),
        Table(
            "versions", "Versions of the packages that compute.", [("Package", "text"), ("Version", "text")], packages
        ),
        _cost_table(provenance["rules"]),
        Listing("The whole configuration", _yaml(run.config)),
    ]
    return Section("provenance", "Provenance", blocks)


def _yaml(config: Mapping) -> str:
    """The configuration as one would write it: lists in one line."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _cost_table(rules: list[Mapping]) -> Table:
    columns = [("Rule", "text"), ("Jobs", "number"), ("Total, min", "number"), ("Median, s", "number")]
    columns += [("Longest, s", "number"), ("CPU, min", "number"), ("Peak memory, MB", "number")]
    rows = [
        [
            rule["rule"],
            rule["jobs"],
            number(rule["seconds_total"] / 60, 1),
            number(rule["seconds_median"], 1),
            number(rule["seconds_max"], 1),
            number(None if rule["cpu_seconds_total"] is None else rule["cpu_seconds_total"] / 60, 1),
            number(rule["memory_mb_max"], 0),
        ]
        for rule in rules
    ]
    return Table(
        "costs",
        "Wall time and memory of the jobs of each rule, as measured by the workflow.",
        columns,
        rows,
        empty="no benchmark was found",
        note="Memory is the largest resident set of a job; jobs too short to be sampled have none.",
    )
