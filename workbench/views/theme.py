"""The one look of every figure: Okabe-Ito colours, a second channel beside colour, light and dark.

The same method has the same colour and marker everywhere; T is solid, N dashed; positives are circles,
negatives crosses.
"""

from dataclasses import dataclass

import plotly.graph_objects as go

ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE, GREY = "#D55E00", "#CC79A7", "#8A8A8A"
WELL, MISCLASSIFIED = BLUE, VERMILION  # NPCFace Fig. 4's two groups

# A family has a colour, and a marker tells its members apart: no two methods share both.
METHOD_COLOURS = {
    "softmax": GREY,
    "norm_softmax": GREY,
    "sphereface": SKY,
    "sphereface_r": SKY,
    "cosface": SKY,
    "arcface": BLUE,
    "combined": BLUE,
    "adaptiveface": SKY,
    "adacos": VERMILION,
    "adacos_fixed": VERMILION,
    "mv_am": PURPLE,
    "mv_arc": PURPLE,
    "arcnegface": PURPLE,
    "curricularface": ORANGE,
    "recurricularface": VERMILION,
    "npcface": GREEN,
    "hm_softmax": GREY,
    "focal_softmax": GREY,
    "center_loss": GREY,
    "triplet": GREY,
    "uniformface": SKY,
    "circle": PURPLE,
    "magface": ORANGE,
    "adaface": ORANGE,
    "elasticface_arc": BLUE,
    "elasticface_cos": SKY,
    "subcenter_arcface": BLUE,
    "uniface": VERMILION,
}
METHOD_MARKERS = {
    "softmax": "circle",
    "norm_softmax": "x",
    "sphereface": "circle",
    "sphereface_r": "square",
    "cosface": "diamond",
    "arcface": "square",
    "combined": "diamond",
    "adaptiveface": "triangle-up",
    "adacos": "x",
    "adacos_fixed": "cross",
    "mv_am": "triangle-up",
    "mv_arc": "triangle-down",
    "arcnegface": "square",
    "curricularface": "diamond-tall",
    "recurricularface": "star",
    "npcface": "circle",
    "hm_softmax": "triangle-up",
    "focal_softmax": "triangle-down",
    "center_loss": "square",
    "triplet": "diamond",
    "uniformface": "x",
    "circle": "circle",
    "magface": "square",
    "adaface": "circle",
    "elasticface_arc": "triangle-up",
    "elasticface_cos": "triangle-down",
    "subcenter_arcface": "circle",
    "uniface": "circle",
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
DIVERGING = {False: (BLUE, "#f7f7f7", VERMILION), True: (SKY, "#202020", ORANGE)}  # below zero, zero, above

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
            "colorscale": {"diverging": [[0.5 * i, colour] for i, colour in enumerate(DIVERGING[dark])]},
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
