"""Lesions and benign foci of a phantom study: where they sit, how large and how hot they are."""

from __future__ import annotations

import numpy as np

from clickpet.phantom.anatomy import COLON, Body, ureter
from clickpet.phantom.seeds import generator
from clickpet.phantom.shapes import Ellipsoid
from clickpet.phantom.tissues import TISSUE_IDS, TISSUES

#: Lesions and benign foci stay out of these.
HOT_TISSUES = (
    "cortex",
    "white_matter",
    "heart_wall",
    "kidney",
    "renal_pelvis",
    "bladder",
    "parotid_gland",
    "submandibular_gland",
    "duodenum",
)

#: Where lesions of a tracer sit: site, centre, spread (mm, uniform to both sides), both sides of the body?
SITES = {
    "fdg": (
        ("neck node", (38, 5, 585), (8, 12, 12), True),
        ("supraclavicular node", (55, 15, 540), (15, 10, 8), True),
        ("axillary node", (112, -5, 495), (10, 15, 15), True),
        ("mediastinal node", (0, -10, 455), (25, 15, 30), False),
        ("lung", (80, -5, 430), (25, 45, 60), True),
        ("liver", (60, 10, 300), (45, 40, 30), False),
        ("para-aortic node", (5, -25, 215), (25, 10, 55), False),
        ("mesenteric node", (0, 30, 140), (60, 20, 50), False),
        ("vertebra", (0, -62, 310), (5, 5, 220), False),
        ("iliac bone", (85, -25, 105), (15, 25, 30), True),
        ("beside the bladder", (52, 15, 50), (8, 15, 20), True),
        ("inguinal node", (72, 50, 15), (12, 10, 15), True),
    ),
    "psma": (
        ("prostate bed", (0, 0, 8), (15, 10, 8), False),
        ("beside the bladder", (52, 10, 50), (8, 20, 20), True),
        ("iliac node", (58, 0, 95), (15, 20, 25), True),
        ("iliac bone", (85, -25, 105), (15, 25, 30), True),
        ("para-aortic node", (5, -25, 200), (25, 10, 60), False),
        ("vertebra", (0, -62, 300), (5, 5, 220), False),
        ("rib", (118, -20, 400), (10, 50, 60), True),
        ("femur", (85, 0, -5), (8, 8, 25), True),
        ("supraclavicular node", (-50, 15, 540), (12, 10, 8), False),
        ("mediastinal node", (0, -15, 450), (20, 15, 30), False),
        ("inguinal node", (72, 50, 15), (12, 10, 15), True),
    ),
}

#: Uptake of a lesion kind (SUV, lowest and highest) and its radius (mm).
LESION_KINDS = {
    "large": ((5.0, 12.0), (17.0, 24.0)),
    "middle": ((3.5, 14.0), (11.0, 16.0)),
    "faint": ((2.4, 3.2), (10.0, 14.0)),
    "tiny": ((6.0, 16.0), (6.0, 7.5)),
}
#: Free space between two lesions, so that each stays a component of its own (mm).
LESION_GAP_MM = 16.0


def place_foci(body: Body, tissues: np.ndarray, axes) -> list[dict]:
    """Benign foci of a study: bowel and ureter activity and, at sites of lesions, unspecific uptake.

    tissues : of `paint_tissues` on the grid of `axes`.  Returns dicts with site, kind, centre_mm, radii_mm, suv.
    """
    rng = generator(body.seed, body.case, "foci")
    foci = []
    lines = [("bowel", body.bowel if rng.random() < 0.5 else COLON) for _ in range(rng.integers(3, 6))]
    lines += [("ureter", ureter(rng.choice((-1, 1)))) for _ in range(rng.integers(1, 4))]
    for kind, line in lines:
        piece = rng.integers(len(line) - 1)
        point = np.array(line[piece]) + rng.random() * np.subtract(line[piece + 1], line[piece])
        radii = rng.uniform(8, 14, 3) if kind == "bowel" else (5.5, 5.5, rng.uniform(9, 18))
        suv = rng.uniform(3.0, 9.0) if kind == "bowel" else rng.uniform(5.0, 16.0)
        foci.append(_spot(kind, kind, body.to_mm(point), radii, suv))
    for _ in range(rng.integers(1, 4)):
        spot = _find_place(body, rng, tissues, axes, foci, "unspecific", (3.0, 9.0), (8.0, 13.0))
        if spot is not None:
            foci.append(spot)
    return foci


