"""Whether a PET header says that the reconstruction was corrected for attenuation."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOT_CORRECTED = re.compile(r"\s*(?:NONE|NO\b|NOT\b|OFF\b|NAC\b|UNCORRECTED)")


def attenuation_corrected(corrected_image: Sequence[str], method: str) -> bool | None:
    """True, False, or None where the header does not tell.

    corrected_image : codes of CorrectedImage (0028,0051);  method : AttenuationCorrectionMethod (0054,1101).
    A method that says "none" outweighs the code ATTN: uncorrected series often keep the codes of the corrected one.
    """
    if says_uncorrected(method):
        return False
    if corrected_image:
        return "ATTN" in corrected_image
    return True if method.strip() else None


def says_uncorrected(method: str) -> bool:
    """Whether AttenuationCorrectionMethod (0054,1101) says that nothing was corrected."""
    return bool(_NOT_CORRECTED.match(method.upper()))
