"""The MIPs of a PET as a picture for people: coronal and sagittal side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clickpet.errors import InputError
from clickpet.files import replacing

#: Screen pixels of an edge of a MIP pixel, and of the gap between both views.
_ZOOM = 2
_GAP_PX = 8


def save_mip_png(path: str | Path, coronal: np.ndarray, sagittal: np.ndarray, *, suv_max: float = 10.0) -> None:
    """Write both projections side by side as a PNG: SUV 0 white, `suv_max` and more black.

    coronal, sagittal : (size, size), SUV, as `clickpet.tracer.mip.render_mip` gives them.
    """
    from PIL import Image, ImageDraw

    if not suv_max > 0:
        raise InputError(f"suv_max is {suv_max}", mend="give the SUV that is to be black")
    halves = []
    for picture, letters in ((coronal, "RL"), (sagittal, "AP")):
        grey = 255 - np.round(np.clip(np.nan_to_num(picture), 0, suv_max) * (255 / suv_max)).astype(np.uint8)
        grey = grey.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
        half = Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
        draw = ImageDraw.Draw(half)
        draw.text((4, 4), letters[0], fill=(90, 90, 90))
        draw.text((half.width - 12, 4), letters[1], fill=(90, 90, 90))
        halves.append(half)
    sheet = Image.new(
        "RGB", (halves[0].width + _GAP_PX + halves[1].width, max(half.height for half in halves)), "white"
    )
    sheet.paste(halves[0], (0, 0))
    sheet.paste(halves[1], (halves[0].width + _GAP_PX, 0))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
