"""The palette and the layout of every figure: Okabe-Ito colors, a second channel beside color, light and dark.

All colors are named here. A method has the same color and marker in every figure; T is solid, N dashed.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE, GRAY = "#D55E00", "#CC79A7", "#8A8A8A"
COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)  # of series that are not methods
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
WELL, MISCLASSIFIED = BLUE, VERMILION  # the two groups of NPCFace Fig. 4

# A family has one color, and the markers of its members differ: no two methods share both.
METHOD_STYLES = {
    "softmax": (GRAY, "circle"),
    "norm_softmax": (GRAY, "x"),
    "sphereface": (SKY, "circle"),
    "sphereface_r": (SKY, "square"),
    "cosface": (SKY, "diamond"),
    "arcface": (BLUE, "square"),
    "combined": (BLUE, "diamond"),
    "adaptiveface": (SKY, "triangle-up"),
    "adacos": (VERMILION, "x"),
    "adacos_fixed": (VERMILION, "cross"),
    "mv_am": (PURPLE, "triangle-up"),
    "mv_arc": (PURPLE, "triangle-down"),
    "arcnegface": (PURPLE, "square"),
    "curricularface": (ORANGE, "diamond-tall"),
    "recurricularface": (VERMILION, "star"),
    "npcface": (GREEN, "circle"),
    "hm_softmax": (GRAY, "triangle-up"),
    "focal_softmax": (GRAY, "triangle-down"),
    "center_loss": (GRAY, "square"),
    "triplet": (GRAY, "diamond"),
    "uniformface": (SKY, "x"),
    "circle": (PURPLE, "circle"),
    "magface": (ORANGE, "square"),
    "adaface": (ORANGE, "circle"),
    "elasticface_arc": (BLUE, "triangle-up"),
    "elasticface_cos": (SKY, "triangle-down"),
    "subcenter_arcface": (BLUE, "circle"),
    "uniface": (VERMILION, "circle"),
}
METHOD_COLORS = {method: color for method, (color, _) in METHOD_STYLES.items()}

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
INK = {False: "#1b1b1b", True: "#ececec"}
GRID = {False: "#e3e3e3", True: "#3a3a3a"}
DIVERGING = {False: (BLUE, "#f7f7f7", VERMILION), True: (SKY, "#202020", ORANGE)}  # below zero, zero, above
CONFIG = {  # of plotly; without the buttons that upload a figure
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "modeBarButtonsToRemove": ["sendDataToCloud"],
}


@dataclass(frozen=True)
class Style:
    """Label, color, marker and dash of a run, the same in every figure."""

    label: str
    color: str
    marker: str
    dash: str = "solid"


def method_style(method: str, label: str, repeat: int = 0) -> Style:
    """The style of a run of a method; repeat: the number of earlier runs of the same method."""
    return Style(label, *METHOD_STYLES.get(method, (GRAY, "circle")), DASHES[repeat % len(DASHES)])


def rgba(color: str, opacity: float) -> str:
    """A #rrggbb color with an opacity."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:.3f})"


def angle_ticks(degrees: Iterable[float], separator: str) -> dict[str, Any]:
    """Ticks of an axis in degrees whose labels also give the radians."""
    degrees = [float(d) for d in degrees]
    return {"tickvals": degrees, "ticktext": [f"{d:.0f}°{separator}{math.radians(d):.2f}" for d in degrees]}


@functools.cache
def template(dark: bool = False) -> go.layout.Template:
    """The base layout of every figure, with a transparent background. Cached: building templates is slow."""
    axis = {
        "gridcolor": GRID[dark],
        "linecolor": INK[dark],
        "zerolinecolor": GRID[dark],
        "ticks": "outside",
        "showline": True,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": INK[dark]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorscale": {"diverging": [[0.5 * i, color] for i, color in enumerate(DIVERGING[dark])]},
            "colorway": [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GRAY],
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
            "title": {"x": 0, "xanchor": "left", "font": {"size": 15}},
            "legend": {"bgcolor": "rgba(0,0,0,0)", "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GRAY, "activecolor": INK[dark]},
        }
    )
