"""What a change re-runs: the real rules with scripts that only touch their outputs, then dry runs."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stub_workflow import CONFIG, FILES, ROWS, Workflow
from tiny_models import write_model

from clickpet.files import write_text
from clickpet.review.cohort_clicks import set_clicks

#: Rules whose outputs belong to one case alone and do not need the whole cohort.
OWN = {
    "import_case", "import_label", "place_clicks", "draw_heatmap", "import_organs", "render_mip", "check_quality",
}  # fmt: skip
TRAINING = {"train_lesion_fold", "train_tracer_fold"}
INFERENCE = {"predict_bucket", "predict_case", "predict_interactive", "find_tracer"}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("workflow"))
    workflow.snakemake("all")
    return workflow


def rules(jobs) -> set[str]:
    return {rule for rule, _ in jobs}


def test_when_all_is_done_nothing_runs(workflow):
    assert workflow.would_run() == []


def test_another_layout_of_the_config_runs_nothing(workflow):
    assert (
        workflow.would_run(
            "# a comment\n\n"
            + CONFIG.replace("{provider: given, scheme: clickpet}", "\n  scheme: clickpet\n  provider: given")
        )
        == []
    )


def test_the_tumour_sigma_re_runs_heatmaps_and_what_depends_on_them(workflow):
    jobs = workflow.would_run(CONFIG + "heatmap: {sigma_tumor: 4}\n")
    assert "draw_heatmap" in rules(jobs)
    assert rules(jobs) >= {"preprocess_case", "train_lesion_fold", "predict_case", "score_case", "write_report"}
    untouched = {"place_clicks", "import_case", "import_label", "import_organs", "render_mip", "train_tracer_fold"}
    assert not rules(jobs) & (untouched | {"find_tracer", "split_patients", "list_cohort", "fingerprint_cohort"})


def test_a_post_processing_threshold_re_runs_no_training_and_no_inference(workflow):
    jobs = workflow.would_run(CONFIG + "postprocess: {min_voxels: 5}\n")
    assert {"post_process_case", "score_interactive"} <= rules(jobs)
    assert rules(jobs) >= {"score_case", "summarise_scores", "write_report"}
    assert not rules(jobs) & (TRAINING | INFERENCE | OWN | {"preprocess_case"})


def test_honoured_clicks_re_run_post_processing_alone(workflow):
    jobs = workflow.would_run(CONFIG + "postprocess: {honour_clicks: true}\n")
    assert {"post_process_case", "score_interactive"} <= rules(jobs)
    assert not rules(jobs) & (TRAINING | INFERENCE | OWN | {"preprocess_case"})


def test_mean_probabilities_are_made_by_predicting_again_and_train_nothing(workflow):
    jobs = workflow.would_run(CONFIG + "postprocess: {min_component_probability: 0.8}\n")
    assert {"predict_case", "predict_interactive", "post_process_case", "score_interactive"} <= rules(jobs)
    assert not rules(jobs) & (TRAINING | OWN | {"preprocess_case", "find_tracer"})


def test_pages_and_tables_follow_the_masks(workflow):
    jobs = workflow.would_run(CONFIG + "postprocess: {min_voxels: 5}\n")
    assert {wildcards["case"] for rule, wildcards in jobs if rule == "write_patient_page"} == {"psma_t", "new"}
    assert len([wildcards for rule, wildcards in jobs if rule == "measure_lesions"]) == len(ROWS)


def test_other_values_of_masks_import_the_labels_again_and_no_scan(workflow):
    jobs = workflow.would_run(CONFIG + "ingest: {label_values: [1, 2]}\n")
    assert len([rule for rule, _ in jobs if rule == "import_label"]) == len(ROWS) - 1
    assert "import_case" not in rules(jobs)


@pytest.mark.parametrize("option", ["tile_step: 0.5", "threshold: 0.3"])
def test_inference_options_re_run_no_training(workflow, option):
    jobs = workflow.would_run(CONFIG + f"predict: {{{option}}}\n")
    assert {"predict_case", "predict_interactive"} <= rules(jobs)
    assert not rules(jobs) & (TRAINING | OWN | {"preprocess_case", "find_tracer"})


@pytest.mark.parametrize("key", ["save_disagreement", "save_probability"])
def test_a_map_is_made_by_predicting_again_and_trains_nothing(workflow, key):
    jobs = workflow.would_run(CONFIG + f"predict: {{{key}: true}}\n")
    assert "predict_case" in rules(jobs)
    assert not rules(jobs) & (TRAINING | OWN | {"preprocess_case", "find_tracer", "predict_interactive"})


def test_an_ablation_without_clicks_keeps_scans_organs_and_discriminator(workflow):
    jobs = workflow.would_run(CONFIG + "clicks: {simulate: always, budget: 0}\n")
    assert rules(jobs) >= {"place_clicks", "draw_heatmap", "preprocess_case", "train_lesion_fold", "predict_case"}
    kept = {"import_case", "import_label", "import_organs", "render_mip", "fingerprint_cohort", "plan_training"}
    assert not rules(jobs) & (kept | {"split_patients", "train_tracer_fold", "find_tracer"})


def test_an_ablation_without_organs_keeps_clicks_heatmaps_and_discriminator(workflow):
    jobs = workflow.would_run(CONFIG.replace("{provider: given, scheme: clickpet}", "{provider: none}"))
    assert rules(jobs) >= {"plan_training", "preprocess_case", "train_lesion_fold", "predict_case"}
    kept = {"split_patients", "fingerprint_cohort", "train_tracer_fold", "find_tracer"}
    assert not rules(jobs) & (OWN - {"check_quality"} | kept)


def test_the_iterations_of_a_tracer_train_only_that_tracer(workflow):
    jobs = workflow.would_run(CONFIG + "train: {iterations_per_epoch: {psma: 9}}\n")
    trained = {wildcards["tracer"] for rule, wildcards in jobs if rule == "train_lesion_fold"}
    assert trained == {"psma"} == {wildcards["model"] for rule, wildcards in jobs if rule == "list_networks"}
    assert "predict_case" in rules(jobs)
    assert not rules(jobs) & (OWN | {"preprocess_case", "fingerprint_cohort", "plan_training", "train_tracer_fold"})


def test_a_joint_model_is_trained_instead_of_one_a_tracer(workflow):
    jobs = workflow.would_run(CONFIG + "train: {models: joint}\n")
    assert {wildcards["tracer"] for rule, wildcards in jobs if rule == "train_lesion_fold"} == {"joint"}
    preprocessed = {wildcards["case"] for rule, wildcards in jobs if rule == "preprocess_case"}
    assert preprocessed == held_out_by(workflow, 0) | held_out_by(workflow, 1)
    assert {"predict_case", "predict_interactive"} <= rules(jobs)
    assert not rules(jobs) & (OWN | {"split_patients", "train_tracer_fold", "find_tracer"})


#: What a training does not depend on, or comes before it.
BEFORE_TRAINING = {"fingerprint_cohort", "plan_cohort", "plan_training", "train_tracer_fold", "find_tracer"}


def test_training_on_errors_re_runs_preprocessing_trainings_and_what_follows(workflow):
    jobs = workflow.would_run(CONFIG + "train: {training_clicks: errors}\n")
    assert rules(jobs) >= {"preprocess_case", "train_lesion_fold", "predict_case", "predict_interactive"}
    assert not rules(jobs) & (OWN | BEFORE_TRAINING)


def test_the_mask_before_plans_the_network_and_preprocesses_nothing_more(workflow):
    plain, masked = (
        rules(workflow.would_run(CONFIG + f"train: {{training_clicks: errors{more}}}\n"))
        for more in ("", ", previous_mask: true")
    )
    assert masked - plain == {"plan_training"}
    assert plain <= masked


def test_the_loss_of_patches_without_lesion_re_runs_trainings_and_what_follows(workflow):
    jobs = workflow.would_run(CONFIG + "train: {lesion_free_loss_weight: 1}\n")
    assert rules(jobs) >= {"train_lesion_fold", "predict_case", "predict_interactive"}
    assert not rules(jobs) & (OWN | BEFORE_TRAINING | {"preprocess_case"})


def test_corrections_that_no_training_makes_train_nothing(workflow):
    jobs = workflow.would_run(CONFIG + "train: {corrections: {share: 0.1}}\n")
    assert not rules(jobs) & (OWN | BEFORE_TRAINING | TRAINING | INFERENCE | {"preprocess_case"})


def test_another_encoding_of_clicks_re_runs_heatmaps_and_what_depends_on_them(workflow):
    jobs = workflow.would_run(CONFIG + "heatmap: {encoding: distance}\n")
    assert rules(jobs) >= {"draw_heatmap", "preprocess_case", "train_lesion_fold", "record_settings", "predict_case"}
    assert not rules(jobs) & (BEFORE_TRAINING | {"import_case", "place_clicks"})


def test_the_discriminators_epochs_train_no_lesion_model(workflow):
    jobs = workflow.would_run(CONFIG + "tracer: {epochs: 3}\n")
    assert {"train_tracer_fold", "find_tracer"} <= rules(jobs)
    assert "train_lesion_fold" not in rules(jobs)


def test_the_patch_re_plans_but_does_not_preprocess(workflow):
    jobs = workflow.would_run(CONFIG + "train: {patch_size: [64, 64, 64]}\n")
    assert {"plan_training", "train_lesion_fold"} <= rules(jobs)
    assert not rules(jobs) & (OWN | {"preprocess_case", "fingerprint_cohort"})


def test_the_bootstrap_re_runs_tables_and_report_only(workflow):
    jobs = workflow.would_run(CONFIG.replace("click_steps: [0, 1]", "click_steps: [0, 1], bootstrap_repeats: 10"))
    assert {"summarise_scores", "summarise_interactive", "write_report"} <= rules(jobs)
    assert not rules(jobs) & (TRAINING | INFERENCE | OWN | {"score_case", "score_interactive", "post_process_case"})


@pytest.mark.parametrize("split", ["train", "predict"])
def test_a_new_case_re_runs_nothing_of_the_other_cases_own_files(workflow, split):
    row = f"fdg_n\tfdg\tp9\tUKT\ttrain\t{FILES}"
    if split == "predict":
        row = "fdg_n\tfdg\tp9\t\tpredict\tin/ct.nii.gz\tin/pet.nii.gz\t\t\t"
    jobs = workflow.would_run(rows=[*ROWS, row])
    assert {wildcards["case"] for rule, wildcards in jobs if rule in OWN} == {"fdg_n"}
    if split == "predict":
        others = {wildcards["case"] for _, wildcards in jobs if "case" in wildcards} - {"fdg_n"}
        assert not others
        assert not rules(jobs) & (TRAINING | {"preprocess_case"})


@pytest.mark.parametrize(("case", "split"), [("new", "predict"), ("psma_t", "test")])
def test_reviewed_clicks_re_run_their_case_alone(workflow, case, split):
    table, clicks = workflow.folder / "reviewed.tsv", workflow.folder / "reviewed_clicks" / f"{case}.json"
    table.write_text((workflow.folder / "cases.tsv").read_text())
    set_clicks(table, case, f"reviewed_clicks/{case}.json")
    write_text(clicks, "{}")
    jobs = workflow.would_run(rows=table.read_text().splitlines()[1:])
    assert {wildcards["case"] for _, wildcards in jobs if "case" in wildcards} == {case}
    assert [wildcards for rule, wildcards in jobs if rule == "predict_bucket"] == [{"split": split, "bucket": "000"}]
    assert rules(jobs) >= {"place_clicks", "draw_heatmap", "predict_case", "post_process_case", "rank_worklist"}
    assert not rules(jobs) & (TRAINING | {"preprocess_case", "import_case", "find_tracer", "split_patients"})


def test_imported_models_segment_new_patients_alone_and_so_do_the_trained_ones_after_them(workflow):
    models = workflow.folder / "imported"
    for model in ("fdg", "psma"):
        write_model(models / model)
    write_model(models / "tracer")
    (models / "tracer" / "fold_0" / "checkpoint_final.pth").rename(models / "tracer" / "fold_0" / "checkpoint.pth")
    for imported, config in ((True, CONFIG + "predict: {models: imported}\n"), (False, CONFIG)):
        jobs = workflow.would_run(config)
        assert {wildcards["case"] for _, wildcards in jobs if "case" in wildcards} == {"new"}
        assert rules(jobs) >= {"find_tracer", "predict_bucket", "predict_case"}
        assert not rules(jobs) & TRAINING
        workflow.write(config, ROWS)
        workflow.snakemake("all")
        assert workflow.would_run(config) == [], imported
    (workflow.folder / "results" / "predictions" / "options_imported.json").unlink()  # of no config of others


def test_clicks_that_were_reviewed_again_re_run_their_case_again(workflow):
    clicks = workflow.folder / "in" / "clicks.json"
    content, times = clicks.read_bytes(), clicks.stat()
    clicks.write_text('{"tumor": [[1, 2, 3]]}')
    jobs = workflow.would_run()
    clicks.write_bytes(content)
    os.utime(clicks, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert {wildcards["case"] for _, wildcards in jobs if "case" in wildcards} == {"new"}
    assert {"place_clicks", "predict_case"} <= rules(jobs)
    assert not rules(jobs) & (TRAINING | {"preprocess_case", "import_case"})


def without(path: Path, workflow: Workflow):
    """Jobs of a dry run while `path` is away; it is put back as it was."""
    content, times = path.read_bytes(), path.stat()
    path.unlink()
    jobs = workflow.would_run()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return jobs


def test_a_deleted_output_is_made_again_with_what_depends_on_it(workflow):
    jobs = without(workflow.folder / "results" / "cases" / "fdg_b" / "lesions.nii.gz", workflow)
    for rule in ("post_process_case", "score_case", "draw_case_figure"):
        assert {wildcards.get("case") for name, wildcards in jobs if name == rule} == {"fdg_b"}
    assert "write_report" in rules(jobs)
    assert not rules(jobs) & (TRAINING | INFERENCE | OWN)


def test_a_lost_checkpoint_is_trained_again_before_anything_is_predicted_with_it(workflow):
    jobs = without(workflow.folder / "results" / "models" / "fdg" / "fold_0" / "checkpoint_final.pth", workflow)
    trained = [wildcards for rule, wildcards in jobs if rule == "train_lesion_fold"]
    assert trained == [{"tracer": "fdg", "fold": "0"}]
    assert {"ensemble", "fold_0"} == {wildcards["networks"] for rule, wildcards in jobs if rule == "list_networks"}
    assert not rules(jobs) & (OWN | {"train_tracer_fold", "find_tracer", "preprocess_case"})
    # the train cases that fold 0 held out, and those that all folds predict; "new" has no truth to be scored
    assert {wildcards["case"] for rule, wildcards in jobs if rule == "predict_case"} == held_out_by(workflow, 0) | {
        "psma_t",
        "new",
    }
    assert {wildcards["case"] for rule, wildcards in jobs if rule == "predict_interactive"} == held_out_by(
        workflow, 0
    ) | {"psma_t"}


def held_out_by(workflow: Workflow, fold: int) -> set[str]:
    """Train cases that a fold held out."""
    cases = json.loads((workflow.folder / "results" / "splits.json").read_text())["cases"]
    return {case for case, own in cases.items() if own == fold}


def test_a_lost_checkpoint_leaves_the_other_folds_predictions_as_they_are(workflow):
    def made_at():
        return {
            file.parent.name: file.stat().st_mtime_ns
            for file in (workflow.folder / "results" / "cases").glob("*/lesions_raw.nii.gz")
        }

    before = made_at()
    (workflow.folder / "results" / "models" / "psma" / "fold_1" / "checkpoint_final.pth").unlink()
    workflow.snakemake("all")
    after = made_at()
    assert {case for case in before if after[case] != before[case]} == held_out_by(workflow, 1) | {"psma_t", "new"}
    assert workflow.would_run() == []


def test_a_lost_fold_of_the_discriminator_decides_again_on_its_own_cases(workflow):
    jobs = without(workflow.folder / "results" / "models" / "tracer" / "fold_1" / "checkpoint.pth", workflow)
    assert [wildcards["fold"] for rule, wildcards in jobs if rule == "train_tracer_fold"] == ["1"]
    assert "train_lesion_fold" not in rules(jobs)
    assert {wildcards["case"] for rule, wildcards in jobs if rule == "find_tracer"} == held_out_by(workflow, 1) | {
        "psma_t",
        "new",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "splits: results/splits.json: cannot be read"),
        ('{"cases": {"fdg_b": "0"}}', "splits: results/splits.json: the fold of 'fdg_b' is '0', no number; delete it"),
    ],
)
def test_broken_splits_are_a_line_and_delete_nothing(workflow, text, line):
    splits = workflow.folder / "results" / "splits.json"
    content, times = splits.read_bytes(), splits.stat()
    before = sorted((workflow.folder / "results").rglob("*"))
    splits.write_text(text)
    done = workflow.run("all")
    splits.write_bytes(content)
    os.utime(splits, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert done.returncode == 1
    assert line in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted((workflow.folder / "results").rglob("*")) == before


@pytest.mark.parametrize("text", ['[{"val": "fdg_b"}, {"val": []}]', "{", '[{"val": ["fdg_b"]}, {"val": []}]'])
def test_broken_folds_of_a_user_are_a_line_before_anything_runs(workflow, text):
    (workflow.folder / "own.json").write_text(text)
    workflow.write(CONFIG + "splits: own.json\n", ROWS)
    done = workflow.run("-n")
    workflow.write(CONFIG, ROWS)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if "own.json" in line]
    assert line.startswith("config: splits: own.json: ")


QUALITY = {"rank_findings", "require_sound_studies", "rank_worklist"}


@pytest.mark.parametrize("lost", ["quality.tsv", "cases/psma_d/quality.json"])
def test_lost_findings_train_and_predict_nothing(workflow, lost):
    jobs = without(workflow.folder / "results" / lost, workflow)
    assert rules(jobs) >= QUALITY
    assert rules(jobs) <= QUALITY | {"check_quality", "write_provenance", "write_report", "write_crate"}


def test_a_new_case_with_a_hard_finding_deletes_and_trains_nothing(workflow):
    """The run for real: its quality control fails, and afterwards all is as if the case had never been there."""
    row = "odd\t\tp9\t\tpredict\tin/ct.nii.gz\tin/pet.nii.gz\t\t\t"
    table, script = workflow.folder / "cases.tsv", workflow.folder / "scripts" / "require_sound_studies.py"
    before, times = {path: path.read_text() for path in (table, script)}, table.stat()
    kept = workflow.folder / "results" / "sound_studies.txt"
    sound = kept.read_text()
    table.write_text(before[table] + row + "\n")
    script.write_text("raise SystemExit('1 hard findings')")
    failed = workflow.run("prepare", "train")
    assert failed.returncode == 1
    assert "1 hard findings" in failed.stderr
    assert (workflow.folder / "results" / "cases" / "odd" / "quality.json").is_file()
    assert kept.read_text() == sound
    for rule in TRAINING | INFERENCE:
        assert f"rule {rule}:" not in failed.stderr
    shutil.rmtree(workflow.folder / "results" / "cases" / "odd")
    for path, text in before.items():
        path.write_text(text)
    os.utime(table, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not rules(workflow.would_run()) & (TRAINING | INFERENCE | OWN | {"preprocess_case", "list_training_set"})
    workflow.snakemake("all")
    assert workflow.would_run() == []


@pytest.mark.parametrize(
    "name",
    ["cases/fdg_b/mip.png", "cases/new/study.json", "summary.tex", "nnunet/fdg/fdg_b.pkl", "cases/psma_t/truth.json"],
)
def test_files_that_nobody_needs_any_more_come_back_too(workflow, name):
    assert without(workflow.folder / "results" / name, workflow)


def test_touched_inputs_with_the_same_content_run_nothing(workflow):
    (workflow.folder / "in" / "ct.nii.gz").touch()
    assert workflow.would_run() == []


def test_touched_scripts_run_nothing(workflow):
    for script in (workflow.folder / "scripts").glob("*.py"):
        script.touch()
    assert workflow.would_run() == []


def test_a_fresh_clone_with_copied_results_runs_nothing(workflow, tmp_path):
    clone = Workflow(tmp_path)
    for name in ("results", ".snakemake"):
        shutil.copytree(workflow.folder / name, clone.folder / name, symlinks=True)
    assert clone.would_run() == []


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """A file with `old` replaced by `new`, and as it was afterwards."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


