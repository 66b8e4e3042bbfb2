"""A phantom patient as DICOM: PET in Bq/ml and CT, with planted names, dates and private attributes in every slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dicom_maker import PLANTED, expected_suv_factor, write_series

from clickpet.images import Image, read_image

#: Planted beside the attributes of `dicom_maker.PLANTED`: in a private block, and in an item of a sequence.
PRIVATE, NESTED = "QPLANTEDPRIVATEZZ", "QPLANTEDNESTEDZZ"
SECRETS = [*PLANTED.values(), PRIVATE, NESTED]


def write_phantom_dicom(folder: Path, *, ct: Path, suv: Path) -> None:
    """Write `folder`/pet and `folder`/ct from the volumes of a phantom patient (axes LAS).

    The PET's pixels are steps of 0.005 g/ml, the CT's whole HU.
    """
    pet, density = read_image(suv), read_image(ct)
    factor = expected_suv_factor()
    stored = np.rint(_slices(pet.array) * 200).astype(np.int16)
    write_series(folder / "pet", pixels=stored, slopes=0.005 / factor, change=_plant, **_geometry(pet))
    stored = np.rint(_slices(density.array)).astype(np.int16)
    write_series(folder / "ct", modality="CT", pixels=stored, number=2, change=_plant, **_geometry(density))


def _slices(array: np.ndarray) -> np.ndarray:
    """(slices, rows, columns): rows run to the back, columns to the left."""
    return array[:, ::-1].transpose(2, 1, 0)


def _geometry(image: Image) -> dict:
    first = image.affine @ (0, image.shape[1] - 1, 0, 1)
    x, y, z = image.spacing_mm
    return {
        "slices": image.shape[2],
        "pitch_mm": (y, x),
        "gap_mm": z,
        "origin": (-first[0], -first[1], first[2]),
    }


def _plant(dataset, index: int) -> None:
    block = dataset.private_block(0x0031, "QMAKER", create=True)
    block.add_new(0x01, "LO", PRIVATE)
    from pydicom.dataset import Dataset

    item = Dataset()
    item.PatientID, item.RequestedProcedureDescription = NESTED, NESTED
    dataset.RequestAttributesSequence = [item]
