"""SimilaritiesView: histograms of the cosines of sample pairs, or to the own class center, with error rates."""

import functools
import math
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from workbench.core.record import Snapshot
from workbench.evaluation.verification import all_pairs
from workbench.panels.kit.chart import BLUE, GRAY, GREEN, PURPLE, VERMILION, Chart, ChartAxis, Span, bars, readings
from workbench.panels.kit.selection import Selection
from workbench.panels.kit.view import LiveView
from workbench.probes.hardness import own_and_nearest
from workbench.probes.pairs import pair_similarity
from workbench.probes.similarity import similarity

MAX_SAMPLES = 500  # samples whose pairs are compared, 124,750 pairs at most
FAR = 0.01  # false accept rate of the initial threshold
MODES = [("Genuine and impostor pairs", "pairs"), ("Well-classified and misclassified samples", "own")]


@dataclass(frozen=True, eq=False)
class Histogram:
    """One histogram. fractions (bins,): of all its values; lit (bins,): of those that are not grayed out."""

    name: str
    color: int
    fractions: np.ndarray
    lit: np.ndarray


class SimilaritiesView(LiveView):
    """Two histograms of cosines, their overlap, and a threshold set by the pointer or the arrow keys.

    Mode "pairs": cosines of sample pairs; the threshold gives FAR and TAR. Mode "own": cosines to the own class center
    (NPCFace, Fig. 4); the threshold gives the fraction of each group at or above it, and dragging over an interval
    selects its samples. result: the last result of the probe.
    """

    def __init__(self, selection: Selection) -> None:
        self._mode = widgets.ToggleButtons(options=MODES, style={"button_width": "auto"})
        self._chart = Chart("Distribution of cosines", on_brush=self._on_brush, on_fit=self._redraw)
        self._rows: tuple[np.ndarray, np.ndarray] | None = None  # labels, and the rows compared for them
        self.result = None
        super().__init__([self._mode, self._chart], selection)
        self._mode.observe(self._on_mode, "value")

    @property
    def mode(self) -> str:
        """The cosines shown: "pairs", or "own" (to the own class center)."""
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
            if self._rows is None or self._rows[0] is not snapshot.y:
                self._rows = snapshot.y, sample_classes(snapshot.y, MAX_SAMPLES)
            rows = self._rows[1]
            self._scores, self._same = all_pairs(snapshot.x[rows], snapshot.y[rows])
            self.result = self._rates = pair_similarity(self._scores, self._same)
        else:
            cos = snapshot.cos
            self._own = own_and_nearest(cos, snapshot.y)[0]
            self.result = similarity(cos, snapshot.y)
            self._well = cos.argmax(axis=1) == snapshot.y
            self._rates = pair_similarity(self._own, self._well)

    def _draw(self, snapshot: Snapshot) -> None:
        histograms, x, columns, note = self._pairs_plot() if self.mode == "pairs" else self._samples_plot()
        result, rates = self.result, self._rates
        span = self._chart.reach("y", 0.0, max(float(h.fractions.max()) for h in histograms))
        layers = []
        if not self.lit.all():
            layers = [bars("", result.edges, h.fractions, GRAY, k == 1) for k, h in enumerate(histograms)]
        layers += [bars(h.name, result.edges, h.lit, h.color, k == 1) for k, h in enumerate(histograms)]
        start = rates.thresholds[np.argmax(rates.far <= FAR)]
        layers.append(readings(rates.thresholds, columns, start))
        overlap = "none" if math.isnan(result.overlap) else f"{result.overlap:.3f} (0: disjoint, 1: identical)"
        least = 10.0 ** math.floor(-math.log10(max(rates.n_genuine, rates.n_impostor, 2)))
        y = ChartAxis("Fraction of each group per bin", "fraction", span, least=least)
        brush = "x" if self.mode == "own" else ""
        self._chart.draw(x, y, layers, note=f"Overlap {overlap}. {note}", brush=brush)

    def _pairs_plot(self) -> tuple[list[Histogram], ChartAxis, dict[str, np.ndarray], str]:
        result, n = self.result, len(self._snapshot.y)
        rows, lit = self._rows[1], self.lit
        genuine, impostor = result.genuine, result.impostor
        if not lit.all():  # a pair is lit if one of its samples is selected
            gray = ~lit[rows]
            left, right = pair_indices(len(rows))
            dark = gray[left] & gray[right]
            rest = pair_similarity(self._scores[dark], self._same[dark])
            genuine = genuine - rest.genuine * rest.n_genuine / max(result.n_genuine, 1)
            impostor = impostor - rest.impostor * rest.n_impostor / max(result.n_impostor, 1)
        histograms = [
            Histogram(f"genuine pairs ({result.n_genuine:,})", GREEN, result.genuine, genuine),
            Histogram(f"impostor pairs ({result.n_impostor:,})", PURPLE, result.impostor, impostor),
        ]
        note = f"Every pair of all {n:,} samples."
        if len(rows) < n:
            note = f"Every pair of {len(rows):,} of the {n:,} samples: all samples of randomly chosen classes."
        x = ChartAxis("Cosine of two samples", "threshold", (-1.0, 1.0))
        return histograms, x, {"FAR": result.far, "TAR": result.tar}, note

    def _samples_plot(self) -> tuple[list[Histogram], ChartAxis, dict[str, np.ndarray], str]:
        result, lit, n = self.result, self.lit, len(self._snapshot.y)
        groups = (
            ("well-classified", BLUE, result.well, self._well),
            ("misclassified", VERMILION, result.mis, ~self._well),
        )
        histograms = [
            Histogram(
                f"{name} ({group.sum():,})",
                color,
                fractions,
                np.histogram(self._own[group & lit], result.edges)[0] / max(group.sum(), 1),
            )
            for name, color, fractions, group in groups
        ]
        columns = {
            "well-classified at or above": self._rates.tar,
            "misclassified at or above": self._rates.far,
        }
        x = ChartAxis("Cosine to the own class center", "threshold", (-1.0, 1.0))
        return histograms, x, columns, f"All {n:,} samples. Drag over an interval to select its samples."

    def _on_brush(self, box: tuple[Span, Span] | None) -> None:
        with self._lock:
            if self.mode != "own" or self._snapshot is None:
                return
            inside = [] if box is None else np.flatnonzero((self._own >= box[0][0]) & (self._own <= box[0][1]))
        self._selection.samples = tuple(inside)


@functools.lru_cache(maxsize=2)
def pair_indices(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The sample indices (left, right) of the n(n-1)/2 pairs of `all_pairs`; cached, since it is as slow as drawing."""
    return np.triu_indices(n, 1)


def sample_classes(y: np.ndarray, limit: int) -> np.ndarray:
    """Indices of all samples of randomly chosen classes, at most `limit` but at least two classes. Deterministic."""
    if len(y) <= limit:
        return np.arange(len(y))
    ids, counts = np.unique(y, return_counts=True)
    order = np.random.default_rng(0).permutation(len(ids))
    count = max(2, int(np.searchsorted(counts[order].cumsum(), limit, side="right")))
    return np.flatnonzero(np.isin(y, ids[order[:count]]))
