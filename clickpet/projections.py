"""Maximum projections of lines of voxels that lie along z into the columns of a picture."""

from __future__ import annotations

import numpy as np


def project_lines(lines: np.ndarray, column: np.ndarray, view: np.ndarray) -> None:
    """Put the maxima of the lines of voxels that share a column of pixels into that column of a view, in place.

    lines : (n, z);  column : int (n,), of each line;  view : (columns, z); columns that no line has stay as they are.
    """
    order = np.argsort(column, kind="stable")
    used, first = np.unique(column[order], return_index=True)
    view[used] = np.maximum.reduceat(lines[order], first, axis=0)
