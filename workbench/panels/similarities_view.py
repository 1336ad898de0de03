"""SimilaritiesView: the cosines of genuine and impostor pairs, or to the own center, and what a threshold accepts."""

import functools
import math
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from workbench.core.record import Snapshot
from workbench.evaluation.verification import all_pairs
from workbench.panels.kit.chart import BLUE, GREEN, GREY, PURPLE, VERMILION, Chart, ChartAxis, Span, bars, readings
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.view import LiveView
from workbench.probes.hardness import own_and_nearest
from workbench.probes.pairs import pair_similarity
from workbench.probes.similarity import similarity

MOST = 500  # samples of which every pair is compared: 124,750 pairs
FAR = 0.01  # at which the threshold stands until a person moves it
MODES = [("Genuine and impostor pairs", "pairs"), ("Well and misclassified samples", "own")]


@dataclass(frozen=True, eq=False)
class Histogram:
    """One of the two histograms: its name and look, its shares (bins,), and those that are not greyed out."""

    name: str
    colour: int
    shares: np.ndarray
    lit: np.ndarray


class SimilaritiesView(LiveView):
    """Two histograms of cosines, their overlap, and a threshold that follows the pointer and the arrow keys.

    Of pairs it reads FAR and TAR; of samples against their own center (NPCFace, Fig. 4) the shares of either group at
    or above it, and an interval that is dragged over selects its samples. `result`: what the probe measured last.
    """

    def __init__(self, selection: Selection) -> None:
        self._mode = widgets.ToggleButtons(options=MODES, style={"button_width": "auto"})
        self._chart = Chart("Distribution of cosines", brushed=self._on_brush, fitted=self._redraw)
        self._sampled: tuple[np.ndarray, np.ndarray] | None = None
        self.result = None
        super().__init__([self._mode, self._chart], selection)
        self._mode.observe(self._on_mode, "value")

    @property
    def mode(self) -> str:
        """Which cosines: "pairs", or "own", those to the own center."""
        return self._mode.value

    @mode.setter
    def mode(self, mode: str) -> None:
        self._mode.value = mode

    def _on_mode(self, _: object) -> None:
        with self._lock:
            self._chart.fit()
            if self._snapshot is not None:
                self._measure(self._snapshot)
                self._draw(self._snapshot)

    def _measure(self, snapshot: Snapshot) -> None:
        if self.mode == "pairs":
            self._scores, self._same = all_pairs(*self._of(snapshot))
            self.result = self._rates = pair_similarity(self._scores, self._same)
        else:
            cos = snapshot.cos
            self._own = own_and_nearest(cos, snapshot.y)[0]
            self.result = similarity(cos, snapshot.y)
            self._well = cos.argmax(axis=1) == snapshot.y
            self._rates = pair_similarity(self._own, self._well)

    def _of(self, snapshot: Snapshot) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and labels of the samples that are compared: all, or those of some classes."""
        if self._sampled is None or self._sampled[0] is not snapshot.y:
            self._sampled = snapshot.y, sample_classes(snapshot.y, MOST)
        kept = self._sampled[1]
        return snapshot.x[kept], snapshot.y[kept]

    def _draw(self, snapshot: Snapshot) -> None:
        histograms, x, columns, note = self._of_pairs() if self.mode == "pairs" else self._of_samples()
        result, rates = self.result, self._rates
        span = self._chart.reach("y", 0.0, max(float(histogram.shares.max()) for histogram in histograms))
        layers = [bars("", result.edges, histogram.shares, GREY, k == 1) for k, histogram in enumerate(histograms)]
        if self._lit().all():
            layers = []
        layers += [bars(h.name, result.edges, h.lit, h.colour, k == 1) for k, h in enumerate(histograms)]
        start = rates.thresholds[np.argmax(rates.far <= FAR)]
        layers.append(readings(rates.thresholds, columns, start))
        overlap = "none" if math.isnan(result.overlap) else f"{result.overlap:.3f} (0: apart, 1: alike)"
        least = 10.0 ** math.floor(-math.log10(max(rates.n_genuine, rates.n_impostor, 2)))
        y = ChartAxis("Share of each group in a bin", "share", span, least=least)
        brush = "x" if self.mode == "own" else ""
        self._chart.draw(x, y, layers, note=f"Overlap {overlap}. {note}", brush=brush)

    def _of_pairs(self) -> tuple[list[Histogram], ChartAxis, dict[str, np.ndarray], str]:
        result, n = self.result, len(self._snapshot.y)
        kept, lit = self._sampled[1], self._lit()
        genuine, impostor = result.genuine, result.impostor
        if not lit.all():  # lit are the pairs with a selected sample: all but those between two others
            here = ~lit[kept]
            left, right = pair_indices(len(kept))
            dark = here[left] & here[right]
            rest = pair_similarity(self._scores[dark], self._same[dark])
            genuine = genuine - rest.genuine * rest.n_genuine / max(result.n_genuine, 1)
            impostor = impostor - rest.impostor * rest.n_impostor / max(result.n_impostor, 1)
        histograms = [
            Histogram(f"genuine pairs ({result.n_genuine:,})", GREEN, result.genuine, genuine),
            Histogram(f"impostor pairs ({result.n_impostor:,})", PURPLE, result.impostor, impostor),
        ]
        which = "all" if len(kept) == n else f"{len(kept):,} of the"
        note = f"Every pair of {which} {n:,} samples{'' if len(kept) == n else ', whole classes drawn at random'}."
        x = ChartAxis("Cosine of two samples", "threshold", (-1.0, 1.0))
        return histograms, x, {"FAR": result.far, "TAR": result.tar}, note

    def _of_samples(self) -> tuple[list[Histogram], ChartAxis, dict[str, np.ndarray], str]:
        result, lit, n = self.result, self._lit(), len(self._snapshot.y)
        groups = (
            ("well classified", BLUE, result.well, self._well),
            ("misclassified", VERMILION, result.mis, ~self._well),
        )
        histograms = [
            Histogram(
                f"{name} ({group.sum():,})",
                colour,
                shares,
                np.histogram(self._own[group & lit], result.edges)[0] / max(group.sum(), 1),
            )
            for name, colour, shares, group in groups
        ]
        columns = {"well classified at or above": self._rates.tar, "misclassified at or above": self._rates.far}
        x = ChartAxis("Cosine to the own center", "threshold", (-1.0, 1.0))
        return histograms, x, columns, f"All {n:,} samples; drag to select those of an interval."

    def _on_brush(self, box: tuple[Span, Span] | None) -> None:
        with self._lock:
            if self.mode != "own" or self._snapshot is None:
                return
            inside = [] if box is None else np.flatnonzero((self._own >= box[0][0]) & (self._own <= box[0][1]))
        self._selection.samples = tuple(inside)


@functools.lru_cache(maxsize=2)
def pair_indices(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Which samples each of the n(n-1)/2 pairs of `all_pairs` are of; kept, as making it takes as long as a drawing."""
    return np.triu_indices(n, 1)


def sample_classes(y: np.ndarray, most: int) -> np.ndarray:
    """Places of samples of whole classes drawn at random, always the same ones: at most so many, or all of a few."""
    if len(y) <= most:
        return np.arange(len(y))
    ids, counts = np.unique(y, return_counts=True)
    order = np.random.default_rng(0).permutation(len(ids))
    held = order[: max(2, int(np.searchsorted(counts[order].cumsum(), most, side="right")))]
    return np.flatnonzero(np.isin(y, ids[held]))
