"""Live sessions: one more click on a whole body.

A PET/CT of 400 x 400 x 326 voxels on the network's grid, tiles of 192 and of 96 voxels, tile step 0.6, one mirrored
axis, five folds of a network that is a single 1 x 1 x 1 convolution. From scratch is `LesionEnsemble.predict` with the
heatmap of all clicks, post-processing and lesion table; live is a session that knows the clicks before. Clicks are
random voxels of the body, tumour or background. Seconds are those outside the networks; rows of tiles show tiles in
place of seconds, the median over clicks. The last row is a phantom patient with untrained networks of the demo's size,
seconds with the networks, from a click to the new mask.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_inference import SHAPE, SPACING_MM, scan

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

CLICKS = 100
#: Clicks whose seconds are measured; the others only count tiles, by a network that is not asked.
TIMED_CLICKS = 8
AFFINE = np.diag([-SPACING_MM[0], SPACING_MM[1], SPACING_MM[2], 1.0])  # as the networks see it
TILES = {192: 2, 96: 10}
#: Seconds outside the networks, on two cores.
MOST_S = 1.0


def rows():
    """Tiles and seconds of a click, with the body's box and over the whole grid; then a phantom patient."""
    ct, suv, _ = scan(SHAPE, SPACING_MM)
    for patch, goal in TILES.items():
        for body_box in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                yield from click_rows(Path(folder), ct, suv, patch, body_box, goal)
    yield phantom_row()
