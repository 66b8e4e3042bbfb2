"""The code of docs/notebook.md, run as it stands on phantom patients and tiny models."""

import re
from pathlib import Path

import numpy as np
import pytest
from phantom_patient import new_patient, write_models, write_patient

import clickpet
from clickpet.phantom.cohort import COHORT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """The working directory after `make demo`, as far as the page needs it."""
    for patient in (new_patient(), *(study for study in COHORT if study.case == "psma_f80d6b29a517ce43_2021-09-21")):
        write_patient(tmp_path, patient)
    write_models(tmp_path / "results" / "models", folds=(0,))
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_segments_a_patient_in_at_most_ten_lines_and_all_its_code_runs(demo, capsys):
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 10
    session = {}
    exec(BLOCKS[0], session)
    written, found = clickpet.read_image("lesions.nii.gz"), session["found"]
    np.testing.assert_array_equal(written.array, found.mask)
    np.testing.assert_array_equal(written.affine, clickpet.read_image(demo / new_patient().files["pet"]).affine)
    assert found.tracer.source == "found"
    assert found.heatmap.max() == 1
    assert f"'lesions': {len(found.lesions)}" in capsys.readouterr().out

    exec(BLOCKS[1], session)
    curve = [line.split() for line in capsys.readouterr().out.splitlines() if re.match(r"\d+ [0-9.]+ [0-9.]+ ", line)]
    assert [row[0] for row in curve] == ["0", "5", "10"]
    assert float(curve[-1][1]) == session["score"]["dice"]
    assert len(session["true_lesions"]) == session["score"]["truth_lesions"] > 0
    study = session["study"]
    assert clickpet.read_clicks("clicks.json", shape=study.shape, affine=study.affine) == session["clicks"]

    exec(BLOCKS[2], session)
    assert session["tracer"] == session["found"].tracer.tracer
    np.testing.assert_array_equal(session["mask"], session["found"].mask)
    assert session["totals"] == session["found"].totals
    exec(BLOCKS[3], session)
    assert [(one.kind, len(one.points), one.undone) for one in session["session"].history] == []
    assert session["result"].tiles_run + session["result"].tiles_kept > 0
    assert len(BLOCKS) == 4


def test_the_page_names_everything_public():
    missing = [name for name in clickpet.__all__ if name != "__version__" and f"`{name}`" not in PAGE]
    assert not missing
