"""Provenance: hashes, costs, git state, and that it gives nobody away."""

import getpass
import hashlib
import json
import socket
import subprocess

import pytest
from results_maker import make_results

from clickpet.report.crate import describe_run
from clickpet.report.provenance import (
    file_sha256,
    gather_provenance,
    git_state,
    job_costs,
    seeds_of,
    versions,
    without_paths,
)

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def _benchmark(folder, name, *rows):
    path = folder / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(f"{s}\t0:00:00\t{rss}\t1\t1\t1\t0\t0\t50\t{cpu}\n" for s, rss, cpu in rows))


def test_costs_are_summed_rule_by_rule_with_the_slowest_rule_first(tmp_path):
    _benchmark(tmp_path, "fast/a", (1.0, 100.5, 0.5))
    _benchmark(tmp_path, "slow/a", (10.0, 300.0, 20.0))
    _benchmark(tmp_path, "slow/b", (30.0, 200.0, 50.0))
    _benchmark(tmp_path, "slow/c", (20.0, "NA", "NA"))
    costs = job_costs(tmp_path)
    assert [rule["rule"] for rule in costs["rules"]] == ["slow", "fast"]
    assert costs["rules"][0] == {
        "rule": "slow",
        "jobs": 3,
        "seconds_total": 60.0,
        "seconds_median": 20.0,
        "seconds_max": 30.0,
        "memory_mb_max": 300.0,
        "cpu_seconds_total": 70.0,
    }
    assert costs["jobs"]["slow"]["c"] == {"seconds": 20.0, "memory_mb": None, "cpu_seconds": None}
    assert costs["jobs"]["fast"]["a"] == {"seconds": 1.0, "memory_mb": 100.5, "cpu_seconds": 0.5}


def test_a_job_in_folders_keeps_its_whole_name_and_repeats_count_once(tmp_path):
    _benchmark(tmp_path, "train_lesion_fold/fdg/0", (5.0, 10.0, 1.0), (7.0, 20.0, 2.0))
    costs = job_costs(tmp_path)
    assert costs["jobs"] == {"train_lesion_fold": {"fdg/0": {"seconds": 7.0, "memory_mb": 20.0, "cpu_seconds": 2.0}}}
    assert costs["rules"][0]["jobs"] == 1


@pytest.mark.parametrize("content", ["", "s\n", "not\ta benchmark\n1\t2\n", HEADER, HEADER + "-\t-\tNA"])
def test_files_that_are_no_benchmarks_are_passed_over(tmp_path, content):
    (tmp_path / "rule").mkdir()
    (tmp_path / "rule" / "x.tsv").write_text(content)
    assert job_costs(tmp_path) == {"rules": [], "jobs": {}}


def test_no_benchmarks_at_all(tmp_path):
    assert job_costs(tmp_path / "nowhere") == {"rules": [], "jobs": {}}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("config/cases.tsv", "config/cases.tsv"),
        ("/home/ada/my data/cases.tsv", "…/cases.tsv"),
        ("~ada/cases.tsv", "…/cases.tsv"),
        ("/data", "…/data"),
        ("/data/", "…/data"),
        ("C:\\Users\\Ada\\cases.tsv", "…/cases.tsv"),
        ("\\\\server\\share\\cases.tsv", "…/cases.tsv"),
        ("file:///home/ada/cases.tsv", "…/cases.tsv"),
        ("read /home/ada/cases.tsv twice", "read …/cases.tsv twice"),
        ("g/ml", "g/ml"),
        ("1 / 2", "1 / 2"),
        ("voxel", "voxel"),
    ],
)
def test_absolute_paths_are_cut_and_nothing_else(given, kept):
    assert without_paths(given) == kept
    assert without_paths({"a": [given, 3, None, {"b": given}]}) == {"a": [kept, 3, None, {"b": kept}]}


def test_seeds_are_found_wherever_they_are():
    config = {"seed": 1, "clicks": {"seed": 2, "budget": 10}, "phantom": {"seed": 3}, "folds": [0]}
    assert seeds_of(config) == {"seed": 1, "clicks.seed": 2, "phantom.seed": 3}


