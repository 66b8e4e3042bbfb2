"""Tables of interaction in rounds: scores, curves by group, safety, lesion sizes, lesion-free studies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from clickpet.errors import InputError
from clickpet.evaluate.interactive import LABELS
from clickpet.evaluate.matching import MATCH_IOU, SIZES, size_of
from clickpet.evaluate.pooled import PooledCurve, pooled_curve
from clickpet.evaluate.summary import groups_of
from clickpet.evaluate.tables import read_table

#: Columns of `rounds.tsv` behind the labels of the study.
SCORES = (
    "round", "kind", "points", "dice", "challenge_dice", "fpv_ml", "fnv_ml", "tp", "fp", "fn", "f1_iou10",
    "truth_volume_ml", "prediction_volume_ml", "tumor_points", "tumor_inside", "background_points",
    "background_outside", "changed_ml", "far_changed_ml", "dice_change",
)  # fmt: skip
#: Scores of `rounds_summary.tsv`.
METRICS = ("dice", "challenge_dice", "fpv_ml", "fnv_ml", "f1_iou10")
_TEXT = ("kind",)


def rounds_table(scores: Iterable[Mapping]) -> pd.DataFrame:
    """All rounds of all studies, sorted by slug and round: LABELS and SCORES; a score without a value is NaN.

    scores : as in the `score.json` of a round. Raises InputError if a study has a round twice or not those of others.
    """
    rows = sorted(scores, key=lambda score: (score["slug"], score["round"]))
    table = pd.DataFrame([{name: row[name] for name in (*LABELS, *SCORES)} for row in rows], columns=[*LABELS, *SCORES])
    numbers = [name for name in SCORES if name not in ("round", *_TEXT)]
    table[numbers] = table[numbers].astype(float)
    counts = [name for name in numbers if name in ("points", "tp", "fp", "fn") or name.endswith(("points", "side"))]
    table[counts] = table[counts].astype(int)
    found = table.groupby("slug", sort=True)["round"].apply(tuple)
    for slug, mine in found.items():
        if mine != found.iloc[0] or len(set(mine)) < len(mine):
            raise InputError(
                f"has scores of the rounds {list(mine)}, {found.index[0]} of {list(found.iloc[0])}",
                where=slug,
                mend="run the target interactive again",
            )
    return table


def read_round_lesions(paths: Iterable[str | Path], table: pd.DataFrame) -> pd.DataFrame:
    """The true lesions of all studies at each round: round, lesion, volume_ml, size, matched_iou, found, slug, tracer.

    paths : `{slug}/{protocol}/lesions.csv`;  table : of `rounds_table`, for the tracers.
    """
    tables = [read_table(path).assign(slug=Path(path).parents[1].name) for path in paths]
    lesions = pd.concat([part for part in tables if len(part)] or tables[:1] or [pd.DataFrame()], ignore_index=True)
    tracers = table.drop_duplicates("slug")[["slug", "tracer"]]
    return lesions.merge(tracers, on="slug", how="inner") if len(lesions) else lesions


def read_scored_lesions(paths: Iterable[str | Path], scores: pd.DataFrame) -> pd.DataFrame:
    """The true lesions of all scored studies, as `sizes_table` takes them.

    paths : `{slug}/lesion_scores.csv`;  scores : with slug and tracer. There `found` is any overlap, here an IoU of at
    least MATCH_IOU.
    """
    tables = [read_table(path).assign(slug=Path(path).parent.name) for path in paths]
    lesions = pd.concat([part for part in tables if len(part)] or tables[:1] or [pd.DataFrame()], ignore_index=True)
    if not len(lesions):
        return lesions
    lesions = lesions[["slug", "volume_ml", "matched_iou"]].merge(scores[["slug", "tracer"]], on="slug", how="inner")
    return lesions.assign(size=size_of(lesions["volume_ml"]), found=(lesions["matched_iou"] >= MATCH_IOU).astype(int))


def summarise_rounds(table: pd.DataFrame, *, repeats: int = 2000, confidence: float = 0.95, seed: int) -> pd.DataFrame:
    """Scores at each round and areas under them by group, with intervals over patients.

    table : of `rounds_table`. Columns group, level, measure ("value" or "area"), round (of an area the last one),
    studies, patients, and {metric}_mean, _low, _high of METRICS. Means over studies; f1_iou10 from the sums of tp, fp
    and fn over studies with lesions (autoPET V). Group "weighted": the mean over the groups tracer x centre, which all
    weigh the same.
    """
    rounds = sorted(table["round"].unique()) if len(table) else []
    options = {"repeats": repeats, "confidence": confidence, "seed": seed}
    rows = []
    for group, level, members, parts in _groups(table):
        studies = members[members["round"] == rounds[0]]
        curves = {metric: _curve(members, metric, len(rounds), parts, options) for metric in METRICS}
        head = {"group": group, "level": level}
        tail = {"studies": len(studies), "patients": studies["patient"].nunique()}
        for place, number in enumerate(rounds):
            row = {**head, "measure": "value", "round": number, **tail}
            rows.append(row | _columns({metric: curve.values[place] for metric, curve in curves.items()}))
        row = {**head, "measure": "area", "round": rounds[-1], **tail}
        rows.append(row | _columns({metric: curve.area for metric, curve in curves.items()}))
    names = _columns(dict.fromkeys(METRICS, (np.nan,) * 3))
    return pd.DataFrame(rows, columns=["group", "level", "measure", "round", "studies", "patients", *names])


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame, list[str]]]:
    """(group, level, rows, tracer x centre or nothing of each study) of `groups_of`, and then the weighted mean."""
    for group, level, members in groups_of(table):
        yield group, level, members, []
    if len(table):
        first = table[table["round"] == table["round"].min()]
        parts = (first["tracer"].astype(str) + " " + first["centre"].fillna("").astype(str)).tolist()
        yield "weighted", "all", table, parts


def _curve(members: pd.DataFrame, metric: str, rounds: int, parts: list[str], options: Mapping) -> PooledCurve:
    def wide(name: str) -> np.ndarray:
        return members[name].to_numpy(float).reshape(-1, rounds)

    if metric == "f1_iou10":
        ill = np.where(wide("tp") + wide("fn") > 0, 1.0, np.nan)
        numerator, denominator = 2 * wide("tp") * ill, (2 * wide("tp") + wide("fp") + wide("fn")) * ill
    else:
        numerator = wide(metric)
        denominator = np.ones_like(numerator)
    patients = members["patient"].to_numpy(object).reshape(-1, rounds)[:, 0].tolist()
    return pooled_curve(numerator, denominator, patients, parts or None, **options)


def _columns(values: Mapping[str, Iterable[float]]) -> dict[str, float]:
    return {
        f"{metric}_{part}": float(value)
        for metric, estimate in values.items()
        for part, value in zip(("mean", "low", "high"), estimate, strict=True)
    }


def safety_of_clicks(scores: Iterable[Mapping]) -> pd.DataFrame:
    """`safety_table` of the steps of the protocol `clicks`; without the numbers in the scores no rows.

    scores : as in the `score.json` of a number of clicks.
    """
    names = [*LABELS, "clicks", "points", "dice_change", "far_changed_ml"]
    names += ["tumor_points", "tumor_inside", "background_points", "background_outside"]
    rows = [{name: score[name] for name in names} for score in scores if "points" in score]
    table = pd.DataFrame(rows, columns=names)
    numbers = ["dice_change", "far_changed_ml"]
    table[numbers] = table[numbers].astype(float)
    return safety_table(table.sort_values(["slug", "clicks"], kind="stable", ignore_index=True), at="clicks")


def safety_table(table: pd.DataFrame, at: str = "round") -> pd.DataFrame:
    """How interaction was answered, by group and round (from 1 on, and "all" of them).

    table : of `rounds_table`, or the like with another name for the rounds, `at`. Columns group, level, round,
    studies (with an interaction in it); tumor_points and tumor_inside (their share in the mask, of all points so far);
    background_points and background_outside; far_changed_ml (mean; volume changed farther than 5 cm from the
    interaction of the round); falls (studies, or for "all" rounds of studies, in which Dice fell), mean_fall,
    largest_fall (of Dice, above 0; NaN without any).
    """
    rows = []
    for group, level, members in groups_of(table):
        made = members[(members[at] > 0) & (members["points"] > 0)]
        for number, part in [*made.groupby(at, sort=True), ("all", made)]:
            falls = -part.loc[part["dice_change"] < 0, "dice_change"]
            points = {kind: int(part[f"{kind}_points"].sum()) for kind in ("tumor", "background")}
            rows.append(
                {
                    "group": group,
                    "level": level,
                    at: number,
                    "studies": part["slug"].nunique(),
                    "tumor_points": points["tumor"],
                    "tumor_inside": _share(part["tumor_inside"].sum(), points["tumor"]),
                    "background_points": points["background"],
                    "background_outside": _share(part["background_outside"].sum(), points["background"]),
                    "far_changed_ml": part["far_changed_ml"].mean(),
                    "falls": len(falls),
                    "mean_fall": falls.mean(),
                    "largest_fall": falls.max(),
                }
            )
    columns = ["group", "level", at, "studies", "tumor_points", "tumor_inside", "background_points"]
    columns += ["background_outside", "far_changed_ml", "falls", "mean_fall", "largest_fall"]
    return pd.DataFrame(rows, columns=columns)


def _share(part: float, whole: float) -> float:
    return float(part) / whole if whole else float("nan")


def sizes_table(lesions: pd.DataFrame, by: tuple[str, ...] = ("round",)) -> pd.DataFrame:
    """Detection of true lesions by their size (`clickpet.evaluate.matching.SIZES`), of all lesions and per tracer.

    lesions : a row for each true lesion (and round) with volume_ml, size, matched_iou, found (IoU of at least 0.1),
    tracer and the columns `by`. Columns group, level, then `by`, size, lesions, found, sensitivity, median_iou.
    """
    rows = []
    for group, level, members in [("overall", "all", lesions), *_by_tracer(lesions)]:
        for keys, part in members.groupby([*by, "size"], sort=True) if len(members) else ():
            found = int(part["found"].sum())
            rows.append(
                {
                    "group": group,
                    "level": level,
                    **dict(zip([*by, "size"], keys, strict=True)),
                    "lesions": len(part),
                    "found": found,
                    "sensitivity": found / len(part),
                    "median_iou": part["matched_iou"].median(),
                }
            )
    table = pd.DataFrame(rows, columns=["group", "level", *by, "size", "lesions", "found", "sensitivity", "median_iou"])
    order = {size: place for place, size in enumerate(SIZES)}
    place = [
        list(dict.fromkeys(zip(table["group"], table["level"], strict=True))).index(key)
        for key in zip(table["group"], table["level"], strict=True)
    ]
    table = table.assign(_group=place, _size=table["size"].map(order))
    return table.sort_values(["_group", *by, "_size"], kind="stable", ignore_index=True).drop(
        columns=["_group", "_size"]
    )


def _by_tracer(lesions: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    return [("tracer", str(tracer), part) for tracer, part in lesions.groupby("tracer")] if len(lesions) else []


def lesion_free_table(scores: pd.DataFrame, by: tuple[str, ...] = ()) -> pd.DataFrame:
    """Studies without true lesions: how many stay empty, and what is predicted in the others.

    scores : a row a study (and `by`, such as round) with truth_volume_ml and prediction_volume_ml, tracer, centre, ...
    Columns group, level, then `by`, studies (without lesions), empty, filled_ml_mean, filled_ml_largest (ml in those
    that are not empty; NaN without any).
    """
    rows = []
    free = scores[scores["truth_volume_ml"] == 0] if len(scores) else scores
    for group, level, members in groups_of(free):
        for keys, part in members.groupby(list(by), sort=True) if by else [((), members)]:
            filled = part.loc[part["prediction_volume_ml"] > 0, "prediction_volume_ml"]
            rows.append(
                {
                    "group": group,
                    "level": level,
                    **dict(zip(by, keys, strict=True)),
                    "studies": len(part),
                    "empty": len(part) - len(filled),
                    "filled_ml_mean": filled.mean(),
                    "filled_ml_largest": filled.max(),
                }
            )
    return pd.DataFrame(
        rows, columns=["group", "level", *by, "studies", "empty", "filled_ml_mean", "filled_ml_largest"]
    )