def test_an_edited_docstring_runs_nothing(workflow):
    library = workflow.folder / "clickpet"
    with (
        edited(library / "clicks" / "heatmap.py", '"""', '"""Edited. '),
        edited(library / "nnunet" / "network.py", '"""', '"""Edited. '),
        edited(library / "train" / "trainer.py", "\n\n\nclass", "\n\n# a comment\n\n\nclass"),
        edited(workflow.folder / "scripts" / "train_lesion_fold.py", '"""', '"""Edited. '),
    ):
        assert workflow.would_run() == []


def test_a_changed_line_of_the_heatmap_re_runs_heatmaps_and_what_depends_on_them(workflow):
    file = workflow.folder / "clickpet" / "clicks" / "heatmap.py"
    with edited(file, "\n    return ", "\n    assert True\n    return "):
        jobs = workflow.would_run()
    assert {"draw_heatmap", "preprocess_case", "predict_case", "predict_interactive"} <= rules(jobs)
    untouched = {"place_clicks", "import_case", "import_label", "import_organs", "render_mip", "train_tracer_fold"}
    assert not rules(jobs) & (untouched | {"find_tracer", "split_patients", "check_quality"})


def test_a_changed_network_re_runs_trainings_and_inference(workflow):
    file = workflow.folder / "clickpet" / "nnunet" / "network.py"
    with edited(file, "class DualHead", "class Renamed"):
        jobs = workflow.would_run()
    assert {"train_lesion_fold", "predict_case"} <= rules(jobs)
    assert not rules(jobs) & (OWN | {"preprocess_case", "find_tracer", "train_tracer_fold"})


