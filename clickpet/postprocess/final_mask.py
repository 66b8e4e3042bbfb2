"""The final lesion mask: all of post-processing in its order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from clickpet.clicks.model import Clicks
from clickpet.errors import InputError
from clickpet.geometry import voxel_volume_ml
from clickpet.postprocess.honoured_clicks import honour_clicks
from clickpet.postprocess.options import PostprocessOptions
from clickpet.postprocess.sharing_clicks import enclosing_voxels
from clickpet.postprocess.specks import drop_faint_specks
from clickpet.postprocess.weak_components import drop_weak_components


@dataclass(frozen=True, eq=False)
class FinalMask:
    """mask : bool (x, y, z), the lesions;  record : what clicks did to it, as `postprocess.json` holds it.

    record : with `honour_clicks` that of `clickpet.postprocess.honoured_clicks.honour_clicks`; with `min_unclicked_ml`
    "emptied_ml", the volume of a mask that was emptied, else 0.
    """

    mask: np.ndarray
    record: dict = field(default_factory=dict)


def post_process(
    mask: np.ndarray,
    suv: np.ndarray,
    affine: np.ndarray,
    options: PostprocessOptions,
    *,
    clicks: Clicks | None = None,
    probability: np.ndarray | None = None,
) -> FinalMask:
    """The lesions of a study from the network's mask. Paper, section 2.2, "Post-Processing", and options beyond it.

    mask : (x, y, z), non-zero is lesion, left untouched;  suv : float (x, y, z), g/ml;  affine : (4, 4), voxel to RAS
    mm;  clicks : that the mask was made with, needed where `options.needs_clicks`;  probability : float32
    (components,), mean lesion probability of each component (`mean_of_components`), needed where
    `options.needs_probability`.

    In this order: weak components go (SUVmax or probability; from tumour click `component_limits_after_click` on); tiny
    faint ones go; clicks are honoured; what is smaller than `min_unclicked_ml` is emptied if nobody clicked a tumour.
    Where clicks are honoured, components with or around a tumour click never go by the first two. With the default
    options it is `drop_faint_specks`.

    Raises InputError for shapes that differ, clicks or probabilities that are missing, and clicks outside the grid.
    """
    if clicks is None and options.needs_clicks:
        raise InputError(
            "post-processing needs the clicks of the study",
            mend="give them, or leave out postprocess.honour_clicks, min_unclicked_ml, component_limits_after_click",
        )
    protected = None
    if options.honour_clicks:
        protected = np.concatenate([clicks.tumor, enclosing_voxels(mask, clicks.tumor)])
    first = options.component_limits_after_click
    if options.limits_components and (first == 0 or len(clicks.of_kind("tumor")) >= first):
        mask = drop_weak_components(
            mask,
            suv,
            min_suv_max=options.min_component_suv_max,
            min_probability=options.min_component_probability,
            probability=probability,
            protected=protected,
        )
    kept = drop_faint_specks(
        mask,
        suv,
        min_voxels=options.min_voxels,
        min_suv_max=options.min_suv_max,
        min_volume_mm3=options.min_volume_mm3,
        affine=affine,
        protected=protected,
    )
    record = {}
    if options.honour_clicks:
        kept, record = honour_clicks(kept, suv, clicks, affine, grow_share=options.grow_share, grow_ml=options.grow_ml)
    if options.min_unclicked_ml > 0:
        record["emptied_ml"] = 0.0
        found_ml = int(np.count_nonzero(kept)) * voxel_volume_ml(affine)
        if not len(clicks.tumor) and 0 < found_ml < options.min_unclicked_ml:
            kept, record["emptied_ml"] = np.zeros_like(kept), found_ml
    return FinalMask(kept, record)
