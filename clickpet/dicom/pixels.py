"""Pixel values of the slices of a series: decoding, rescaling, padding."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from pydicom.config import disable_value_validation

from clickpet.dicom.catalogue import Series
from clickpet.dicom.files import read_dataset
from clickpet.dicom.values import header_integer, header_number, header_text
from clickpet.errors import InputError

#: What decoding a slice needs.
_PIXEL_KEYWORDS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
#: CT value that stands for "outside the field of view".
AIR_HU = -1024.0


def slice_values(series: Series, index: int, factor: float) -> np.ndarray:
    """Rescaled pixels (rows, columns), float32."""
    header, file = series.headers[index], series.files[index]
    slope, intercept = (header_number(header, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or not np.isfinite(slope) or slope == 0:
        raise InputError("RescaleSlope (0028,1053) is missing or 0", where=file, mend="export the series again")
    if intercept is None and header_text(header, "RescaleIntercept"):
        raise InputError("RescaleIntercept (0028,1052) is no number", where=file, mend="export the series again")
    intercept = intercept or 0.0
    pixels = stored_pixels(file)
    if pixels.shape != (header_integer(header, "Rows"), header_integer(header, "Columns")):
        raise InputError("its pixels are no grey-value slice", where=file, mend="give a series of grey-value slices")
    values = pixels.astype(np.float32) * np.float32(slope * factor) + np.float32(intercept * factor)
    if series.modality == "CT":
        padding = header_number(header, "PixelPaddingValue")
        if padding is not None:
            limit = header_number(header, "PixelPaddingRangeLimit")
            edges = sorted((padding, padding if limit is None else limit))
            values[(pixels >= edges[0]) & (pixels <= edges[1])] = AIR_HU
    return values


def stored_pixels(file: Path) -> np.ndarray:
    """Stored pixel values; whatever transfer syntax pydicom and its plug-ins decode."""
    syntax = "unknown transfer syntax"
    try:
        dataset = read_dataset(file, keywords=_PIXEL_KEYWORDS)
        syntax = dataset.file_meta.TransferSyntaxUID.name
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            return dataset.pixel_array
    except Exception as error:  # decoders raise whatever they like
        raise InputError(
            f"its pixels cannot be decoded ({syntax}, {type(error).__name__})",
            where=file,
            mend="copy the file again, or export the series uncompressed",
        ) from None