def test_how_often_a_checkpoint_is_saved_trains_nothing(workflow):
    jobs = workflow.would_run(CONFIG + "train: {save_every: 3}\n")
    assert rules(jobs) == {"write_provenance", "write_report", "write_crate"}


def test_sorted_rows_train_nothing_and_predict_nothing(workflow):
    jobs = workflow.would_run(rows=sorted(ROWS, reverse=True))
    assert "list_cohort" in rules(jobs)
    assert not rules(jobs) & (TRAINING | INFERENCE | OWN | {"preprocess_case", "split_patients"})


def test_every_file_is_named_by_rule_all(workflow):
    text = workflow.snakemake("-n", "-F", "all")
    named = set(re.search(r"^rule all:\n    input: (.*)$", text, flags=re.MULTILINE)[1].split(", "))
    results = workflow.folder / "results"
    made = {str(path.relative_to(workflow.folder)) for path in results.rglob("*") if path.is_file()}
    assert made - named == set()


def test_with_another_snakemake_the_workflow_warns_and_runs_as_it_is(workflow):
    made_up = workflow.folder / "sitecustomize.py"
    made_up.write_text(
        "from importlib import metadata\n"
        "real = metadata.version\n"
        "metadata.version = lambda name: '9.28.0' if name == 'snakemake' else real(name)\n"
    )
    said = workflow.snakemake("-n")
    made_up.unlink()
    assert "warning: snakemake 9.28.0 runs without the repairs" in said
    assert "Nothing to be done" in said


