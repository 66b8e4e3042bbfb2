"""The report: its numbers are those of the tables, it needs nothing but itself, and it says what is missing."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from report_jobs import write_report
from results_maker import HARD_NAMES, make_results

from clickpet.evaluate.tables import read_table
from clickpet.predict.mirroring import mirror_axes_for
from clickpet.report.page import DASH, MINUS
from clickpet.report.run_section import expected_axes

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}
#: Where pictures are embedded.
ADDRESS = re.compile(r"data:image/(?:png|webp);base64,")


class Page(HTMLParser):
    """Parsed report. tables : {id: [rows of cell texts]}, the head first;  problems : what is not well-formed."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.images, self.ids, self.links, self.problems = {}, [], [], [], []
        self.sources, self.text, self.numbers = [], [], {}
        self._open, self._id, self._cell = [], None, None
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self._open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
            self._id = attributes["id"]
        self.sources += [attributes[name] for name in ("src", "href", "data", "action", "srcset") if name in attributes]
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes)
        if tag == "table":
            self.tables[self._id] = []
        if tag == "tr":
            self.tables[self._id].append([])
        if tag in ("td", "th"):
            self._cell = []
            if "data-sort" in attributes:
                place = (len(self.tables[self._id]) - 1, len(self.tables[self._id][-1]))
                self.numbers.setdefault(self._id, {})[place] = float(attributes["data-sort"])

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")
        if tag in ("td", "th"):
            self.tables[self._id][-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.text.append(data if self._open[-1] != "b" else f" {data} ")
        if self._cell is not None:
            self._cell.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("run"), splits=("train", "train", "test", "predict"))


@pytest.fixture(scope="module")
def report(made):
    return write_report(made)


@pytest.fixture(scope="module")
def page(report):
    return Page(report.read_text(encoding="utf-8"))


def shown(value, digits):
    return DASH if np.isnan(value) else f"{value:,.{digits}f}".replace("-", MINUS)


def check_self_contained(text, page):
    assert page.problems == []
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert all(source.startswith(("#", "data:")) for source in page.sources)
    assert re.search(r"(?:src|href|action)\s*=\s*[\"']?\s*(?:https?:|//|file:)", text) is None
    assert re.search(r"@import|url\(", text) is None
    assert "[[" not in page.words.replace("[[cohort]]", "")  # but for the case that is named so
    for image in page.images:
        picture = base64.b64decode(ADDRESS.sub("", image["src"]), validate=True)
        with Image.open(io.BytesIO(picture)) as opened:
            opened.load()
            assert opened.size == (int(image["width"]), int(image["height"]))
        assert image["alt"]


def test_the_page_is_well_formed_and_needs_nothing_else(report, page):
    check_self_contained(report.read_text(encoding="utf-8"), page)
    assert len(page.images) == 5 + 3 * (6 + 1 + 6)  # figures; three of each of the worst, a sample and new patients


def test_summary_is_that_of_the_table(made, page):
    summary = read_table(made.path("results", "summary.tsv"))
    rows, detection = page.tables["summary"][1:], page.tables["detection"][1:]
    assert len(rows) == len(summary)
    for row, lesion_row, expected in zip(rows, detection, summary.to_dict("records"), strict=True):
        assert row[1:3] == [str(expected["studies"]), str(expected["patients"])] == lesion_row[1:3]
        metrics = ("dice", "fpv_ml", "fnv_ml", "sensitivity", "precision", "f1")
        for cell, metric, digits in zip(row[3:] + lesion_row[3:], metrics, (3, 2, 2, 2, 2, 2), strict=True):
            mean, low, high = (expected[f"{metric}_{part}"] for part in ("mean", "low", "high"))
            text = shown(mean, digits)
            if not np.isnan(low):
                text += f" ({shown(low, digits)} to {shown(high, digits)})"
            assert cell == text
    names = [row[0] for row in rows]
    assert names[:3] == ["all", "FDG", "PSMA"]
    assert {"centre UKT", "FDG, UKT", "fold 0", "split test"} <= set(names)


def test_highlights_are_the_overall_numbers(made, page):
    summary = read_table(made.path("results", "summary.tsv")).iloc[0]
    scores = read_table(made.path("results", "scores.tsv"))
    steps = read_table(made.path("results", "interactive_summary.tsv")).iloc[0]
    interval = f"CI {summary['dice_low']:.2f} to {summary['dice_high']:.2f}; n = {scores['dice'].notna().sum()}"
    assert f"Dice, all studies {summary['dice_mean']:.2f} {interval}" in page.words
    assert f"Dice at 0 clicks, all studies {steps['dice_mean']:.2f}" in page.words


