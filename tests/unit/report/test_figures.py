"""Figures: what is drawn is what the tables say, and equal tables give equal files."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from results_maker import make_results

from clickpet.evaluate.agreement import agreement, sensitivity_by_volume
from clickpet.evaluate.run_results import read_lesion_tables
from clickpet.evaluate.tables import read_table
from clickpet.evaluate.training_curves import TrainingCurve, read_training_by_model
from clickpet.report import figures
from clickpet.report.style import save_figure, save_png

BOOTSTRAP = {"repeats": 100, "confidence": 0.95, "seed": 1}


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    for panel in figure.axes:
        found += [panel.get_title(), panel.get_title(loc="left"), panel.get_xlabel(), panel.get_ylabel()]
        found += [text.get_text() for text in panel.texts]
        legend = panel.get_legend()
        found += [text.get_text() for text in legend.get_texts()] if legend else []
    for part in (figure, *figure.subfigs):
        found += [text.get_text() for legend in part.legends for text in legend.get_texts()]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def scores(made):
    return read_table(made.path("results", "scores.tsv"))


@pytest.fixture(scope="module")
def interactive(made):
    return read_table(made.path("results", "interactive.tsv"))


def test_curves_are_the_means_over_studies(interactive):
    figure = figures.draw_interactive_curves(interactive, **BOOTSTRAP)
    by_tracer, by_centre = figure.subfigs
    assert [panel.get_ylabel() for panel in by_tracer.axes] == [
        "Dice",
        "False positive volume (ml)",
        "False negative volume (ml)",
    ]
    for panel, metric in zip(by_tracer.axes, ("dice", "fpv_ml", "fnv_ml"), strict=True):
        assert len(panel.lines) == 2
        for line, tracer in zip(panel.lines, ("fdg", "psma"), strict=True):
            rows = interactive[interactive["tracer"] == tracer]
            np.testing.assert_allclose(line.get_ydata(), rows.groupby("clicks")[metric].mean())
            np.testing.assert_array_equal(line.get_xdata(), np.arange(11))
    assert [len(panel.lines) for panel in by_centre.axes] == [4, 4, 4]
    patients = interactive[interactive["tracer"] == "fdg"]["patient"].nunique()
    assert f"FDG (n = 12; {patients} patients)" in texts(figure)


def test_one_centre_needs_no_second_row(interactive):
    figure = figures.draw_interactive_curves(interactive.assign(centre=""), **BOOTSTRAP)
    assert len(figure.subfigs) == 1


def test_bands_hold_the_mean_and_leave_undefined_scores_out(interactive):
    rows = interactive[interactive["tracer"] == "psma"]
    band = figures.curve_band(rows, "dice", **BOOTSTRAP)
    assert band["mean"].tolist() == pytest.approx(rows.groupby("clicks")["dice"].mean().tolist())
    assert (band["low"] <= band["mean"]).all()
    assert (band["mean"] <= band["high"]).all()
    none = figures.curve_band(rows.assign(dice=np.nan), "dice", **BOOTSTRAP)
    assert none.isna().all().all()


def test_training_curves_have_a_line_per_fold(made):
    paths = sorted(made.path("results", "models").glob("*/fold_*/training.json"))
    training = read_training_by_model(paths)
    assert {model: len(curves) for model, curves in training.items()} == {"fdg": 5, "psma": 5, "tracer": 5}
    figure = figures.draw_training_curves(training)
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "FDG: loss", "FDG: pseudo-Dice", "PSMA: loss", "PSMA: pseudo-Dice", "Discriminator: loss",
        "Discriminator: accuracy",
    ]  # fmt: skip
    np.testing.assert_allclose(figure.axes[1].lines[2].get_ydata()[1:], training["fdg"][2].quality[1:])
    assert np.isnan(figure.axes[1].lines[2].get_ydata()[0])
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == [f"fold {n}" for n in range(5)]


def test_a_discriminator_that_was_not_trained_is_not_drawn():
    empty = np.array([])
    figure = figures.draw_training_curves({"tracer": [TrainingCurve("0", empty, empty, empty, empty, constant="fdg")]})
    assert figure.axes == []
    assert "No model was trained" in texts(figure)[0]


def curve(fold, **known):
    epochs = np.arange(1, 6.0)
    unknown = np.full(5, np.nan)
    return TrainingCurve(fold, epochs, 1 / epochs, known.get("val_loss", unknown), known.get("quality", unknown))


def test_what_was_not_measured_has_no_panel_and_no_legend():
    figure = figures.draw_training_curves({"tracer": [curve("0"), curve("1")]})
    (loss,) = figure.axes
    assert [len(line.get_xdata()) for line in loss.lines] == [5, 5]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "fold 0", "fold 1"]
    watched = figures.draw_training_curves(
        {"tracer": [curve("0", val_loss=np.ones(5), quality=np.ones(5)), curve("1")]}
    )
    loss, accuracy = watched.axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert accuracy.get_title(loc="left") == "Discriminator: accuracy"


def test_dice_by_case_draws_every_study_with_lesions(scores):
    figure = figures.draw_dice_by_case(scores)
    cloud, strip = figure.axes
    known = scores.dropna(subset=["dice"])
    drawn = np.concatenate([points.get_offsets() for points in cloud.collections])
    assert sorted(map(tuple, drawn)) == sorted(zip(known["truth_volume_ml"], known["dice"], strict=True))
    assert "FDG (n = 10; 8 patients)" in texts(figure)
    assert [label.get_text() for label in strip.get_xticklabels()] == ["FDG", "PSMA"]


def test_bland_altman_draws_differences_over_means(scores):
    figure = figures.draw_bland_altman(scores)
    for panel, tracer in zip(figure.axes, ("fdg", "psma"), strict=True):
        rows = scores[scores["tracer"] == tracer]
        difference = rows["prediction_volume_ml"] - rows["truth_volume_ml"]
        points = panel.collections[0].get_offsets()
        np.testing.assert_allclose(points[:, 1], difference)
        np.testing.assert_allclose(points[:, 0], (rows["prediction_volume_ml"] + rows["truth_volume_ml"]) / 2)
        levels = sorted(line.get_ydata()[0] for line in panel.lines)
        assert levels == pytest.approx(sorted([0, *agreement(difference.to_numpy())]))


def test_bland_altman_spreads_the_volumes(scores):
    alike = scores.assign(truth_volume_ml=np.linspace(50, 100, len(scores)), prediction_volume_ml=60.0)
    skewed = scores.assign(truth_volume_ml=np.resize([3, 4, 5, 2000], len(scores)), prediction_volume_ml=1.0)
    assert {panel.get_xscale() for panel in figures.draw_bland_altman(alike).axes} == {"linear"}
    for panel in figures.draw_bland_altman(skewed).axes:
        assert panel.get_xscale() == "symlog"
        low, high = panel.get_xlim()
        points = panel.collections[0].get_offsets()[:, 0]
        assert low == 0 < points.max() < high < 2 * points.max()


def test_formats_of_a_figure_hold_no_dates_and_are_equal_for_equal_figures(scores, tmp_path):
    for kind in ("png", "svg", "pdf"):
        for name in ("a", "b"):
            save_figure(figures.draw_dice_by_case(scores), tmp_path / f"{name}.{kind}")
        content = (tmp_path / f"a.{kind}").read_bytes()
        assert content == (tmp_path / f"b.{kind}").read_bytes()
        assert b"Matplotlib v" not in content
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    assert b"true lesion volume of the study (ml)" in (tmp_path / "a.svg").read_bytes()


def test_sensitivity_figure_shows_found_of_all(made, scores):
    paths = sorted(made.path("results", "cases").glob("*/lesion_scores.csv"))
    lesions = read_lesion_tables(paths, scores)
    assert len(lesions) == scores["truth_lesions"].sum()
    assert lesions["found"].sum() == scores["found_lesions"].sum()
    table = sensitivity_by_volume(lesions, **BOOTSTRAP)
    figure = figures.draw_sensitivity_by_volume(table)
    heights = [bar.get_height() for bars in figure.axes[0].containers for bar in bars]
    assert heights == pytest.approx(table["sensitivity"].tolist())
    drawn = [text.get_text() for text in figure.axes[0].texts]
    assert drawn == [f"{row.found}/{row.lesions}" for row in table.itertuples()]


def test_gallery_holds_every_picture(tmp_path):
    paths = {f"study {number} " + "long " * 12: tmp_path / f"{number}.png" for number in range(5)}
    for number, path in enumerate(paths.values()):
        Image.fromarray(np.full((40 + number, 30, 3), 50 * number, np.uint8)).save(path)
    figure = figures.draw_gallery(paths)
    named = [panel.get_title(loc="left") for panel in figure.axes if panel.images]
    assert [title.replace("\n", "") for title in named] == list(paths)
    shown = [panel.images[0].get_array() for panel in figure.axes if panel.images]
    assert [array.shape[0] for array in shown] == [40, 41, 42, 43, 44]


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: figures.draw_interactive_curves(pd.DataFrame(), **BOOTSTRAP), "interactive evaluation was not run"),
        (lambda: figures.draw_training_curves({}), "No model was trained"),
        (lambda: figures.draw_dice_by_case(pd.DataFrame()), "there is no Dice"),
        (lambda: figures.draw_bland_altman(pd.DataFrame()), "No study has a truth"),
        (
            lambda: figures.draw_sensitivity_by_volume(sensitivity_by_volume(pd.DataFrame(), **BOOTSTRAP)),
            "no true lesion",
        ),
        (lambda: figures.draw_gallery({}), "No case picture"),
    ],
)
def test_nothing_to_draw_is_said(draw, sentence, tmp_path):
    figure = draw()
    assert sentence in texts(figure)[0]
    save_png(figure, tmp_path / "empty.png")
    with Image.open(tmp_path / "empty.png") as picture:
        assert picture.size == (1120, 160)


def test_one_lesion_free_tracer_is_drawn_without_dice(scores):
    healthy = scores[scores["dice"].isna()]
    assert "there is no Dice" in texts(figures.draw_dice_by_case(healthy))[0]
    assert len(figures.draw_bland_altman(healthy).axes) == 2


def test_equal_tables_give_equal_files(interactive, scores, tmp_path):
    for name in ("a", "b"):
        save_png(figures.draw_interactive_curves(interactive, **BOOTSTRAP), tmp_path / f"{name}1.png", dpi=50)
        save_png(figures.draw_bland_altman(scores), tmp_path / f"{name}2.png", dpi=50)
    for number in (1, 2):
        assert (tmp_path / f"a{number}.png").read_bytes() == (tmp_path / f"b{number}.png").read_bytes()
    with Image.open(tmp_path / "a1.png") as picture:
        assert not {"Software", "Creation Time", "date"} & set(picture.info)
