"""Every rule names the library modules that its script computes with, so that a changed method re-runs it.

Imports are followed through the library, those inside functions too. What a rule need not name is listed here with the
reason; an entry that is no longer needed fails as well.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {path.stem: path for path in (ROOT / "clickpet").glob("*.py")}
#: Reading, writing, logging, telling apart: no value comes from here. (`images` also resamples: there it is named.)
GLUE = {"digests", "errors", "files", "gpus", "images", "job", "lazy_modules", "lean_nibabel"}
DICOM = {"dicom_masks", "dicom_series", "dicom_stack", "dicom_times", "dicom_values", "suv", "suv_header"}
MODEL_FILES = {"model_folder", "planning", "content_box"}
NOT_NAMED = {
    "score_case": {"summary", "bootstrap", "interactive"},  # `summary.write_table` only writes
    "measure_lesions": {"summary", "bootstrap", "interactive", "scores"},  # and `scores.check_one_grid` only checks
    "drop_faint_specks": {"scores", "lesion_table"},  # `scores.check_one_grid` only checks
    "score_interactive": {"lesion_table"},  # `scores.score_case` would use it, `score_masks` does not
    "summarise_scores": {"interactive"},  # `summary` uses it for the curves only
    "import_case": {"dicom_masks"},  # `ingest` uses it for labels only
    "rank_findings": {"clicks", "organs"},  # findings are read, not made
    "rank_organ_findings": {"clicks", "organs"},  # the same
    "keep_organs": {"clicks", "organ_maps"},  # `quality` uses clicks in another check; a map is read as it was kept
    "find_organ_weights": MODEL_FILES,  # TotalSegmentator's files are looked for, not computed with
    "segment_organs": {"organ_maps", "ingest", *DICOM, *MODEL_FILES},  # maps are kept by a hash of their CT
    "fingerprint_cohort": {"content_box"},  # `planning` uses it per case, in import_label
    "plan_cohort": {"content_box"},  # the same
    "plan_training": {"content_box"},  # the same
    "preprocess_case": {"planning", "content_box"},  # a name from `planning`
    "list_training_set": {
        "augmentation", "claim", "pretrained", "trainer", *MODEL_FILES,
    },  # `training.data_digest` alone
    "train_lesion_fold": {"claim", "scratch", *MODEL_FILES},  # who trains and where; files are read, not computed with
    "predict_case": {"calibrate", "stock_window"},  # a calibration is checked; the workflow has no stock mode
    "predict_interactive": {"calibrate", "stock_window"},  # the same
    "calibrate": {
        "body", "ensemble", "inference", "mirroring", "network_grid", "resampling", "sliding_window", "stock_window",
        *MODEL_FILES,
    },  # seconds, not values: faster code does not make a calibration wrong, and one costs minutes
}  # fmt: skip


def rules() -> dict[str, str]:
    """Names and texts of all rules."""
    texts = [path.read_text() for path in sorted((ROOT / "rules").glob("*.smk"))]
    pattern = re.compile(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", re.MULTILINE | re.DOTALL)
    return {name: body for text in texts for name, body in pattern.findall(text)}


def shared_lists() -> dict[str, set[str]]:
    """Modules in the constants of common.smk: lists of them, and settings with a `code(...)` of their own."""
    python = (ROOT / "rules" / "common.smk").read_text().split("\nwildcard_constraints:")[0]
    single = [node for node in ast.parse(python).body if isinstance(node, ast.Assign) and len(node.targets) == 1]
    assigned = [node for node in single if isinstance(node.targets[0], ast.Name)]
    found = {}
    for node in assigned:
        called = [
            call for call in ast.walk(node.value) if isinstance(call, ast.Call) and ast.unparse(call.func) == "code"
        ]
        holders = called or ([node.value] if node.targets[0].id.endswith("_CODE") else [])
        found[node.targets[0].id] = {
            item.value for holder in holders for item in ast.walk(holder) if isinstance(item, ast.Constant)
        }
    return found


def named(body: str) -> set[str]:
    """Modules that a rule names, in `code(...)` or through a constant."""
    modules = {name for call in re.findall(r"code\(([^)]*)\)", body) for name in re.findall(r'"([\w./]+)"', call)}
    return modules.union(*(shared_lists().get(name, set()) for name in re.findall(r"\b[A-Z_]{4,}\b", body)))


def imported(path: Path) -> set[str]:
    """Modules of clickpet that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "clickpet":
            _, _, module = node.module.partition(".")
            found |= {module} if module else {alias.name for alias in node.names}
    return found & set(MODULES)


def needed(script: Path) -> set[str]:
    """Modules that a script imports, through others too, without the glue."""
    seen, waiting = set(), imported(script)
    while waiting:
        seen |= waiting
        waiting = set().union(*(imported(MODULES[module]) for module in waiting)) - seen
    return seen - GLUE


@pytest.mark.parametrize("rule", sorted(rules()))
def test_rules_name_what_they_compute_with(rule):
    missing = needed(ROOT / "scripts" / f"{rule}.py") - named(rules()[rule])
    assert missing == NOT_NAMED.get(rule, set())


def test_named_files_exist():
    for rule, body in rules().items():
        for name in named(body):
            file = name if "." in name else f"{name}.py"
            assert (ROOT / "clickpet" / file).is_file(), f"{rule}: {name}"


def test_exceptions_are_of_rules_that_exist():
    assert set(NOT_NAMED) <= set(rules())


def test_a_forgotten_module_is_found(tmp_path):
    script = tmp_path / "score.py"
    script.write_text("def main(job):\n    from clickpet.scores import score_masks\n")
    assert {"scores", "runs", "lesion_table"} <= needed(script)
    assert named('params:\n code=code("scores", "runs"),\n settings=ORGAN_SETTINGS,\n') == {
        "scores", "runs", "totalseg", "organs",
    }  # fmt: skip
    assert "sliding_window" in named("params:\n code=code(*PREDICT_CODE),\n")
