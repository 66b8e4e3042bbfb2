"""Sliding-window inference again and again on one study, of which only tiles that see other clicks run again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b

import numpy as np
import torch

from clickpet.nnunet.nonzero_box import Box, intersection, nonzero_box, union
from clickpet.predict.ensemble_tiles import EnsembleTiles, TileOutput
from clickpet.predict.sliding_window import SlidingWindowOutput, empty_sums, mean_spread
from clickpet.predict.tiling import Start, overlap

#: What a tile sees of the clicks: its place, and a digest of the channel of clicks in it.
View = tuple[Start, bytes]


@dataclass(frozen=True, eq=False)
class KeptRun:
    """A run of `KeptTiles`.

    output : of the whole window; its arrays are those of the next run, too;  region : box of the network's grid outside
    of which nothing is other than in the run before, None if nothing is;  tiles_run : tiles that the networks saw.
    """

    output: SlidingWindowOutput
    region: Box | None
    tiles_run: int


class KeptTiles:
    """The tiles of one study with their outputs, in memory of at most `limit_bytes`.

    ensemble : runs tiles; its `read` may give other clicks in each run, but the same CT and PET;  read_clicks : gives
    the channel of clicks (z, y, x) in a box of the network's grid;  limit_bytes : for the outputs of tiles, float32;
    beside them there is one volume of `ensemble.tiles.box` (two with the spread);  same_bits : what is known of groups
    of other sizes, see `_run`; may be shared by studies of one ensemble.

    On a CPU the output equals that of `sliding_window_inference` bit for bit: a tile that runs again does so in a group
    of the same size, and the weighted sums are made anew, in the order of the tiles, where a tile has another output.
    Outputs for earlier clicks are kept as well, as long as there is room, so that taking back a click runs nothing. The
    oldest go first, earlier clicks before present ones; tiles that do not fit run again when they are needed.
    """

    def __init__(
        self,
        ensemble: EnsembleTiles,
        read_clicks: Callable[[Box], np.ndarray],
        *,
        limit_bytes: int,
        same_bits: dict[tuple, bool],
    ):
        self.ensemble, self.limit_bytes = ensemble, limit_bytes
        self.n_bytes = 0
        self._read_clicks = read_clicks
        self._same_bits = same_bits
        self._order = list(ensemble.tiles)
        self._place = {start: place for place, start in enumerate(self._order)}
        self._digests: dict[Start, bytes] = {}
        self._outputs: OrderedDict[View, TileOutput] = OrderedDict()
        self._sums: dict[Start, tuple[float, float]] = {}
        self._total, self._spread_total = empty_sums(ensemble, "cpu")

    def run(self, changed: Box | None, filled: Box | None) -> KeptRun:
        """Output with the clicks as they are now.

        changed : box of the network's grid outside of which the clicks are those of the run before (None: nowhere);
        filled : box outside of which the channel of clicks is 0 (None: it is 0 everywhere).
        After an error the next run must be one of a new KeptTiles.
        """
        changed_tiles = []
        for start in self._order:
            seen = self._digests.get(start)
            if seen is None or changed is None or intersection(self._box(start), changed) is not None:
                self._digests[start] = self._digest(start, filled)
                if self._digests[start] != seen:
                    changed_tiles.append(start)
        if not changed_tiles:
            return KeptRun(self._output(), None, 0)
        region = reduce(union, map(self._box, changed_tiles))
        tiles_run = self._sum_up(region)
        self.ensemble.free_room()
        return KeptRun(self._output(), region, tiles_run)

    def _sum_up(self, region: Box) -> int:
        """Make the weighted sums in `region` anew; returns the number of tiles that had to run."""
        where = self._inside(region)
        for total in (self._total, self._spread_total):
            if total is not None:
                total[where] = 0
        wanted = [start for start in self._order if intersection(self._box(start), region) is not None]
        views = {(start, self._digests[start]) for start in wanted}
        fresh: dict[Start, TileOutput] = {}
        tiles_run = 0
        for place, start in enumerate(wanted):
            if start not in fresh and self._view(start) not in self._outputs:
                ran = self._run(self._group(wanted[place:], fresh))
                tiles_run += len(ran)
                fresh.update(ran)
            output = fresh.pop(start, None) or self._outputs[self._view(start)]
            self._add(start, output, region)
            self._sums[start] = output.lesion_weight, output.lesion_spread
            self._keep(self._view(start), output, views)
        return tiles_run

    def _add(self, start: Start, output: TileOutput, region: Box) -> None:
        box = self._box(start)
        part = intersection(box, region)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, box, strict=True))
        where, weight = self._inside(part), self.ensemble.weight(start, inner)
        self._total[where].addcmul_(output.value[inner], weight)
        if self._spread_total is not None:
            self._spread_total[where].addcmul_(output.spread[inner], weight)

    def _group(self, starts: Sequence[Start], fresh: dict[Start, TileOutput]) -> list[Start]:
        """The first of `starts` and those after it that have no output and are to run in a group of the same size."""
        size = self._group_size(starts[0])
        missing = [
            start
            for start in starts
            if start not in fresh and self._view(start) not in self._outputs and self._group_size(start) == size
        ]
        return missing[:size]

    def _group_size(self, start: Start) -> int:
        """Tiles of the group in which the tile runs when all tiles run: the last group may be a smaller one."""
        size, number = self.ensemble.group, len(self._order)
        return number % size if self._place[start] >= number - number % size else size

    def _run(self, starts: list[Start]) -> dict[Start, TileOutput]:
        """Outputs of tiles that are to run in groups of one size, which may be more than there are.

        On a CPU the size of a group can decide how a convolution is computed, and so the last bits of its result. So
        tiles are repeated to fill the group, until a trial has shown that a smaller group gives the same bits.
        """
        size = self._group_size(starts[0])
        if self.ensemble.device.type != "cpu":
            return self._outputs_of(starts, len(starts))
        for smaller in range(len(starts), size):
            key = (smaller, size, len(self.ensemble.flips), self.ensemble.average, torch.get_num_threads())
            if key not in self._same_bits:
                exact, tried = self._outputs_of(starts, size), self._outputs_of(starts, smaller)
                self._same_bits[key] = all(exact[start].same_bits(tried[start]) for start in starts)
                return exact
            if self._same_bits[key]:
                return self._outputs_of(starts, smaller)
        return self._outputs_of(starts, size)

    def _outputs_of(self, starts: list[Start], size: int) -> dict[Start, TileOutput]:
        group = starts + starts[-1:] * (size - len(starts))
        outputs = self.ensemble.outputs(group, group=size)
        return {start: output.kept() for start, (_, output) in zip(starts, outputs, strict=False)}

    def _keep(self, view: View, output: TileOutput, needed: set[View]) -> None:
        """Keep an output if there is room beside those that are `needed` in this run."""
        if view not in self._outputs:
            self._make_room(output.n_bytes, needed)
            if self.n_bytes + output.n_bytes > self.limit_bytes:
                return
            self._outputs[view] = output
            self.n_bytes += output.n_bytes
        self._outputs.move_to_end(view)

    def _make_room(self, n_bytes: int, needed: set[View]) -> None:
        for only_earlier in (True, False):
            for view in list(self._outputs):
                if self.n_bytes + n_bytes <= self.limit_bytes:
                    return
                if view not in needed and not (only_earlier and view == self._view(view[0])):
                    self.n_bytes -= self._outputs.pop(view).n_bytes

    def _view(self, start: Start) -> View:
        return start, self._digests[start]

    def _digest(self, start: Start, filled: Box | None) -> bytes:
        """Of the channel of clicks in a tile; empty where it is 0."""
        box = intersection(self._box(start), filled)
        if box is None:
            return b""
        clicks = self._read_clicks(box) + np.float32(0)  # no negative zeros
        inner = nonzero_box([clicks])
        if not clicks[inner].any():
            return b""
        place = [number for part, span in zip(inner, box, strict=True)
                 for number in (part.start + span.start, part.stop + span.start)]  # fmt: skip
        return blake2b(np.array(place).tobytes() + clicks[inner].tobytes(), digest_size=16).digest()

    def _box(self, start: Start) -> Box:
        """The part of the tile that is in the volume, on the network's grid."""
        _, outer = overlap(start, self.ensemble.tiles)
        return tuple(
            slice(span.start + part.start, span.stop + part.start)
            for span, part in zip(outer, self.ensemble.tiles.box, strict=True)
        )

    def _inside(self, box: Box) -> Box:
        """A box of the network's grid as slices of the sums."""
        return tuple(
            slice(span.start - part.start, span.stop - part.start)
            for span, part in zip(box, self.ensemble.tiles.box, strict=True)
        )

    def _output(self) -> SlidingWindowOutput:
        sums = [0.0, 0.0]
        for start in self._order:
            for place, value in enumerate(self._sums[start]):
                sums[place] += value
        spread = None if self._spread_total is None else self._spread_total.numpy()
        return SlidingWindowOutput(
            self._total.numpy(), spread, mean_spread(*sums), self.ensemble.tiles.box, self.ensemble.batch
        )