def test_every_score_is_in_the_report(made, page):
    scores = read_table(made.path("results", "scores.tsv"))
    rows = page.tables["scores-by-study"][1:]
    assert [row[0] for row in rows] == scores["case"].tolist()
    for number, (row, expected) in enumerate(zip(rows, scores.to_dict("records"), strict=True), start=1):
        assert row[6] == shown(expected["dice"], 3)
        assert row[9:11] == [shown(expected["truth_volume_ml"], 2), shown(expected["prediction_volume_ml"], 2)]
        assert row[11] == f"{expected['found_lesions']} / {expected['truth_lesions']}"
        if not np.isnan(expected["dice"]):
            assert page.numbers["scores-by-study"][number, 6] == pytest.approx(expected["dice"])


def test_areas_and_steps_are_those_of_the_table(made, page):
    summary = read_table(made.path("results", "interactive_summary.tsv"))
    overall = summary[(summary["group"] == "overall") & (summary["measure"] == "area")].iloc[0]
    row = next(row for row in page.tables["areas"] if row[:2] == ["all", "area (AUC)"])
    assert row[4] == f"{overall['dice_mean']:.3f} ({overall['dice_low']:.3f} to {overall['dice_high']:.3f})"
    assert len(page.tables["steps"]) == 1 + 3 * 11
    fdg = summary[(summary["level"] == "fdg") & (summary["measure"] == "value") & (summary["clicks"] == 3)].iloc[0]
    row = next(row for row in page.tables["steps"] if row[:2] == ["FDG", "3"])
    assert row[4].startswith(f"{fdg['dice_mean']:.3f} (")


def test_safety_of_clicks_is_that_of_the_table(page):
    rows = {row[0]: row[1:] for row in page.tables["interactive-safety"][1:]}
    assert rows["10 clicks"][1:4] == ["0.900", "1.000", "0.50"]
    assert rows["all steps"][4] == "0"


def test_cohort_is_counted_by_tracer_centre_and_split(made, page):
    cohort = read_table(made.path("results", "cohort.tsv"))
    scores = read_table(made.path("results", "scores.tsv"))
    *rows, total = page.tables["cohort"][1:]
    ill = int((scores["truth_lesions"] > 0).sum())
    assert total[:1] + total[3:7] == ["all", "24", "16", str(ill), str(18 - ill)]
    assert total[7] == str(scores["truth_lesions"].sum())
    assert sum(int(row[3]) for row in rows) == 24
    one = next(row for row in rows if row[:3] == ["FDG", "UKT", "test (held out)"])
    members = cohort[(cohort["tracer"] == "fdg") & (cohort["centre"] == "UKT") & (cohort["split"] == "test")]
    assert one[3:5] == [str(len(members)), str(members["patient"].nunique())]
    unknown = next(row for row in rows if row[2] == "predict (no truth)")
    assert unknown[5:] == [DASH, DASH, DASH, DASH]
    assert "Clicks: simulated for 18 studies, none for 6 studies." in page.words
    assert "24 studies of 16 patients, 8 of them with more than one study, from 2 centres" in page.words


def test_discriminator_is_reported_with_its_mistakes(page):
    assert "of 18 studies were given the right tracer: accuracy" in page.words
    assert page.tables["confusion"][0] == ["True tracer", "Found FDG", "Found PSMA"]
    total = sum(int(cell) for row in page.tables["confusion"][1:] for cell in row[1:])
    assert total == 18
    wrong = page.tables["wrong-tracer"][1:]
    assert len(wrong) == int(page.tables["confusion"][1][2]) + int(page.tables["confusion"][2][1])


def test_training_is_reported_per_fold(page):
    rows = page.tables["training-ends"][1:]
    assert [row[:2] for row in rows[:5]] == [["FDG", str(fold)] for fold in range(5)]
    assert rows[0][4] == "30"
    assert len(rows) == 15
    assert rows[-1][:2] == ["discriminator", "4"]
    assert rows[-1][-1] == "0.750"


def test_prediction_tells_axes_times_and_disagreement(made, page):
    assert page.tables["depth"][1][:3] == ["z, y, x", "z, y, x", "24"]
    rows = {row[0]: row for row in page.tables["predictions"][1:]}
    record = json.loads(made.path("results", "cases", made.cases[5], "prediction.json").read_text())
    assert rows[made.names[5]][8] == f"{record['seconds']['total']:.1f}"
    assert "Fold disagreement is the standard deviation" in page.words


