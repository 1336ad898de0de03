"""Figures of a comparison over seeds: values with mean and interval, paired differences, a metric over a sweep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.compare.results import Comparison, Paired, verdict
from workbench.compare.statistics import LEVEL, Interval, interval, sample_std
from workbench.views.theme import GRAY, Style, method_style, rgba, template

LANE = 0.28  # rows are 1 apart; the seeds of a row keep within this of its middle
ROW, PAIR_ROW, FRAME = 50, 66, 120  # px of a row of either figure, of everything around the rows
PERCENT = f"{100 * LEVEL:.0f} %"


@dataclass(frozen=True, eq=False)
class SweepLine:
    """Values of one method over a swept parameter: at (k,), values (k, S) of S seeds, nan where a run is missing."""

    style: Style
    at: np.ndarray
    values: np.ndarray


def variant_styles(found: Comparison) -> list[Style]:
    """The style of each variant, that of its method; variants of one method differ by their row."""
    return [method_style(variant.method, variant.label) for variant in found.variants]


def rows_height(rows: int, each: int = ROW) -> int:
    """The height in px of a figure with this number of rows."""
    return each * rows + FRAME


def seeds_figure(found: Comparison, dark: bool = False) -> go.Figure:
    """A row per variant, the best on top: a point per seed, the mean and its interval.

    Points of one seed have the same offset in every row and are joined by a thin line.
    """
    figure = go.Figure(layout={"template": template(dark)})
    order, styles = [place.variant for place in found.ranking], variant_styles(found)
    heights = lanes(len(found.seeds))
    for s, seed in enumerate(found.seeds):
        figure.add_scatter(
            x=[100 * found.of(v)[s] for v in order],
            y=np.arange(len(order)) + heights[s],
            mode="lines",
            line={"color": GRAY, "width": 1},
            opacity=0.5,
            name=f"seed {seed}",
            hoverinfo="skip",
        )
    for row, v in enumerate(order):
        values, of, shown = 100 * found.of(v), interval(100 * found.of(v)), styles[v]
        figure.add_scatter(
            x=values,
            y=row + heights,
            mode="markers",
            marker={"symbol": shown.marker, "size": 8, "color": shown.color, "opacity": 0.75},
            customdata=list(found.seeds),
            hovertemplate=f"{shown.label}<br>seed %{{customdata}}: %{{x:.2f}} %<extra></extra>",
        )
        figure.add_trace(mean_mark(of, row, shown, "mean", "%"))
    title = f"{found.metric.title} on unseen identities (%), {found.metric.direction}"
    return rows_axes(figure, [found.variants[v].label for v in order], title)


def differences_figure(found: Comparison, dark: bool = False) -> go.Figure:
    """A row per pair of variants: the difference at each seed, the mean difference and its interval."""
    figure = go.Figure(layout={"template": template(dark)})
    pairs, styles = found.shown_pairs, variant_styles(found)
    heights = lanes(len(found.seeds))
    for row, pair in enumerate(pairs):
        of, mark = interval(100 * pair.differences), pair_style(found, pair, styles)
        figure.add_scatter(
            x=100 * pair.differences,
            y=row + heights,
            mode="markers",
            marker={"symbol": "circle-open", "size": 7, "color": mark.color, "opacity": 0.8},
            customdata=list(found.seeds),
            hovertemplate=f"{mark.label}<br>seed %{{customdata}}: %{{x:+.2f}} points<extra></extra>",
        )
        figure.add_trace(mean_mark(of, row, mark, verdict(found, pair), "points"))
    figure.add_vline(0, line={"color": GRAY, "width": 1.5, "dash": "dot"})
    known = [100 * np.append(pair.differences, [pair.interval.low, pair.interval.high]) for pair in pairs]
    reach = 1.08 * np.nanmax(np.abs(np.concatenate([*known, [0.01]])))
    figure.update_xaxes(range=[-reach, reach])
    names = [
        f"{found.variants[p.left].label}<br>− {found.variants[p.right].label}<br>{verdict_html(verdict(found, p))}"
        for p in pairs
    ]
    worse, better = (
        ("first is worse", "first is better") if found.metric.larger else ("first is better", "first is worse")
    )
    title = f"Difference in {found.metric.title}<br>(percentage points)<br>← {worse}     {better} →"
    return rows_axes(figure, names, title)


def verdict_html(text: str) -> str:
    """The verdict below the names of a row; bold if a difference is seen."""
    return f"<i>{text}</i>" if text.startswith("no ") else f"<b>{text}</b>"


def pair_style(found: Comparison, pair: Paired, styles: Sequence[Style]) -> Style:
    """The color of the better variant if a difference is seen, else gray."""
    label = f"{found.variants[pair.left].label} − {found.variants[pair.right].label}"
    if not pair.different:
        return Style(label, GRAY, "diamond")
    return Style(label, styles[found.better(pair)].color, "diamond")


def mean_mark(of: Interval, row: int, shown: Style, says: str, unit: str) -> go.Scatter:
    """A mean as a vertical line, with its interval as a bar."""
    bars = np.isfinite([of.low, of.high]).all()
    between = f"<br>{PERCENT} interval {of.low:.2f} to {of.high:.2f} {unit}" if bars else "<br>no interval"
    return go.Scatter(
        x=[of.mean],
        y=[row],
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 22, "color": shown.color, "line": {"width": 3}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [of.high - of.mean if bars else 0],
            "arrayminus": [of.mean - of.low if bars else 0],
            "color": shown.color,
            "thickness": 2,
            "width": 7,
        },
        hovertemplate=f"{shown.label}<br>{says}: %{{x:.2f}} {unit}{between}<extra></extra>",
    )


def lanes(seeds: int) -> np.ndarray:
    """The vertical offset (seeds,) of each seed's point from the middle of its row."""
    return np.linspace(-LANE, LANE, seeds) if seeds > 1 else np.array([LANE])


