"""The one look of every figure: Okabe-Ito colours, a second channel beside colour, light and dark.

The same method has the same colour and marker everywhere; T is solid, N dashed; positives are circles,
negatives crosses.
"""

from dataclasses import dataclass

import plotly.graph_objects as go

ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE, GREY = "#D55E00", "#CC79A7", "#8A8A8A"
WELL, MISCLASSIFIED = BLUE, VERMILION  # NPCFace Fig. 4's two groups

METHOD_COLOURS = {
    "norm_softmax": GREY,
    "cosface": SKY,
    "arcface": BLUE,
    "mv_am": PURPLE,
    "mv_arc": PURPLE,
    "curricularface": ORANGE,
    "recurricularface": VERMILION,
    "npcface": GREEN,
}
METHOD_MARKERS = {
    "norm_softmax": "x",
    "cosface": "diamond",
    "arcface": "square",
    "mv_am": "triangle-up",
    "mv_arc": "triangle-down",
    "curricularface": "diamond-tall",
    "recurricularface": "star",
    "npcface": "circle",
}
DASHES = ("solid", "dash", "dot", "dashdot")  # tells runs of one method apart


@dataclass(frozen=True)
class Look:
    """How one run appears in every figure: its name, and colour, marker and dash."""

    label: str
    colour: str
    marker: str
    dash: str = "solid"


def look(method: str, label: str, repeat: int = 0) -> Look:
    """The look of a method's run; `repeat` counts the runs of the same method before it."""
    return Look(
        label, METHOD_COLOURS.get(method, GREY), METHOD_MARKERS.get(method, "circle"), DASHES[repeat % len(DASHES)]
    )


FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
INK = {False: "#1b1b1b", True: "#ececec"}
GRID = {False: "#e3e3e3", True: "#3a3a3a"}

# The share button of plotly's mode bar talks to a server; nothing here may.
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,
    "modeBarButtonsToRemove": ["sendDataToCloud"],
}


def template(dark: bool = False) -> go.layout.Template:
    """The layout every figure starts from: transparent paper, so that the page's own background shows."""
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
            "colorway": [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY],
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
            "title": {"x": 0, "xanchor": "left", "font": {"size": 15}},
            "legend": {"bgcolor": "rgba(0,0,0,0)", "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": INK[dark]},
        }
    )
