"""Slice files that are empty, cut or zeroed: told by name, and charged to the series that they belong to."""

import shutil
from pathlib import Path

import pytest
from dicom_maker import write_rtstruct, write_series

from clickpet.dicom.catalogue import find_series
from clickpet.dicom.damage import attribute_damage
from clickpet.dicom.series import choose_pet_ct, load_ct, load_suv
from clickpet.errors import InputError

HARM = {
    "0 bytes": lambda content: b"",
    "cut in the preamble": lambda content: content[:100],
    "cut after 300 bytes": lambda content: content[:300],
    "cut in the header": lambda content: content[:900],
    "all zeros": lambda content: bytes(len(content)),
    "zeros from the middle of the header on": lambda content: content[:700] + bytes(len(content) - 700),
    "zeros at the beginning": lambda content: bytes(1000) + content[1000:],
    "text": lambda content: b"404 not found\n" * 20,
}


def harm(path, kind):
    path.write_bytes(HARM[kind](path.read_bytes()))


@pytest.mark.parametrize("kind", HARM)
@pytest.mark.parametrize("index", [0, 4, 7])
def test_a_damaged_slice_is_named_wherever_it_lies(tmp_path, kind, index):
    write_series(tmp_path / "pet")
    path = tmp_path / "pet" / f"pt{index:03d}.dcm"
    harm(path, kind)
    with pytest.raises(InputError, match=path.name) as caught:
        load_suv(tmp_path / "pet")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=path.name):
        load_suv(next(file for file in sorted((tmp_path / "pet").iterdir()) if file != path))


@pytest.mark.parametrize("name", ["IM0003", "1.2.840.113619.7", "0a1b2c3d4e5f", "slice 3.ima", "CT.1.2.99.dcm"])
@pytest.mark.parametrize("kind", ["0 bytes", "all zeros"])
def test_names_of_slices_in_archives(tmp_path, name, kind):
    write_series(tmp_path, modality="CT")
    pattern = {"IM0003": "IM{:04d}", "1.2.840.113619.7": "1.2.840.113619.{}", "0a1b2c3d4e5f": "{:02d}ffa1b2c3d4",
               "slice 3.ima": "slice {}.ima", "CT.1.2.99.dcm": "CT.1.2.{}.dcm"}[name]  # fmt: skip
    for index, file in enumerate(sorted(tmp_path.iterdir())):
        file.rename(tmp_path / pattern.format(index + 20))
    assert load_ct(tmp_path).shape[2] == 8
    (tmp_path / name).write_bytes(b"" if kind == "0 bytes" else bytes(5000))
    with pytest.raises(InputError, match="lies among the slices of a series and") as caught:
        load_ct(tmp_path)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "notes.txt", "._pt003.dcm", "README", "checksums.md5", "report.pdf", "done"]
)
@pytest.mark.parametrize("content", [b"", bytes(5000), b"hello"])
def test_other_files_are_passed_over(tmp_path, name, content):
    write_series(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert load_suv(tmp_path)[0].shape[2] == 8


@pytest.mark.parametrize("kind", ["0 bytes", "cut after 300 bytes", "all zeros"])
def test_a_damaged_series_does_not_hide_a_good_one(tmp_path, kind):
    write_series(tmp_path / "pet")
    write_series(tmp_path / "bad", modality="CT", name="bad", number=2)
    write_series(tmp_path / "good", modality="CT", name="good", number=3)
    harm(tmp_path / "bad" / "ct005.dcm", kind)
    pet, ct, reasons = choose_pet_ct(tmp_path)
    assert (pet.folder.name, ct.folder.name) == ("pet", "good")
    assert any("ct005.dcm" in reason for reason in reasons)
    assert load_suv(tmp_path)[0].shape[2] == load_ct(tmp_path).shape[2] == 8


def test_a_damaged_file_elsewhere_does_not_matter_unless_nothing_is_left(tmp_path):
    write_series(tmp_path / "pet")
    write_series(tmp_path / "other")
    harm(tmp_path / "other" / "pt000.dcm", "cut after 300 bytes")
    for file in sorted((tmp_path / "other").iterdir())[1:]:
        file.unlink()
    assert load_suv(tmp_path)[0].shape[2] == 8
    shutil.rmtree(tmp_path / "pet")
    with pytest.raises(InputError, match=r"pt000\.dcm: is a damaged DICOM file"):
        load_suv(tmp_path)


def test_the_better_corrected_pet_is_not_replaced_by_a_worse_one(tmp_path):
    write_series(tmp_path / "ac", name="ac")
    write_series(tmp_path / "nac", name="nac", CorrectedImage=["DECY"])
    harm(tmp_path / "ac" / "pt007.dcm", "0 bytes")
    with pytest.raises(InputError, match=r"ac/pt007\.dcm"):
        load_suv(tmp_path)


def test_one_folder_with_several_series(tmp_path):
    """Names follow each other: a damaged file belongs to its neighbours' series."""
    write_series(tmp_path / "p")
    write_series(tmp_path / "c", modality="CT")
    for place, file in enumerate([*sorted((tmp_path / "p").iterdir()), *sorted((tmp_path / "c").iterdir())]):
        file.rename(tmp_path / f"IM{place + 1}")
    write_rtstruct(tmp_path / "rs.dcm", {})
    harm(tmp_path / "IM11", "0 bytes")
    found = {series.modality: [file.name for file, _ in series.damaged] for series in find_series(tmp_path)}
    assert found == {"PT": [], "CT": ["IM11"], "RTSTRUCT": []}
    assert load_suv(tmp_path)[0].shape[2] == 8
    with pytest.raises(InputError, match="IM11"):
        load_ct(tmp_path)


def test_attribution_by_neighbours_and_by_names():
    a, b = ([Path(f"x/IM{index}") for index in span] for span in (range(1, 10), range(12, 20)))
    broken = {Path("x/IM5"): "is empty", Path("x/IM10"): "is empty", Path("x/IM21"): "is empty"}
    found, _ = attribute_damage(broken, [a, b])
    assert [[file.name for file, _ in one] for one in found] == [["IM5", "IM10"], ["IM10", "IM21"]]
    mixed = [Path(f"x/{index:02d}ffa1b2c3d4") for index in range(20)]
    found, _ = attribute_damage({Path("x/0a0b0c0d0e0f"): "is empty"}, [mixed[::2], mixed[1::2]])
    assert [len(one) for one in found] == [1, 1]
    found, alone = attribute_damage({Path("y/a.dcm"): "is damaged", Path("y/b.dcm"): "is empty"}, [a])
    assert (found, alone) == ([[]], [Path("y/a.dcm")])
