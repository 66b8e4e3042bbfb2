"""A cohort with broken, wrong and odd studies through the workflow: what stops, what is said, what is left behind."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

from test_broken_inputs import SHAPE, change, cut_off, make_study, move, save  # noqa: E402

from clickpet.cohort import COLUMNS  # noqa: E402

pytestmark = pytest.mark.slow


def into_the_air(paths) -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[:2, :2, :4] = 1
    save(paths["label"], label)


#: name of the study: how it is spoiled
STUDIES = {
    "sound": lambda paths: None,
    "too cold": lambda paths: change(lambda suv: suv * 0.05)(paths["pet"]),
    "cut.off": lambda paths: cut_off(paths["pet"]),
    "moved": lambda paths: move(8)(paths["label"]),
    "in the air": into_the_air,
}


class Run:
    """A folder with the workflow and the studies."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("rules", "config", "envs", "profiles", "scripts", "clickpet", "Snakefile"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "mine.yaml").write_text("cohort: cases.tsv\nfolds: [0, 1]\norgans: {provider: none}\n")
        self.paths = {}
        for name, spoil in STUDIES.items():
            self.paths[name] = make_study(folder / "data" / name)
            spoil(self.paths[name])

    def rank_findings(self, *names: str) -> tuple[int, str]:
        """Exit code and output of the workflow up to the quality control, on the studies of these names."""
        rows = [
            {"case": name, "tracer": "fdg", "patient": name, "split": "train", **self.paths[name]} for name in names
        ]
        lines = [COLUMNS, *([str(row.get(column, "")) for column in COLUMNS] for row in rows)]
        (self.folder / "cases.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
        command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "2", "--keep-going", "--configfile"]
        command += ["config/config.yaml", "mine.yaml", "--", "results/sound_studies.txt"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def files(self, name: str) -> list[str]:
        folders = [path for path in (self.folder / "results" / "cases").iterdir() if path.name.startswith(name)]
        return sorted(path.name for folder in folders for path in folder.iterdir())


def test_from_broken_files_to_a_list_of_soft_findings(tmp_path):
    run = Run(tmp_path)
    code, said = run.rank_findings("sound", "too cold", "cut.off", "moved")
    told = [line for line in said.splitlines() if line.startswith("clickpet: error: ")]
    assert code != 0
    assert len(told) == 2
    for name, kind, cause in (("cut.off", "pet", "cannot be read as an image"), ("moved", "label", "its grid")):
        [line] = [line for line in told if line.startswith(f"clickpet: error: {run.paths[name][kind]}")]
        assert cause in line
        assert "; " in line
    assert "Traceback" not in said
    assert run.files("cut.off") == []
    assert run.files("moved") == ["case.json", "ct.nii.gz", "suv.nii.gz"]
    assert "quality.json" in run.files("sound")
    assert not (tmp_path / "results" / "quality.tsv").exists()

    code, said = run.rank_findings("sound", "too cold", "in the air")
    assert code != 0
    assert "1 hard findings: in the air: 100% of the lesion voxels lie in air" in said
    assert "every finding: results/quality.tsv" in said
    assert "too cold" in (tmp_path / "results" / "quality.tsv").read_text()
    assert not (tmp_path / "results" / "sound_studies.txt").exists()

    code, said = run.rank_findings("sound", "too cold")
    assert code == 0, said
    assert (tmp_path / "results" / "sound_studies.txt").read_text().endswith("none of them hard\n")
    with open(tmp_path / "results" / "quality.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["severity"] for row in rows} == {"soft"}
    codes = [row["code"] for row in rows]
    assert codes.index("suv_range") < codes.index("hu_range")
    assert {row["case"] for row in rows if row["code"].startswith("suv")} == {"too cold"}
