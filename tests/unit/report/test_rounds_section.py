"""The report's sections on interaction in rounds, and its figures."""

import numpy as np
import pandas as pd
import pytest
from report_jobs import write_report
from results_maker import make_results

from clickpet.clicks.model import Clicks, Interaction
from clickpet.evaluate.interactive import LABELS
from clickpet.evaluate.rounds import Round
from clickpet.evaluate.rounds_tables import lesion_free_table, rounds_table, safety_table, sizes_table, summarise_rounds
from clickpet.evaluate.run_results import RoundResults, read_rounds_results
from clickpet.evaluate.tables import read_table, write_table
from clickpet.report.page import Table
from clickpet.report.rounds_figures import draw_round_curves, draw_rounds_of_case
from clickpet.report.rounds_section import rounds_sections

ROUNDS = 3


def made_rounds(scores: pd.DataFrame) -> RoundResults:
    """Rounds in which every study gains a tenth of Dice, and one lesion a round is found."""
    rows = []
    for study in scores.to_dict("records"):
        free = study["truth_volume_ml"] == 0
        for number in range(ROUNDS):
            rows.append(
                {
                    **{name: study[name] for name in LABELS},
                    "round": number,
                    "kind": "tumor" if number and not free else "",
                    "points": 4 if number and not free else 0,
                    "dice": np.nan if free else 0.5 + number / 10,
                    "challenge_dice": 1.0 if free else 0.5 + number / 10,
                    "fpv_ml": 1.0,
                    "fnv_ml": np.nan if free else 2.0 - number / 2,
                    "tp": 0 if free else 1 + number,
                    "fp": 1,
                    "fn": 0 if free else 2 - number,
                    "f1_iou10": np.nan if free else 0.5,
                    "truth_volume_ml": study["truth_volume_ml"],
                    "prediction_volume_ml": 0.0 if free else 5.0,
                    "tumor_points": 0 if free else 4 * number,
                    "tumor_inside": 0 if free else 3 * number,
                    "background_points": 0,
                    "background_outside": 0,
                    "changed_ml": 2.0 if number else np.nan,
                    "far_changed_ml": 0.25 if number else np.nan,
                    "dice_change": 0.1 if number and not free else np.nan,
                }
            )
    table = rounds_table(rows)
    lesions = pd.DataFrame(
        {"round": [0, ROUNDS - 1], "volume_ml": 0.4, "size": "under 1 ml", "matched_iou": [0.0, 0.75], "found": [0, 1],
         "tracer": "fdg", "slug": table["slug"].iloc[0]}
    )  # fmt: skip
    return RoundResults(
        table,
        summarise_rounds(table, repeats=20, seed=0),
        safety_table(table),
        sizes_table(lesions),
        lesion_free_table(table, ("round",)),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of results with both protocols in rounds, and its report."""
    made = make_results(tmp_path_factory.mktemp("results"), studies=6)
    scores = read_table(made.path("results", "scores.tsv"))
    for protocol in ("rounds", "replay"):
        results = made_rounds(scores)
        for name in ("table", "summary", "safety", "sizes", "lesion_free"):
            end = "" if name == "table" else f"_{name}"
            write_table(made.path("results", f"{protocol}{end}.tsv"), getattr(results, name))
    return made


def read(made):
    tables = [
        path for protocol in ("rounds", "replay") for path in sorted(made.path("results").glob(f"{protocol}*.tsv"))
    ]
    return read_rounds_results(tables, [made.path("results", "cases", "a", "rounds", "rounds.png")])


def sections(made):
    class Run:
        rounds, figures, names = read(made), {}, {}

    return rounds_sections(Run)


def table_of(section, key):
    (table,) = [block for block in section.blocks if isinstance(block, Table) and block.key == key]
    return [[cell.text for cell in row] for row in table.cells]


def test_results_are_read_by_protocol(made):
    found = read(made)
    assert list(found) == ["rounds", "replay"]
    assert len(found["rounds"].table) == ROUNDS * found["rounds"].table["slug"].nunique()
    assert list(found["rounds"].pictures) == ["a"]
    assert read_rounds_results([], []) == {}


def test_a_section_for_each_protocol_under_its_own_name(made):
    assert [(section.key, section.title) for section in sections(made)] == [
        ("rounds", "Interaction in rounds"),
        ("replay", "Replayed interaction"),
    ]


def test_numbers_of_the_tables(made):
    (section, _) = sections(made)
    areas = {(row[0], row[1]): row[4:] for row in table_of(section, "rounds-areas")}
    assert areas["all", "round 0"][0].startswith("0.500")
    assert areas["all", "round 2"][0].startswith("0.700")
    assert areas["all", "area (AUC)"][0].startswith("1.200")
    assert ("weighted", "area (AUC)") in areas
    safety = {row[0]: row[1:] for row in table_of(section, "rounds-safety")}
    assert safety["round 1"][1:4] == ["0.750", "\N{EN DASH}", "0.25"]
    assert safety["all rounds"][4] == "0"
    assert table_of(section, "rounds-sizes") == [
        ["under 1 ml", "round 0", "1", "0", "0.000", "0.000"],
        ["under 1 ml", "round 2", "1", "1", "1.000", "0.750"],
    ]
    ((studies, empty, *_),) = table_of(section, "rounds-lesion-free")
    assert studies == empty == "2"


def test_the_whole_report_holds_both(made):
    page = write_report(made, pictures=False, figures=False).read_text()
    assert "Interaction in rounds" in page
    assert "Replayed interaction" in page


def test_curves_show_the_means(made):
    results = read(made)["rounds"]
    figure = draw_round_curves(results.summary)
    dice = next(panel for panel in figure.axes if panel.get_ylabel() == "Dice")
    assert {tuple(np.round(line.get_ydata(), 3)) for line in dice.lines} == {(0.5, 0.6, 0.7)}
    assert len(dice.lines) == 3  # all, FDG, PSMA


def test_the_rounds_of_a_case_tell_what_was_added():
    truth = np.zeros((20, 20, 30), bool)
    truth[5:9, 5:9, 5:9] = True
    suv = np.where(truth, 8.0, 1.0).astype(np.float32)
    scribble = Interaction("tumor", [[5, 5, 6], [6, 5, 6]])
    rounds = [Round(Clicks.empty(), ~truth & False), *[Round(Clicks.from_interactions([scribble]), truth)] * 2]
    figure = draw_rounds_of_case(suv, truth, rounds, np.diag([-4.0, 4.0, 4.0, 1.0]), tracer="fdg")
    assert [panel.get_title() for panel in figure.axes] == [
        "round 0\nno interaction",
        "round 1\ntumour, 2 points",
        "round 2\nnothing added",
    ]
    assert [len(panel.lines) for panel in figure.axes] == [0, 1, 0]
    # stored with x to the left and drawn with the patient's right on the left: column x is at x + 0.5 voxels
    assert figure.axes[1].lines[0].get_xdata().tolist() == [4 * 5.5, 4 * 6.5]
