"""Organ maps are made once, by one set of models, and made again when what they depend on changes."""

import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.images import Image, read_image, write_image
from clickpet.organs.cache import OrganCase, read_map, segment_missing

AFFINE = np.diag([-4.0, 4.0, 5.0, 1.0])
SETTINGS = {"fast": True, "code": "1"}


class Models:
    """Counts how often models were loaded and CTs segmented; the organ of a voxel is its HU."""

    def __init__(self, broken=None):
        self.loaded, self.segmented, self.broken = 0, [], broken

    def load(self):
        self.loaded += 1
        return self

    def organ_map_on(self, ct, shape, affine):
        level = int(ct.array[0, 0, 0])
        if level == self.broken:
            raise InputError("cannot be segmented", where=str(level))
        self.segmented.append(level)
        return np.full(shape, level, np.uint8)


def read_ct(source):
    return Image(np.full((3, 3, 3), int(source), np.float32), AFFINE)


@pytest.fixture
def cases(tmp_path):
    made = []
    for level in (2, 3, 4):
        path = tmp_path / "cases" / f"case_{level}" / "ct.nii.gz"
        write_image(path, np.full((4, 3, 2), level, np.float32), AFFINE)
        made.append(OrganCase(f"case_{level}", str(level), str(path)))
    return made


def segment(cases, folder, models, settings=SETTINGS):
    return segment_missing(
        cases, folder, settings=settings, load_segmenter=models.load, read_ct=read_ct, progress=lambda text: None
    )


def test_models_are_loaded_once_and_only_if_needed(tmp_path, cases):
    models = Models()
    keys = segment(cases[:2], tmp_path / "maps", models)
    assert (models.loaded, models.segmented) == (1, [2, 3])
    assert list(keys) == ["case_2", "case_3"]
    for case in cases[:2]:
        kept = read_map(tmp_path / "maps", case.slug, case.ct, SETTINGS)
        assert kept.array.shape == (4, 3, 2)
        assert np.all(kept.array == int(case.source))
        np.testing.assert_array_equal(kept.affine, AFFINE)
    again = Models()
    assert segment(cases[:2], tmp_path / "maps", again) == keys
    assert again.loaded == 0


def test_a_case_that_is_added_is_the_only_one_segmented(tmp_path, cases):
    segment(cases[:2], tmp_path / "maps", Models())
    models = Models()
    segment(cases, tmp_path / "maps", models)
    assert models.segmented == [4]


def test_a_job_that_failed_goes_on_where_it_stopped(tmp_path, cases):
    with pytest.raises(InputError, match="cannot be segmented"):
        segment(cases, tmp_path / "maps", Models(broken=3))
    models = Models()
    segment(cases, tmp_path / "maps", models)
    assert models.segmented == [3, 4]


def test_another_ct_or_other_settings_make_a_map_again(tmp_path, cases):
    segment(cases, tmp_path / "maps", Models())
    write_image(cases[1].ct, np.full((4, 3, 2), 9, np.float32), AFFINE)
    with pytest.raises(InputError, match="another CT or with other settings"):
        read_map(tmp_path / "maps", "case_3", cases[1].ct, SETTINGS)
    models = Models()
    segment(cases, tmp_path / "maps", models)
    assert models.segmented == [3]
    with pytest.raises(InputError, match=r"case_2\.nii\.gz: is missing"):
        read_map(tmp_path / "maps", "case_2", cases[0].ct, {**SETTINGS, "fast": False})
    segment(cases, tmp_path / "maps", models, {**SETTINGS, "fast": False})
    assert models.segmented == [3, 2, 3, 4]


def test_a_map_without_its_record_does_not_count(tmp_path, cases):
    segment(cases[:1], tmp_path / "maps", Models())
    (tmp_path / "maps" / "case_2.json").unlink()
    models = Models()
    segment(cases[:1], tmp_path / "maps", models)
    assert models.segmented == [2]
    assert read_image(tmp_path / "maps" / "case_2.nii.gz").array.any()