def test_where_trainings_ask_for_a_gpu_it_is_checked_first(workflow):
    said = workflow.snakemake("-n", "--set-resources", "train_lesion_fold:gpu=1")
    planned = re.findall(r"^(?:local)?rule (\w+):$", said, flags=re.MULTILINE)
    assert [rule for rule in planned if rule not in ("all", "prepare", "train")] == ["check_gpu"]
    assert "Nothing to be done" in workflow.snakemake("-n", "--set-resources", "train_lesion_fold:gpu=0")


def test_other_settings_of_totalsegmentator_re_run_the_organs_of_every_case_and_a_new_case_only_its_own(tmp_path):
    config = CONFIG.replace("{provider: given, scheme: clickpet}", "{provider: totalsegmentator, weights: in}")
    workflow = Workflow(tmp_path)
    workflow.write(config, ROWS)
    workflow.snakemake("all")

    def kept(config, rows=ROWS) -> set[str]:
        workflow.write(config, rows)
        said = workflow.snakemake("-n")
        blocks = re.split(r"^(?=(?:local)?rule \w+:$)", said, flags=re.MULTILINE)
        return {
            re.search(r"wildcards: case=(\S+)", block)[1] for block in blocks if block.startswith("rule keep_organs:")
        }

    assert kept(config) == set()
    assert len(kept(config.replace("weights: in", "weights: in, fast: true"))) == 4
    assert kept(config, [*ROWS, f"fdg_n\tfdg\tp9\tUKT\ttrain\t{FILES}"]) == {"fdg_n"}