def rows_axes(figure: go.Figure, names: Sequence[str], title: str) -> go.Figure:
    """Rows from top to bottom with their names, without a legend."""
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text=title, zeroline=False)
    return figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=list(names), range=[len(names) - 0.45, -0.55], zeroline=False
    )


def sweep_figure(lines: Sequence[SweepLine], x_title: str, y_title: str, dark: bool = False) -> go.Figure:
    """A metric (a share, shown in %) against a swept parameter: the mean as a line, the standard deviation over the
    seeds as a band, a point per seed. Categorical values have error bars instead of a band."""
    figure = go.Figure(layout={"template": template(dark)})
    drawn = [trace for line in lines for trace in sweep_traces(line, 0.3 / (1 + len(lines)))]
    figure.add_traces(sorted(drawn, key=lambda trace: trace.mode != "none"))  # bands below everything
    figure.update_xaxes(title_text=x_title, zeroline=False)
    return figure.update_yaxes(title_text=y_title)


def sweep_traces(line: SweepLine, opacity: float) -> Iterator[go.Scatter]:
    """Band, seeds and mean of one line, without the values that have no finished run."""
    known = np.isfinite(line.values).any(axis=1)
    at, values = line.at[known], 100 * line.values[known]
    mean, std = np.nanmean(values, axis=1), np.array([sample_std(row) for row in values])
    numbers = at.dtype.kind == "f"
    group = {"legendgroup": line.style.label, "name": line.style.label}
    if numbers and np.isfinite(std).all():
        edge = np.concatenate([mean + std, (mean - std)[::-1]])
        band = {"fill": "toself", "fillcolor": rgba(line.style.color, opacity), "hoverinfo": "skip"}
        yield go.Scatter(x=np.concatenate([at, at[::-1]]), y=edge, mode="none", showlegend=False, **band, **group)
    seeds = np.tile(np.arange(values.shape[1]), len(at))
    yield go.Scatter(
        x=np.repeat(at, values.shape[1]),
        y=values.ravel(),
        customdata=seeds,
        mode="markers",
        marker={"symbol": "circle", "size": 4, "color": line.style.color, "opacity": 0.55},
        showlegend=False,
        hovertemplate=f"{line.style.label}<br>%{{x}}, seed %{{customdata}}: %{{y:.2f}} %<extra></extra>",
        **group,
    )
    yield go.Scatter(
        x=at,
        y=mean,
        customdata=std,
        mode="lines+markers" if numbers else "markers",
        line={"color": line.style.color, "width": 2.5, "dash": line.style.dash},
        marker={"symbol": line.style.marker, "size": 10, "color": line.style.color},
        error_y=None if numbers else {"type": "data", "array": std, "color": line.style.color},
        hovertemplate=f"{line.style.label}<br>%{{x}}: %{{y:.2f}} ± %{{customdata:.2f}} %<extra></extra>",
        **group,
    )
