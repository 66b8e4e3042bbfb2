"""Names that matplotlib, LaTeX, HTML or a spreadsheet would read as code: through every figure and every table."""

import csv

import numpy as np
import pytest
from matplotlib.text import Text
from report_jobs import FIGURES, write_report
from results_maker import make_results

from clickpet.evaluate.agreement import sensitivity_by_volume
from clickpet.evaluate.comparison import Run
from clickpet.evaluate.run_results import read_lesion_tables
from clickpet.evaluate.tables import read_table
from clickpet.report import figures
from clickpet.report.case_figure import draw_case
from clickpet.report.comparison_page import write_comparison
from clickpet.report.style import save_png

BOOTSTRAP = {"repeats": 20, "confidence": 0.95, "seed": 1}
CENTRES = [("$$", "_a_{b}"), ("$\\frac{1$", "50 % <b>&amp;"), ("=1+1", "Zürich-日本 #2"), ("^\\", "[x] \"q\" 'r'")]


@pytest.fixture(params=CENTRES, ids=lambda centres: f"{centres[0]} {centres[1]}".encode("ascii", "replace").decode())
def made(request, tmp_path):
    return make_results(tmp_path, centres=request.param, studies=6)


def words(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_every_figure_shows_the_names_as_they_are(made, tmp_path):
    scores = read_table(made.path("results", "scores.tsv"))
    interactive = read_table(made.path("results", "interactive.tsv"))
    lesions = read_lesion_tables(sorted(made.path("results").glob("cases/*/lesion_scores.csv")), scores)
    curves = figures.draw_interactive_curves(interactive, **BOOTSTRAP)
    drawings = [
        curves,
        figures.draw_dice_by_case(scores),
        figures.draw_bland_altman(scores),
        figures.draw_sensitivity_by_volume(sensitivity_by_volume(lesions, **BOOTSTRAP)),
        figures.draw_sensitivity_by_volume(sensitivity_by_volume(lesions.assign(tracer="$x_{"), **BOOTSTRAP)),
    ]
    for number, figure in enumerate(drawings):
        save_png(figure, tmp_path / f"{number}.png")
        assert not any(text.get_parse_math() for text in figure.findobj(Text) if text.get_text())
    for centre in scores["centre"].unique():
        assert any(text.startswith(f"FDG {centre} (n = ") for text in words(curves))


def test_report_and_its_tables(made):
    report = write_report(made, worst_cases=2).read_text(encoding="utf-8")
    assert all(made.path("results", "figures", f"{name}.png").stat().st_size > 1000 for name in FIGURES)
    assert "<b>&amp;" not in report.replace("&lt;b&gt;", "")
    centres = {row["centre"] for row in read_table(made.path("results", "cohort.tsv")).to_dict("records")}
    for centre in centres:
        assert centre.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;").replace(
            '"', "&#34;"
        ) in report  # fmt: skip


@pytest.mark.parametrize("name", ["$$", "_{", "$\\alpha", "a%b<c>", "日本 \\"])
def test_case_figure(tmp_path, name):
    suv = np.zeros((12, 10, 14), np.float32)
    suv[3:9, 3:7, 2:12] = 2
    save_png(draw_case(suv, suv > 5, np.diag([5.0, 5, 5, 1])), tmp_path / "case.png")
    gallery = figures.draw_gallery({name: tmp_path / "case.png"})
    assert gallery.axes[0].get_title(loc="left").replace("\n", "") == name
    save_png(gallery, tmp_path / "gallery.png")
    assert (tmp_path / "case.png").stat().st_size > 1000


@pytest.mark.parametrize("names", [("$$", "_hidden"), ("a_b^{c}", "100 % <x>"), ("=1", "日本")])
def test_comparison_of_runs(tmp_path, names):
    made = make_results(tmp_path / "run", studies=6)
    tables = [read_table(made.path("results", f"{name}.tsv")) for name in ("scores", "interactive")]
    files = {"page": tmp_path / "c.html", "table": tmp_path / "c.tsv", "latex": tmp_path / "c.tex"}
    write_comparison([Run(name, *tables) for name in names], **files, **BOOTSTRAP)
    page, latex = files["page"].read_text(), files["latex"].read_text()
    assert names[1].replace("<", "&lt;").replace(">", "&gt;") in page
    assert "$" not in latex.replace(r"\$", "")
    assert "_" not in latex.replace(r"\_", "")
    assert "%" not in latex.replace(r"\%", "")
    with open(files["table"], encoding="utf-8", newline="") as file:
        runs = {row["run"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    assert runs == {names[1]}


def test_legend_of_a_run_whose_name_starts_with_an_underscore(tmp_path):
    from clickpet.report.comparison_page import _curves

    made = make_results(tmp_path / "run", studies=6)
    tables = [read_table(made.path("results", f"{name}.tsv")) for name in ("scores", "interactive")]
    (shown,) = _curves([Run("_a", *tables), Run("b", *tables)], BOOTSTRAP)
    (plain,) = _curves([Run("b", *tables)], BOOTSTRAP)
    assert (shown.picture.width, shown.picture.height) == (plain.picture.width, plain.picture.height)
    assert shown.png != plain.png
