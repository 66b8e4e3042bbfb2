"""Data sets of empty files, laid out as users have them."""

from pathlib import Path

FDG = "fdg_0011f3deaf_03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-10445"
PSMA = "psma_28f9ecc106933531_2017-10-28"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def make_release(folder: Path, names, clicks=True) -> Path:
    for name in names:
        touch(folder / "imagesTr" / f"{name}_0000.nii.gz")
        touch(folder / "imagesTr" / f"{name}_0001.nii.gz")
        touch(folder / "labelsTr" / f"{name}.nii.gz")
        if clicks:
            touch(folder / "clicksTr" / f"{name}_clicks.json")
    return folder