def place_lesions(body: Body, tissues: np.ndarray, axes, foci) -> list[dict]:
    """Lesions of a study: one large, one faint, one tiny and 1 to 5 more, apart from each other and from `foci`.

    tissues : of `paint_tissues` on the grid of `axes`.  Returns dicts like `foci` with "lobes", the lesion's shapes.
    """
    rng = generator(body.seed, body.case, "lesions")
    kinds = ["large", "faint", "tiny", *["middle"] * rng.integers(1, 4), *["tiny"] * rng.integers(0, 3)]
    lesions = []
    for kind in kinds:
        suv, radius = LESION_KINDS[kind]
        lesion = _find_place(body, rng, tissues, axes, [*foci, *lesions], kind, suv, radius)
        if lesion is None:
            continue
        lesion["lobes"] = [Ellipsoid(lesion["centre_mm"], lesion["radii_mm"])]
        if kind == "large":
            turn = rng.normal(size=3)
            centre = np.array(lesion["centre_mm"]) + 0.6 * np.array(lesion["radii_mm"]) * turn / np.linalg.norm(turn)
            lesion["lobes"].append(Ellipsoid(tuple(centre), tuple(np.multiply(lesion["radii_mm"], 0.75))))
        lesions.append(lesion)
    return lesions


def _find_place(body: Body, rng, tissues, axes, taken, kind, suv, radius) -> dict | None:
    """A spot at one of the tracer's sites, inside the body, out of hot organs and apart from `taken`."""
    avoided = ("air", "couch", "airway", *HOT_TISSUES)
    forbidden = np.isin(np.arange(len(TISSUES)), [TISSUE_IDS[name] for name in avoided])
    for _ in range(200):
        site, centre, spread, paired = SITES[body.tracer][rng.integers(len(SITES[body.tracer]))]
        centre = np.array(centre) + rng.uniform(-1, 1, 3) * spread
        if paired and rng.random() < 0.5:
            centre[0] = -centre[0]
        size = rng.uniform(*radius)
        spot = _spot(site, kind, body.to_mm(centre), size * rng.uniform(0.85, 1.2, 3), rng.uniform(*suv))
        apart = all(
            np.linalg.norm(np.subtract(spot["centre_mm"], other["centre_mm"]))
            > max(spot["radii_mm"]) + 1.4 * max(other["radii_mm"]) + LESION_GAP_MM
            for other in taken
        )
        if not apart:
            continue
        reach = Ellipsoid(spot["centre_mm"], tuple(np.multiply(spot["radii_mm"], 1.4 if kind == "large" else 1.1)))
        covered = np.concatenate([tissues[part][inside] for part, inside in reach.parts(axes)])
        if covered.size and not forbidden[covered].any() and _stands_out(body, covered, spot):
            return spot
    return None


def _stands_out(body: Body, covered, spot) -> bool:
    """True if the spot's uptake is well above that of the tissue it lies in."""
    return spot["suv"] > 1.5 * float(body.uptake[covered].mean()) + 0.8


def _spot(site, kind, centre_mm, radii_mm, suv) -> dict:
    return {
        "site": site,
        "kind": kind,
        "centre_mm": tuple(float(value) for value in centre_mm),
        "radii_mm": tuple(float(value) for value in radii_mm),
        "suv": float(suv),
    }
