"""PET nuclides: half-lives, and injected activities per kg of body weight that occur in people."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Half-lives that differ by less than this part are the same.
HALF_LIFE_TOLERANCE = 0.02


@dataclass(frozen=True)
class Nuclide:
    """A positron emitter.

    name : mass number and symbol;  stem : how the element's English name begins;
    mbq_per_kg : least and most injected activity.
    """

    name: str
    half_life_s: float
    stem: str
    mbq_per_kg: tuple[float, float]

    def has_half_life(self, half_life_s: float) -> bool:
        return abs(half_life_s / self.half_life_s - 1) <= HALF_LIFE_TOLERANCE

    def is_named_in(self, text: str) -> bool:
        """Whether text such as "^18^Fluorine", "F-18" or "18F" names it."""
        number, symbol = re.fullmatch(r"(\d+)(\w+)", self.name.lower()).groups()
        words = re.findall(r"[a-z]+", text.lower())
        return number in re.findall(r"\d+", text) and any(
            word == symbol or word.startswith(self.stem) for word in words
        )


# Half-lives: Decay Data Evaluation Project. Activities: from low-dose protocols of total-body scanners to the largest
# single injections of published protocols, in people from newborns to 150 kg.
NUCLIDES = (
    Nuclide("18F", 6586.2, "fluor", (0.6, 20.0)),
    Nuclide("68Ga", 4057.7, "gallium", (0.4, 10.0)),
    Nuclide("11C", 1221.8, "carbon", (1.0, 30.0)),
    Nuclide("13N", 597.9, "nitrogen", (2.0, 30.0)),
    Nuclide("15O", 122.24, "oxygen", (2.0, 60.0)),
    Nuclide("82Rb", 75.45, "rubidium", (3.0, 60.0)),
    Nuclide("64Cu", 45721.0, "copper", (0.4, 10.0)),
    Nuclide("61Cu", 12020.0, "copper", (0.4, 10.0)),
    Nuclide("44Sc", 14551.0, "scandium", (0.3, 10.0)),
    Nuclide("86Y", 53064.0, "yttrium", (0.3, 10.0)),
    Nuclide("89Zr", 282276.0, "zirconium", (0.1, 5.0)),
    Nuclide("124I", 360806.0, "iod", (0.1, 10.0)),
)
#: Injected activity of a nuclide that is not told.
ANY_MBQ_PER_KG = (0.1, 60.0)
#: Half-lives (s) outside of this are those of no nuclide that PET is made with.
HALF_LIVES_S = (60.0, 1e6)


def nuclide_named(text: str) -> Nuclide | None:
    """The nuclide that a text names; None where it names none, or several."""
    found = [nuclide for nuclide in NUCLIDES if nuclide.is_named_in(text)]
    return found[0] if len(found) == 1 else None


def nuclide_by_half_life(half_life_s: float) -> Nuclide | None:
    """The nuclide of a half-life."""
    return next((nuclide for nuclide in NUCLIDES if nuclide.has_half_life(half_life_s)), None)


def likely_half_life(value: float, named: Nuclide | None) -> str:
    """Which nuclide and unit a value is likely to be that is no half-life in seconds; "" where it fits none.

    named : the nuclide that the header names, if any.
    """
    for unit, seconds in (("minutes", 60.0), ("hours", 3600.0), ("milliseconds", 1e-3), ("days", 86400.0)):
        for nuclide in (named,) if named else NUCLIDES:
            if nuclide.has_half_life(value * seconds):
                return f"that of {nuclide.name} in {unit}"
    return ""