#: What an evaluation in rounds runs beyond the report.
IN_ROUNDS = {"predict_rounds", "score_rounds", "summarise_rounds", "draw_rounds_of_case"}
REPORT = {"draw_figures", "write_provenance", "write_report", "write_crate"}


def test_another_protocol_predicts_its_rounds_and_trains_nothing(workflow):
    (workflow.folder / "in" / "replay").mkdir(exist_ok=True)
    (workflow.folder / "in" / "replay" / "psma_c.json").touch()
    more = CONFIG.replace("protocols: [rounds]", "protocols: [rounds, replay], replay: in/replay")
    jobs = workflow.would_run(more)
    assert rules(jobs) == IN_ROUNDS | REPORT
    predicted = [wildcards for rule, wildcards in jobs if rule == "predict_rounds"]
    assert {wildcards["protocol"] for wildcards in predicted} == {"replay"}
    assert len(predicted) == 5  # every scored case; the new patient has no truth


def test_without_the_protocol_nothing_but_the_report_runs(workflow):
    jobs = workflow.would_run(CONFIG.replace("protocols: [rounds], ", ""))
    assert rules(jobs) == REPORT


def test_the_protocol_clicks_is_what_the_report_asks_for(workflow):
    """report.interactive and evaluate.protocols: [clicks] ask for the same files: only the report is written again."""
    by_protocol = CONFIG.replace("protocols: [rounds]", "protocols: [clicks, rounds]").replace(
        "interactive: true", "interactive: false"
    )
    jobs = workflow.would_run(by_protocol)
    assert rules(jobs) <= REPORT
    assert "predict_interactive" in rules(
        workflow.would_run(CONFIG.replace("click_steps: [0, 1]", "click_steps: [0, 2]"))
    )


def test_replay_without_interactions_is_one_line(workflow):
    for folder, message in (("nowhere", "no folder"), ("in/none", "holds rounds of no study")):
        (workflow.folder / "in" / "none").mkdir(exist_ok=True)
        workflow.write(CONFIG.replace("protocols: [rounds]", f"protocols: [replay], replay: {folder}"), ROWS)
        done = workflow.run("-n")
        workflow.write(CONFIG, ROWS)
        assert done.returncode != 0
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_post_processing_changes_the_rounds_themselves(workflow):
    """Scribbles are drawn into the errors after post-processing, so that another one is another interaction."""
    jobs = workflow.would_run(CONFIG + "postprocess: {min_voxels: 5}\n")
    assert rules(jobs) >= IN_ROUNDS
