"""Models into folders of models, and out: settings that must agree, what is refused, what is left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_weights import Hostile, tracer_weights
from scipy.ndimage import gaussian_filter
from tiny_models import write_model
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.config import resolve
from clickpet.errors import InputError
from clickpet.ingest.petct import PetCt
from clickpet.models.collection import add_model, add_pretrained, export_lesion_model, shown_as
from clickpet.models.patient import segment_patient
from clickpet.models.settings import RELEASED, read_settings, trained_with, write_settings
from clickpet.tracer.network import save_discriminator

OURS = {
    "heatmap": {**RELEASED["heatmap"], "compat": "paper", "keep_clicked": False, "suv_gate": 3},
    "mip": {"spacing_mm": 6, "size": 96, "compat": "paper"},
}


@pytest.fixture
def trained(tmp_path):
    """A folder of models as the workflow leaves it."""
    folder = tmp_path / "trained"
    write_model(folder / "fdg", folds=(0, 1))
    write_model(folder / "psma", folds=(0, 1), seed=1)
    for fold in (0, 1):
        save_discriminator(folder / "tracer" / f"fold_{fold}" / "checkpoint.pth", tracer_weights())
    write_settings(folder, {name: [0, 1] for name in ("fdg", "psma", "tracer")}, **OURS)
    return folder


@pytest.fixture
def released(tmp_path):
    """A lesion model and discriminators of somebody else: no settings."""
    write_model(tmp_path / "theirs" / "trainer__plans__3d_fullres", folds=(0, 3, "all"), seed=2)
    (tmp_path / "theirs" / "cnn").mkdir()
    for name in ("best_fold3.pt", "best_fold10.pt"):
        torch.save(tracer_weights(), tmp_path / "theirs" / "cnn" / name)
    return tmp_path / "theirs"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_released_models_get_the_settings_of_the_released_code(released, tmp_path):
    models = tmp_path / "models"
    add_model("fdg", released / "trainer__plans__3d_fullres", models)
    report = add_model("tracer", released / "cnn", models)
    settings = read_settings(models)
    assert settings.folds == {"fdg": ["0", "3", "all"], "tracer": ["3", "10"]}
    assert {"heatmap": settings.heatmap, "mip": settings.mip} == RELEASED
    assert report["folds"]["10"]["file"] == "best_fold10.pt"
    assert json.loads((models / "tracer" / "import.json").read_text())["folds"] == report["folds"]


@pytest.mark.parametrize("kind", ["fdg", "tracer"])
def test_models_of_this_project_keep_their_own_settings(trained, tmp_path, kind):
    add_model(kind, trained, tmp_path / "a", folds=["1"])
    add_model(kind, trained / kind, tmp_path / "b", folds=["1"])
    for models in (tmp_path / "a", tmp_path / "b"):
        record = json.loads((models / "settings.json").read_text())
        assert record == {"folds": {kind: ["1"]}, **OURS}


def test_two_lesion_models_of_one_folder_must_know_the_same_heatmaps(trained, released, tmp_path):
    models = tmp_path / "models"
    add_model("psma", trained, models)
    before = everything(models)
    with pytest.raises(InputError, match=r"psma model .* other heatmaps \(compat, keep_clicked, suv_gate\)"):
        add_model("fdg", released / "trainer__plans__3d_fullres", models)
    assert everything(models) == before
    add_model("fdg", released / "trainer__plans__3d_fullres", models, shown=OURS)
    add_model("tracer", released / "cnn", models)
    settings = read_settings(models)
    assert settings.heatmap == OURS["heatmap"]
    assert settings.mip == RELEASED["mip"]


def test_a_record_of_an_older_version_lacks_what_has_its_default(trained, released, tmp_path):
    models = tmp_path / "models"
    add_model("psma", trained, models)
    record = json.loads((models / "settings.json").read_text())
    older = {name: value for name, value in record["heatmap"].items() if name not in ("encoding", "distance_mm")}
    (models / "settings.json").write_text(json.dumps({**record, "heatmap": older}))
    distances = {**OURS, "heatmap": {**OURS["heatmap"], "encoding": "distance"}}
    with pytest.raises(InputError, match=r"psma model was trained with other heatmaps \(encoding\)"):
        add_model("fdg", released / "trainer__plans__3d_fullres", models, shown=distances)
    whole = HeatmapOptions.from_mapping(OURS["heatmap"]).as_config()
    add_model("fdg", released / "trainer__plans__3d_fullres", models, shown={**OURS, "heatmap": whole})


def test_a_model_without_a_record_is_told_from_one_with(trained, released, tmp_path):
    (trained / "settings.json").unlink()
    with pytest.raises(InputError, match=r"psma model was trained with heatmaps that no settings\.json tells"):
        add_model("fdg", released / "trainer__plans__3d_fullres", trained, replace=True)
    add_model("tracer", released / "cnn", trained, replace=True)
    settings = read_settings(trained)
    assert settings.heatmap is None
    assert settings.mip == RELEASED["mip"]


def test_a_model_is_replaced_only_when_asked_and_then_as_a_whole(trained, released, tmp_path):
    models = tmp_path / "models"
    add_model("fdg", trained, models)
    with pytest.raises(InputError, match="is there already; give --force"):
        add_model("fdg", released / "trainer__plans__3d_fullres", models)
    add_model("fdg", released / "trainer__plans__3d_fullres", models, folds=["3"], replace=True)
    assert [path.name for path in (models / "fdg").glob("fold_*")] == ["fold_3"]
    assert read_settings(models).folds == {"fdg": ["3"]}
    assert read_settings(models).heatmap == RELEASED["heatmap"]
    with pytest.raises(InputError, match="is the model itself"):
        add_model("fdg", models, models, replace=True)
    assert sorted(path.name for path in models.iterdir()) == ["fdg", "settings.json"]


def spoil(path: Path, how: str, marker: Path) -> None:
    content = torch.load(path, weights_only=False)
    if how == "hostile":
        content["extra"] = Hostile(marker)
    elif how == "keys":
        content["network_weights"] = {"layer.weight": torch.ones(3)}
    elif how == "shapes":
        content["network_weights"] = {key: value[..., None] for key, value in content["network_weights"].items()}
    torch.save(content, path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif how == "text":
        path.write_text("<html>404</html>")


@pytest.mark.parametrize("how", ["hostile", "keys", "shapes", "cut", "text"])
@pytest.mark.parametrize("kind", ["fdg", "pretrained"])
def test_a_refused_file_is_one_line_and_leaves_nothing(released, tmp_path, how, kind):
    source = released / "trainer__plans__3d_fullres"
    spoil(source / "fold_0" / "checkpoint_final.pth", how, tmp_path / "ran")
    done = CliRunner().invoke(app, ["import-model", kind, str(source), "--models", str(tmp_path / "models")])
    assert done.exit_code == 1
    assert done.output.startswith("clickpet: error: ")
    assert done.output.count("\n") == 1
    assert "checkpoint_final.pth" in done.output
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("how", ["hostile", "text"])
def test_a_refused_discriminator_leaves_the_folder_as_it_was(trained, released, tmp_path, how):
    before = everything(trained)
    path = released / "cnn" / "best_fold3.pt"
    torch.save({"conv1.weight": Hostile(tmp_path / "ran")}, path) if how == "hostile" else path.write_text("no")
    with pytest.raises(InputError, match=r"best_fold3\.pt"):
        add_model("tracer", released / "cnn", trained, replace=True)
    assert everything(trained) == before
    assert not (tmp_path / "ran").exists()


def test_plans_with_anything_missing_are_one_line(released, tmp_path):
    source = released / "trainer__plans__3d_fullres"
    plans = json.loads((source / "plans.json").read_text())

    def parts(value, path=()):
        for key, inner in value.items() if isinstance(value, dict) else ():
            yield (*path, key)
            yield from parts(inner, (*path, key))

    refused = 0
    for path in parts(plans):
        broken = json.loads(json.dumps(plans))
        part = broken
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
        (source / "plans.json").write_text(json.dumps(broken))
        try:
            add_model("fdg", source, tmp_path / "models", folds=["0"], replace=True)
        except InputError:
            refused += 1
    assert refused > 20


def test_folds_and_sources_that_are_not_there(released, tmp_path):
    source = released / "trainer__plans__3d_fullres"
    with pytest.raises(InputError, match=r"holds no fold 1, 2; give --folds out of 0, 3, all"):
        add_model("fdg", source, tmp_path / "models", folds=["0", "1", "2"])
    with pytest.raises(InputError, match="holds no checkpoint"):
        add_model("fdg", released, tmp_path / "models")
    with pytest.raises(InputError, match="no such file or folder"):
        add_model("tracer", released / "absent.pt", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_one_file_is_a_discriminator_of_one_fold(released, tmp_path):
    add_model("tracer", released / "cnn" / "best_fold3.pt", tmp_path / "models")
    assert [path.name for path in (tmp_path / "models" / "tracer").glob("fold_*")] == ["fold_0"]


def test_files_whose_names_tell_no_fold_are_numbered(released, tmp_path):
    for old, new in (("best_fold3.pt", "b.pt"), ("best_fold10.pt", "a.pt")):
        (released / "cnn" / old).rename(released / "cnn" / new)
    (released / "cnn" / "._a.pt").write_bytes(b"\0\5\x16\7 of a Mac")
    report = add_model("tracer", released / "cnn", tmp_path / "models")
    assert {fold: keys["file"] for fold, keys in report["folds"].items()} == {"0": "a.pt", "1": "b.pt"}


def test_settings_by_name_or_by_the_config_of_the_training(tmp_path):
    assert shown_as("released") == RELEASED
    assert shown_as("paper") == trained_with(resolve({"cohort": "x"}))
    config = tmp_path / "mine.yaml"
    config.write_text("heatmap: {sigma_tumor: 5}\ntracer: {size: 96}\n")
    assert shown_as(str(config))["heatmap"]["sigma_tumor"] == 5
    assert shown_as(str(config))["mip"] == {"spacing_mm": 3, "size": 96, "compat": "paper"}
    config.write_text("heatmap: {sigma_tumour: 5}\n")
    with pytest.raises(InputError, match="did you mean sigma_tumor"):
        shown_as(str(config))
    with pytest.raises(InputError, match="papers: no such config file"):
        shown_as("papers")


def test_a_model_of_two_channels_becomes_a_pretrained_start(tmp_path):
    from clickpet.nnunet.model_folder import build_network, read_model_folder
    from clickpet.train.pretrained import start_from

    theirs = write_model(tmp_path / "theirs", folds=(2,), channels={"0": "CT", "1": "CT"})
    report = add_pretrained(theirs, tmp_path / "models")
    assert all(name.split(".")[-1] == "weight" for name in report["widened"])
    assert {name.split(".")[1] for name in report["new"]} == {"seg_layers"}
    ours = write_model(tmp_path / "ours", seed=5)
    network = build_network(read_model_folder(ours))
    log = start_from(network, tmp_path / "models" / "pretrained.pth")
    assert log[0].startswith(f"pretrained start: {len(report['copied'])} copied, {len(report['widened'])} widened")
    theirs = torch.load(theirs / "fold_2" / "checkpoint_final.pth", weights_only=False)["network_weights"]
    stem = network.state_dict()["encoder.stem.convs.0.conv.weight"]
    assert torch.equal(stem[:, :2], theirs["encoder.stem.convs.0.conv.weight"])
    assert not stem[:, 2].any()
    with pytest.raises(InputError, match="is there already"):
        add_pretrained(tmp_path / "theirs", tmp_path / "models")


def test_exports_take_no_place_but_a_models(trained, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for replace in (False, True):
        with pytest.raises(InputError, match="is there and no model"):
            export_lesion_model(trained / "fdg", tmp_path / "mine", replace=replace)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    report = export_lesion_model(trained / "fdg", tmp_path / "plain")
    assert list(report["folds"]) == ["0", "1"]
    with pytest.raises(InputError, match="give --force"):
        export_lesion_model(trained / "fdg", tmp_path / "plain")
    export_lesion_model(trained / "fdg", tmp_path / "plain", folds=["1"], replace=True)
    assert [path.name for path in (tmp_path / "plain").glob("fold_*")] == ["fold_1"]
    with pytest.raises(InputError, match="holds no checkpoint"):
        export_lesion_model(tmp_path / "nowhere", tmp_path / "plain2")


@pytest.mark.parametrize("folds", ["0,0", "first", "-1", "../0"])
def test_names_of_folds(released, tmp_path, folds):
    command = ["import-model", "fdg", str(released), "--models", str(tmp_path / "m"), f"--folds={folds}"]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "names no folds" in done.output


def test_the_commands_say_what_they_did(trained, tmp_path):
    source = write_model(
        tmp_path / "dual", network="clickpet.nnunet.network.DualHeadResidualEncoderUNet", organ_classes=5
    )
    command = ["import-model", "fdg", str(source), "--models", str(tmp_path / "m")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "fold 0: checkpoint_final.pth: " in done.output
    assert "suv_gate 4" in done.output
    done = CliRunner().invoke(app, ["export-model", str(tmp_path / "m" / "fdg"), str(tmp_path / "plain")])
    assert "2 skipped (decoder.organ_seg_layers.0.bias, decoder.organ_seg_layers.0.weight)" in done.output
    assert f"nnUNetv2_predict_from_modelfolder -i IMAGES -o MASKS -m {tmp_path / 'plain'} -f 0" in done.output


def test_an_imported_model_predicts_as_its_source(tmp_path):
    from clickpet.nnunet.plans import CHECKPOINT
    from clickpet.predict.ensemble import LesionEnsemble

    source = write_model(tmp_path / "theirs", folds=(0, 1), scale=3)
    for fold in (0, 1):  # as data-parallel training leaves it
        path = source / f"fold_{fold}" / CHECKPOINT
        content = torch.load(path, weights_only=False)
        content["network_weights"] = {f"module.{key}": value for key, value in content["network_weights"].items()}
        torch.save(content, path)
    add_model("fdg", source, tmp_path / "models")
    settings = read_settings(tmp_path / "models")
    settings.check_study("")
    rng = np.random.default_rng(1)
    case = {name: rng.normal(size=(18, 17, 16)).astype(np.float32) * 100 for name in ("ct", "suv", "heatmap")}
    masks = [
        LesionEnsemble.load(folder, folds).predict(**case, affine=np.diag([2.0, 2, 3, 1])).mask
        for folder, folds in ((source, (0, 1)), (tmp_path / "models" / "fdg", settings.folds["fdg"]))
    ]
    assert 0.01 < masks[0].mean() < 0.99
    np.testing.assert_array_equal(*masks)


def test_an_imported_discriminator_votes_as_its_files(released, tmp_path):
    from clickpet.tracer.network import TracerNet, load_discriminator

    add_model("tracer", released / "cnn", tmp_path / "models")
    mip = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    for fold in ("3", "10"):
        given, ours = TracerNet(), TracerNet()
        given.load_state_dict(torch.load(released / "cnn" / f"best_fold{fold}.pt", weights_only=True))
        ours.load_state_dict(load_discriminator(tmp_path / "models" / "tracer" / f"fold_{fold}" / "checkpoint.pth"))
        with torch.inference_mode():
            assert torch.equal(given.logits(mip), ours.logits(mip))


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 3.0), (2.6, 2.6, 3.3)])
def test_a_model_that_was_exported_and_imported_segments_bit_for_bit_as_before(tmp_path, spacing_mm):
    options = {"network": "clickpet.nnunet.network.DualHeadResidualEncoderUNet", "organ_classes": 5, "scale": 3}
    write_model(tmp_path / "trained" / "fdg", folds=(0, 1), **options)
    write_settings(tmp_path / "trained", {"fdg": [0, 1]}, **OURS)
    runner = CliRunner()
    exported = runner.invoke(app, ["export-model", str(tmp_path / "trained" / "fdg"), str(tmp_path / "plain")])
    assert exported.exit_code == 0
    arguments = ["import-model", "fdg", str(tmp_path / "plain"), "--models", str(tmp_path / "models")]
    imported = runner.invoke(app, arguments)
    assert imported.exit_code == 0
    assert "warning" not in exported.output + imported.output
    back = json.loads((tmp_path / "models" / "settings.json").read_text())
    assert back == json.loads((tmp_path / "trained" / "settings.json").read_text())
    rng = np.random.default_rng(1)
    waves = [gaussian_filter(rng.normal(size=(22, 20, 18)), 1.5).astype(np.float32) for _ in range(2)]
    study = PetCt(ct=waves[0] * 4000, suv=np.abs(waves[1]) * 60, affine=np.diag([*spacing_mm, 1.0]) * [-1, 1, 1, 1])
    clicks = Clicks(tumor=np.array([[8, 9, 9]]), background=np.array([[15, 4, 6]]))
    before, after = (segment_patient(study, clicks, models=tmp_path / name) for name in ("trained", "models"))
    assert 0 < before.raw_mask.mean() < 1
    assert after.heatmap.tobytes() == before.heatmap.tobytes()
    assert after.raw_mask.tobytes() == before.raw_mask.tobytes()
    assert after.mask.tobytes() == before.mask.tobytes()
    add_model("fdg", tmp_path / "plain", tmp_path / "assumed", shown=RELEASED)
    other = segment_patient(study, clicks, models=tmp_path / "assumed")
    assert other.heatmap.tobytes() != before.heatmap.tobytes()  # what the settings prevent


def test_settings_that_are_not_known_are_told_at_export_and_import(released, tmp_path):
    source = released / "trainer__plans__3d_fullres"
    runner = CliRunner()
    exported = runner.invoke(app, ["export-model", str(source), str(tmp_path / "plain")])
    assert "warning:" in exported.output
    assert "has no settings.json beside it" in exported.output
    assert not (tmp_path / "plain" / "settings.json").exists()
    arguments = ["import-model", "fdg", str(tmp_path / "plain"), "--models", str(tmp_path / "models")]
    imported = runner.invoke(app, arguments)
    assert imported.exit_code == 0
    assert "taken for a released model" in imported.output
    assert json.loads((tmp_path / "models" / "fdg" / "import.json").read_text())["settings_from"] == "assumed"
    told = runner.invoke(app, [*arguments, "--settings", "paper", "--force"])
    assert "warning" not in told.output
    assert json.loads((tmp_path / "models" / "fdg" / "import.json").read_text())["settings_from"] == "given"