def test_other_axes_than_the_rule_says_are_pointed_out(tmp_path):
    made = make_results(tmp_path, studies=3)
    path = made.path("results", "cases", made.cases[0], "prediction.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "mirror_axes": [2]}))
    page = Page(write_report(made, figures=False).read_text(encoding="utf-8"))
    assert ["z, y, x", "x", "1"] in [row[:3] for row in page.tables["depth"]]
    assert "mirrored over other axes than the rule says: " + " ".join(HARD_NAMES[0].split()) in page.words


def test_budget_mode_tells_plan_time_and_what_cannot_fit(tmp_path):
    made = make_results(tmp_path, studies=3)
    made.config["predict"].update(mirroring="budget", time_limit_s=60)
    plans = [([0, 1, 2], 55.4), ([2], 59.2), ([], 61.7)]
    for slug, (axes, expected_s) in zip(made.cases, plans, strict=False):
        path = made.path("results", "cases", slug, "prediction.json")
        budget = {"mirroring": "budget", "time_limit_s": 60, "expected_s": expected_s, "fits": expected_s <= 60}
        depth = {"expected_axes": axes, "mirror_axes": axes}
        path.write_text(json.dumps({**json.loads(path.read_text()), **budget, **depth}))
    page = Page(write_report(made, figures=False).read_text(encoding="utf-8"))
    rows = {row[0]: row for row in page.tables["predictions"][1:]}
    told = [rows[name][3:5] + rows[name][7:8] for name in made.names[:3]]
    assert told == [["z, y, x", "z, y, x", "55.4"], ["x", "x", "59.2"], ["none", "none", "61.7"]]
    warning = "1 studies were not expected to fit the time limit even without mirroring, which they got: "
    assert warning + " ".join(made.names[2].split()) in page.words


def test_expected_axes_follow_the_limits():
    limits = {"mirroring": "voxels", "voxel_limits": [18e6, 39e6, 90e6]}
    for voxels in (17_999_999, 18_000_000, 39_000_000, 90_000_000):
        assert expected_axes({"voxels": voxels}, limits) == mirror_axes_for(voxels)
    assert expected_axes({}, limits) is None
    assert expected_axes({"voxels": 5}, {"mirroring": "budget"}) is None


def test_gallery_shows_the_worst_and_lists_the_rest(made, page):
    scores = read_table(made.path("results", "scores.tsv")).set_index("slug")
    worst = scores["dice"].dropna().sort_values(kind="stable").index[:5]
    names = [image["alt"] for image in page.images if image["alt"].startswith("Maximum intensity")]
    assert len(names) == 6 + 1 + 6
    for slug, alt in zip(worst, names, strict=False):
        assert scores.loc[slug, "case"] in alt
        assert f"Dice {scores.loc[slug, 'dice']:.3f}" in alt
    others = page.tables["other-pictures"][1:]
    assert len(others) == 24 - 13
    assert all(re.fullmatch(r"cases/[A-Za-z0-9_.-]+/mip_overlay\.png", row[2]) for row in others)


def test_hard_names_are_shown_as_they_are(report, page):
    text = report.read_text(encoding="utf-8")
    assert "<b>bold" not in text
    shown_names = {row[0] for row in page.tables["scores-by-study"]}
    assert set(HARD_NAMES) <= shown_names


def test_provenance_is_in_the_report(made, report, page):
    provenance = json.loads(made.path("results", "provenance.json").read_text())
    facts = {row[0]: row[1] for row in page.tables["software"][1:]}
    assert facts["cohort.tsv, SHA-256"] == provenance["cohort"]["cohort_tsv_sha256"]
    assert facts["Seed: clicks.seed"] == "42"
    assert dict(page.tables["versions"][1:])["numpy"] == np.__version__
    assert page.tables["costs"][1][:2] == ["predict_case", "24"]
    assert page.tables["costs"][2][:4] == ["list_cohort", "1", "0.0", "0.0"]
    assert page.tables["costs"][2][-1] == DASH
    assert "min_suv_max: 4" in page.words
    assert str(made.folder) not in report.read_text(encoding="utf-8")


def test_crate_lists_the_report(made, report):
    crate = json.loads(made.path("results", "ro-crate-metadata.json").read_text())
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert entities["report.html"]["contentSize"] == str(report.stat().st_size)
    assert entities["scores.tsv"]["description"].startswith("Dice")


def test_the_same_results_give_the_same_report(made, report):
    before = report.read_bytes()
    assert write_report(made).read_bytes() == before


def test_studies_lead_to_their_pictures(made, page):
    links = [link for link in page.links if link.startswith("#study-")]
    assert {f"#study-{slug}" for slug in made.cases} >= set(links)
    assert len(set(links)) == 13


def test_new_patients_have_their_totals(made, page):
    rows = page.tables["new-patients"][1:]
    slugs = [slug for slug in made.cases if made.path("results", "cases", slug, "study.json").exists()]
    assert len(rows) == len(slugs) == 6
    for row, slug in zip(rows, slugs, strict=True):
        study = json.loads(made.path("results", "cases", slug, "study.json").read_text())
        assert row[0] == study["case"]
        assert row[2:4] == [str(study["lesions"]), shown(study["tmtv_ml"], 2)]


def variant(tmp_path, **options):
    pictures = options.pop("pictures", True)
    made = make_results(tmp_path, **options)
    text = write_report(made, pictures=pictures, figures=False).read_text(encoding="utf-8")
    page = Page(text)
    check_self_contained(text, page)
    return page


def test_one_tracer_no_centre_no_clicks(tmp_path):
    page = variant(tmp_path, tracers=("fdg",), centres=(), splits=("train",), studies=6, interactive=False)
    assert "All train studies are FDG: one lesion model was trained." in page.words
    assert "no centre is named" in page.words
    assert "There is no held-out test study" in page.words
    assert not {"discriminator", "interactive", "patients"} & set(page.ids)
    assert "iterations" in page.words
    assert "(PSMA)" not in page.words
    assert "AUC" not in page.words
    assert "areas" not in page.tables
    assert [row[0] for row in page.tables["agreement"][1:]] == ["FDG"]


def test_no_truth_at_all(tmp_path):
    page = variant(tmp_path, splits=("predict",), studies=3)
    assert "None has a truth: the lesions were segmented, nothing was scored." in page.words
    assert "No study has a truth: nothing was scored." in page.words
    assert "6 studies of the split predict have no score" in page.words
    assert "There is no train study" in page.words
    assert "Studies without a truth: prediction only (6 of 6 studies)." in page.words
    assert len(page.tables["new-patients"]) == 1 + 6


def test_new_patients_alone_have_a_report_without_any_table_of_scores(tmp_path):
    made = make_results(tmp_path, splits=("predict",), studies=2, interactive=False)
    for name in ("scores", "summary"):
        made.path("results", f"{name}.tsv").unlink()
    text = write_report(made, figures=False).read_text(encoding="utf-8")
    page = Page(text)
    check_self_contained(text, page)
    assert len(page.tables["new-patients"]) == 1 + 4
    assert "nothing was scored" in page.words
    assert not {"summary", "scores-by-study"} & set(page.tables)


def test_a_single_study(tmp_path):
    page = variant(tmp_path, tracers=("psma",), splits=("test",), studies=1, pictures=False)
    assert "The cohort has 1 study of 1 patient, from 1 centre." in page.words
    assert "(" not in page.tables["summary"][1][3]  # one patient: no interval
    assert "No case picture was given." in page.words


def test_quality_findings_are_counted_and_listed(tmp_path):
    made = make_results(tmp_path, studies=3)
    quality = tmp_path / "quality.tsv"
    header = "severity\tcode\tcase\tslug\twhat\tvalue\tmend\n"
    quality.write_text(
        header + "hard\tgrid\tx <y>\ts1\ttoo wide\t9.5\tcut\n"
        "soft\taxes\tz\ts2\todd\tnan\tturn\nsoft\taxes\tz\ts2\tagain\t3\tturn\n"
    )
    page = Page(write_report(made, quality=quality, figures=False).read_text(encoding="utf-8"))
    assert page.tables["quality"][1:] == [["hard", "grid", "1", "1"], ["soft", "axes", "1", "2"]]
    assert page.tables["findings"] == [
        ["Severity", "Code", "Case", "What", "Value", "Mend"],
        ["hard", "grid", "x <y>", "too wide", "9.50", "cut"],
        ["soft", "axes", "z", "odd", DASH, "turn"],
        ["soft", "axes", "z", "again", "3.00", "turn"],
    ]
    quality.write_text(header)
    page = Page(write_report(made, quality=quality, figures=False).read_text(encoding="utf-8"))
    assert "Nothing was found by the quality check" in page.words


def test_names_that_look_like_numbers_or_nothing_stay_names(tmp_path):
    path = tmp_path / "scores.tsv"
    path.write_text('case\tslug\tpatient\tcentre\tdice\n001\t001\t007\tNA\tnan\n"q" x\tnan\tNone\t\t0.5\n')
    table = read_table(path)
    assert table["case"].tolist() == ["001", '"q" x']
    assert table["slug"].tolist() == ["001", "nan"]
    assert table["patient"].tolist() == ["007", "None"]
    assert table["centre"].tolist() == ["NA", ""]
    assert np.isnan(table["dice"][0])
    assert table["dice"][1] == 0.5
    (tmp_path / "empty.tsv").write_text("")
    pd.testing.assert_frame_equal(read_table(tmp_path / "empty.tsv"), pd.DataFrame())
