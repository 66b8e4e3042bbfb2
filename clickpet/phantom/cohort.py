"""The phantom cohort: its studies, its table and its files.

Every study is a body of adult size on a coarse grid (about 6 x 6 x 9 mm): organs with their HU, the
physiological uptake of FDG or PSMA, lesions from tiny and faint to large and hot, and benign foci
(bowel, ureters, reactive nodes, ganglia) that look like lesions, so that a network without clicks
takes them for lesions. Anatomy depends on (seed, patient) only, everything else on (seed, case), so
adding a study changes no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from clickpet.files import write_json
from clickpet.images import write_image
from clickpet.phantom.study import make_study


@dataclass(frozen=True)
class Study:
    """One row of the phantom cohort.

    case, tracer, patient, centre, split : as in the cohort table;  healthy : without lesions;  ct_own_grid : the CT
    has a grid of its own;  clicks_given : a click file is written;  grid : a key of `GRIDS` (empty: the tracer's);
    files : paths of ct, pet, label, clicks and organs, empty where there is none.
    """

    case: str
    tracer: str
    patient: str
    centre: str
    split: str = "train"
    healthy: bool = False
    ct_own_grid: bool = False
    clicks_given: bool = False
    grid: str = ""
    files: dict[str, str] = field(init=False, compare=False)

    def __post_init__(self):
        root = "results/phantom"
        files = {
            "ct": f"{root}/imagesTr/{self.case}_0000.nii.gz",
            "pet": f"{root}/imagesTr/{self.case}_0001.nii.gz",
            "label": f"{root}/labelsTr/{self.case}.nii.gz",
            "clicks": f"{root}/clicksTr/{self.case}_clicks.json",
            "organs": f"{root}/organsTr/{self.case}.nii.gz",
        }
        if self.ct_own_grid:
            files["ct"] = f"{root}/pairs/{self.case}/CT.nii.gz"
            files["pet"] = f"{root}/pairs/{self.case}/PET.nii.gz"
        if not self.clicks_given:
            files["clicks"] = ""
        if self.split == "predict":
            files["label"] = files["organs"] = ""
        object.__setattr__(self, "files", files)


def _fdg(patient: str, date: str, rest: str, centre: str, **options) -> Study:
    return Study(f"fdg_{patient}_{date}-NA-PET-CT {rest}", "fdg", patient, centre, **options)


def _psma(patient: str, date: str, centre: str, **options) -> Study:
    return Study(f"psma_{patient}_{date}", "psma", patient, centre, **options)


#: The cohort; config/phantom_cases.tsv holds `table_text()` of it and a test keeps the two equal.
#: Names are in the style of the autoPET release: spaces, double spaces, a dot.
COHORT = (
    _fdg("0c1e5a70d2", "02-11-2003", "Ganzkoerper  primaer mit KM-20417", "UKT", clicks_given=True),
    _fdg("0c1e5a70d2", "09-02-2003", "Ganzkoerper  primaer mit KM-31866", "UKT"),
    _fdg("2f97b3c81e", "06-24-2005", "Ganzkoerper nativ u. mit KM-74102", "UKT", ct_own_grid=True),
    _fdg("51d80e6fa4", "11-08-2001", "Ganzkoerper  primaer mit KM-09355", "UKT", healthy=True),
    _fdg("83ab24d79f", "04-15-2006", "Ganzkoerper  primaer mit KM-58230", "LMU", clicks_given=True),
    _fdg("b64f19c035", "08-30-2004", "Teilkoerper  primaer mit KM-66741", "LMU"),
    _fdg("e7025d8bc1", "01-19-2007", "Ganzkoerper  primaer mit KM-12983", "LMU", ct_own_grid=True),
    _psma("1b7e94d02fa6c385", "2016-03-09", "LMU", clicks_given=True),
    _psma("1b7e94d02fa6c385", "2017-01-25", "LMU"),
    _psma("3d05f8a6e1c94b72", "2018-07-14", "LMU", ct_own_grid=True),
    _psma("5ea2c07b93d1648f", "2015-10-02", "LMU", healthy=True, clicks_given=True),
    _psma("7c4819fe20b5d3a6", "2020-02-27", "UKT"),
    _psma("a9f36d5812e0c7b4", "2019-05-18", "UKT", clicks_given=True, grid="psma_other"),
    _psma("d21b0c9ef7438a65", "2021-11-30", "UKT", ct_own_grid=True),
    _fdg("f4a86073e9", "12-05-2004", "Ganzkoerper  primaer mit KM-40528", "UKT", split="test"),
    _psma("f80d6b29a517ce43", "2021-09-21", "LMU", split="test", clicks_given=True),
    Study("unknown_96c3e1d04b_2022-04-06", "psma", "96c3e1d04b", "UKT", split="predict", clicks_given=True),
)

TABLE_COLUMNS = ("case", "tracer", "patient", "centre", "split", "ct", "pet", "label", "clicks", "organs")


def table_text(studies: tuple[Study, ...] = COHORT) -> str:
    """The cohort table (TSV) of `studies`; config/phantom_cases.tsv is this text."""
    lines = ["\t".join(TABLE_COLUMNS)]
    for study in studies:
        row = {
            "case": study.case,
            "tracer": "" if study.split == "predict" else study.tracer,
            "patient": study.patient,
            "centre": study.centre,
            "split": study.split,
            **study.files,
        }
        lines.append("\t".join(row[column] for column in TABLE_COLUMNS))
    return "\n".join(lines) + "\n"


def write_cohort(*, seed: int, studies: tuple[Study, ...] = COHORT, root: str | Path = ".") -> None:
    """Make `studies` and write their files below `root`, where the cohort table says they are."""
    for study in studies:
        made = make_study(
            study.case,
            tracer=study.tracer,
            patient=study.patient,
            seed=seed,
            centre=study.centre,
            healthy=study.healthy,
            ct_own_grid=study.ct_own_grid,
            grid=study.grid or study.tracer,
        )
        for kind in ("ct", "pet", "label", "organs"):
            if study.files[kind]:
                write_image(Path(root, study.files[kind]), made[kind], made["ct_affine" if kind == "ct" else "affine"])
        if study.clicks_given:
            write_json(Path(root, study.files["clicks"]), made["clicks"])
        print(f"{study.case}: {len(made['lesions'])} lesions, {int(made['label'].sum())} voxels", flush=True)
