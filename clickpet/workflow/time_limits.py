"""Time limits of prediction jobs, from what the config lets a study take."""

from __future__ import annotations

import math
from collections.abc import Mapping

#: Minutes until a process has its libraries, its device and its networks; a shared file system may be slow.
START_MIN = 2
#: Networks of the ensemble for which the paper's voxel limits fill `time_limit_s`.
PAPER_MEMBERS = 5


def prediction_min(predict: Mapping, *, members: int, heatmaps: int = 1) -> int:
    """Minutes that a job may take on a GPU for a case at so many `heatmaps`, by `members` networks.

    predict : the config's section, with "mirroring" and "time_limit_s". By voxel limits an ensemble of five fills the
    time limit, and more or fewer networks take their share; in budget mode any number of networks may fill it.
    """
    share = PAPER_MEMBERS if predict["mirroring"] == "budget" else members
    return START_MIN + math.ceil(heatmaps * share * predict["time_limit_s"] / (60 * PAPER_MEMBERS))