def test_versions_of_what_is_and_is_not_installed():
    import numpy as np

    assert versions(("numpy", "no-such-package")) == {"numpy": np.__version__, "no-such-package": None}


def test_git_state_is_none_outside_a_checkout_and_in_its_subfolders(tmp_path):
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "nowhere") is None
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "inside").mkdir()
    assert git_state(tmp_path / "inside") is None


def test_git_state_tells_commit_and_changes(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}


def test_git_missing_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("run"), studies=6)


@pytest.fixture(scope="module")
def provenance(made):
    table = made.path("cases.tsv")
    table.write_text("case\n")
    config = {**made.config, "cohort": str(table)}
    return gather_provenance(
        config,
        cohort_table=table,
        cohort=made.path("results", "cohort.tsv"),
        benchmarks=made.path("benchmarks"),
        results=[made.path("results", "scores.tsv")],
    )


def test_provenance_has_the_cohort_the_seeds_and_the_costs(made, provenance):
    assert provenance["cohort"] == {
        "table_sha256": hashlib.sha256(b"case\n").hexdigest(),
        "cohort_tsv_sha256": file_sha256(made.path("results", "cohort.tsv")),
        "studies": 12,
        "patients": 8,
    }
    assert provenance["seeds"] == {"seed": 42, "clicks.seed": 42, "phantom.seed": 20}
    assert provenance["config"]["heatmap"] == made.config["heatmap"]
    assert provenance["results_sha256"] == {"scores.tsv": file_sha256(made.path("results", "scores.tsv"))}
    assert provenance["rules"][0]["rule"] == "predict_case"
    assert provenance["rules"][0]["jobs"] == 12
    assert provenance["rules"][0]["seconds_total"] == sum(range(10, 22))
    assert provenance["versions"]["nnunetv2"] is not None


def test_provenance_names_no_place_machine_or_person(made, provenance):
    text = json.dumps(provenance)
    assert str(made.folder) not in text
    if len(socket.gethostname()) > 6:
        assert socket.gethostname() not in text
    assert provenance["config"]["cohort"] == "…/cases.tsv"
    if getpass.getuser() != "root":
        assert getpass.getuser() not in text


def test_a_cohort_table_that_is_gone_is_no_error(made):
    found = gather_provenance({}, cohort_table="/no/such/table.tsv", cohort=made.path("results", "cohort.tsv"))
    assert found["cohort"]["table_sha256"] is None
    assert found["rules"] == []


def test_crate_describes_every_output(made, provenance, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    results = made.path("results")
    outputs = [results / "scores.tsv", results / "cohort.tsv", results / "models" / "tracer" / "accuracy.json"]
    crate = describe_run(provenance, outputs, root=results)
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert entities["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = entities["./"]
    assert root["@type"] == "Dataset"
    assert root["datePublished"] == "1970-01-02"
    assert [part["@id"] for part in root["hasPart"]] == ["cohort.tsv", "models/tracer/accuracy.json", "scores.tsv"]
    for path in outputs:
        entity = entities[path.relative_to(results).as_posix()]
        assert entity["@type"] == "File"
        assert entity["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entity["contentSize"] == str(path.stat().st_size)
    assert entities["#run"]["object"] == [{"@id": "cohort.tsv"}]
    assert entities["scores.tsv"]["encodingFormat"] == "text/tab-separated-values"


def test_every_reference_of_the_crate_is_resolved(made, provenance):
    results = made.path("results")
    crate = describe_run(provenance, [results / "scores.tsv"], root=results)
    known = {entity["@id"] for entity in crate["@graph"]} | {"https://w3id.org/ro/crate/1.1"}

    def references(value):
        if isinstance(value, list):
            for item in value:
                yield from references(item)
        elif isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            for item in value.values():
                yield from references(item)

    assert set(references(crate["@graph"])) <= known
    assert str(made.folder) not in json.dumps(crate)
