"""The container's entry point on folders, with the segmentation replaced, and what its recipe promises."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.cli.grand_challenge import grand_challenge as command
from clickpet.images import read_image, write_image
from clickpet.workflow import grand_challenge

ROOT = Path(__file__).parents[3]
#: Oblique, and not exact in single precision.
AFFINE = np.array([[-2.0, 0.1, 0, 90.1], [0.1, 2.0, 0, -80.3], [0, 0, 3.0, 1e-3 / 3], [0, 0, 0, 1]])


@pytest.fixture
def case(tmp_path):
    """The platform's /input."""
    rng = np.random.default_rng(0)
    write_image(tmp_path / "input/images/ct/11-ab.mha", rng.random((4, 5, 6), np.float32) - 500, np.eye(4))
    write_image(tmp_path / "input/images/pet/22-cd.mha", rng.random((7, 8, 9), np.float32), AFFINE)
    (tmp_path / "input/lesion-clicks.json").write_text('{"tumor": [[1, 2, 3]], "background": []}')
    return tmp_path


@pytest.fixture
def seen(monkeypatch):
    """What the segmentation was asked for; its mask is PET above 0.5, as bool."""
    calls = []

    def predict_patient(patient, models, out, **options):
        patient.check()
        calls.append((patient, models, options))
        pet = read_image(patient.pet)
        path = Path(out) / "any name.mha"
        write_image(path, pet.array > 0.5, pet.affine)
        return {"mask": path}

    monkeypatch.setattr(grand_challenge, "predict_patient", predict_patient)
    return calls


def run(case, *more):
    arguments = ["--input", case / "input", "--output", case / "output", "--models", case / "models"]
    return CliRunner().invoke(app, ["grand-challenge", *map(str, [*arguments, *more])])


def test_the_mask_is_called_as_the_pet_and_lies_on_its_grid(case, seen):
    done = run(case)
    assert done.exit_code == 0, done.output
    (path,) = (path for path in (case / "output").rglob("*") if path.is_file())
    assert path == case / "output/images/tumor-lesion-segmentation/22-cd.mha"
    assert done.output == f"{path}\n"
    mask, pet = read_image(path), read_image(case / "input/images/pet/22-cd.mha")
    assert mask.array.dtype == np.uint8
    np.testing.assert_array_equal(mask.array, pet.array > 0.5)
    np.testing.assert_allclose(mask.affine, pet.affine, atol=1e-9)
    ((patient, models, _),) = seen
    assert (patient.ct.name, patient.pet.name, patient.tracer) == ("11-ab.mha", "22-cd.mha", "")
    assert patient.clicks == case / "input/lesion-clicks.json"
    assert models == case / "models"


def test_without_a_click_file_there_are_no_clicks(case, seen):
    (case / "input/lesion-clicks.json").unlink()
    assert run(case).exit_code == 0
    assert seen[0][0].clicks is None


def test_roots_and_config_may_come_from_the_environment(case, seen, monkeypatch):
    for name in ("input", "output", "models"):
        monkeypatch.setenv(f"CLICKPET_{name.upper()}", str(case / name))
    (case / "c.yaml").write_text("predict: {tile_step: 0.8}\n")
    monkeypatch.setenv("CLICKPET_CONFIG", str(case / "c.yaml"))
    done = CliRunner().invoke(app, ["grand-challenge", "--cores", "3"])
    assert done.exit_code == 0, done.output
    assert (seen[0][2]["config"], seen[0][2]["cores"]) == ({"predict": {"tile_step": 0.8}}, 3)


@pytest.mark.parametrize("kind", ["ct", "pet"])
@pytest.mark.parametrize("number", [0, 2])
def test_anything_but_one_volume_of_each_kind_is_one_line(case, seen, kind, number):
    folder = case / "input" / "images" / kind
    (file,) = folder.iterdir()
    file.rename(folder / "x.nii.gz") if number == 0 else (folder / "other.mha").touch()
    done = run(case)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"images/{kind}: holds {number or 'no'} .mha files" in done.output
    assert not (case / "output").exists()
    assert not seen


def test_an_error_of_the_segmentation_is_one_line_and_leaves_no_mask(case):
    done = run(case)  # there are no models
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "no such folder of models" in done.output
    assert not (case / "output").exists()


def recipe() -> str:
    return (ROOT / "container" / "Dockerfile").read_text()


def test_the_recipe_copies_what_is_there_and_what_the_ignore_file_lets_through():
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [name for line in re.findall(r"^COPY (.*)$", recipe(), re.MULTILINE) for name in line.split()[:-1]]
    assert {"models" if name == "${MODELS}" else name for name in copied} == set(allowed)
    assert all((ROOT / name).exists() for name in copied if name != "${MODELS}")
    used = set(re.findall(r'include: "(\w+)/', (ROOT / "Snakefile").read_text())) | {"scripts", "config"}
    assert used <= set(copied)


def test_the_recipe_has_no_pins_of_its_own_and_the_base_of_the_other_recipe():
    assert "==" not in recipe()
    (base,) = re.findall(r"^FROM (\S+)$", recipe(), re.MULTILINE)
    assert f"From: {base}\n" in (ROOT / "envs" / "clickpet.def").read_text()


def test_the_container_starts_the_command_as_a_plain_user():
    lines = recipe().splitlines()
    (user,) = (line.split()[1] for line in lines if line.startswith("USER "))
    assert user not in ("root", "0")
    assert lines[-1] == 'ENTRYPOINT ["clickpet", "grand-challenge"]'
    assert CliRunner().invoke(app, ["grand-challenge", "--help"]).exit_code == 0
    default = inspect.signature(command).parameters["models"].default
    assert f"COPY ${{MODELS}} {default}\n" in recipe()
