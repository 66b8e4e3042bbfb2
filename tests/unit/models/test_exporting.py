"""clickpet.models.exporting: what stock nnU-Net makes of an exported model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import write_model

from clickpet.errors import InputError
from clickpet.models.exporting import export_model
from clickpet.nnunet.model_folder import load_network, read_model_folder
from clickpet.predict.ensemble import NNUNET_OPTIONS, LesionEnsemble

DUAL = "clickpet.nnunet.network.DualHeadResidualEncoderUNet"


@pytest.fixture
def trained(tmp_path):
    return write_model(tmp_path / "fdg", folds=(0, 1), network=DUAL, organ_classes=5, scale=3)


def test_stock_nnunet_runs_the_export_with_the_same_logits(trained, tmp_path):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    report = export_model(trained, tmp_path / "plain", folds=(0, 1))
    assert report["folds"]["0"]["skipped"] == ["decoder.organ_seg_layers.0.bias", "decoder.organ_seg_layers.0.weight"]
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(tmp_path / "plain"), (0, 1))
    assert type(predictor.network).__name__ == "ResidualEncoderUNet"
    image = torch.randn(2, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    for fold in (0, 1):
        predictor.network.load_state_dict(predictor.list_of_parameters[fold], strict=True)
        ours = load_network(read_model_folder(trained), fold)
        with torch.inference_mode():
            assert torch.equal(predictor.network.eval()(image), ours(image))
    rng = np.random.default_rng(0)
    case = {name: rng.normal(size=(18, 17, 16)).astype(np.float32) * 100 for name in ("ct", "suv", "heatmap")}
    theirs = predictor.predict_single_npy_array(
        np.stack([array.T for array in case.values()]), {"spacing": [3.0, 2.0, 2.0]}
    ).T
    ours = LesionEnsemble.load(trained, (0, 1)).predict(**case, affine=np.diag([-2.0, 2, 3, 1]), **NNUNET_OPTIONS).mask
    assert 0.01 < theirs.mean() < 0.99
    np.testing.assert_array_equal(ours, theirs)


def test_the_docs_list_every_setting_in_which_stock_nnunet_differs():
    text = (Path(__file__).parents[3] / "docs" / "new-patients.md").read_text()
    assert {name for name in NNUNET_OPTIONS if f"(`{name}`)" in text} == set(NNUNET_OPTIONS)


def test_the_export_holds_no_training_state(trained, tmp_path):
    export_model(trained, tmp_path / "plain", folds=(1,))
    exported = torch.load(tmp_path / "plain" / "fold_1" / "checkpoint_final.pth", weights_only=True)
    assert set(exported) == {"network_weights", "init_args", "trainer_name", "inference_allowed_mirroring_axes"}
    assert not any("organ" in key for key in exported["network_weights"])
    assert not (tmp_path / "plain" / "fold_0").exists()


def test_exporting_an_exported_model_changes_nothing(trained, tmp_path):
    export_model(trained, tmp_path / "plain", folds=(0,))
    export_model(tmp_path / "plain", tmp_path / "again", folds=(0,))
    files = [tmp_path / name / "fold_0" / "checkpoint_final.pth" for name in ("plain", "again")]
    first, second = (torch.load(path, weights_only=True)["network_weights"] for path in files)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_missing_folds(trained, tmp_path):
    with pytest.raises(InputError, match="no such checkpoint"):
        export_model(trained, tmp_path / "plain", folds=(0, 3))
    with pytest.raises(InputError, match="no folds to export"):
        export_model(trained, tmp_path / "plain", folds=())
    assert not (tmp_path / "plain").exists()
