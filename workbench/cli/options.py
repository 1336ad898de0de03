"""Options that several commands share: type, help text and limits, each declared once."""

from pathlib import Path
from typing import Annotated

from typer import Option

from workbench.cli.terminal import parse_path
from workbench.core.trust import trust

Method = Annotated[str, Option(help="Loss; `workbench methods` lists them.")]
Recipe = Annotated[
    str,
    Option(
        help="Recipe: small (a few hundred identities), preset (the preset's values), or as published: npcface-casia,"
        " npcface-ms1m, recurricular."
    ),
]
Data = Annotated[str, Option(help="Data: heads, heads:FILE.zip, digits, folder:PATH or npz:FILE.")]
Size = Annotated[int | None, Option(help="Image side in pixels (default: the data's).")]
Test = Annotated[float, Option(help="Fraction of the identities held out for testing, between 0 and 0.9.")]
Backbone = Annotated[
    str,
    Option(help="Network: small, mobilefacenet, resnet18, ..., timm:NAME or python:MODULE:FUNCTION.", callback=trust),
]
Width = Annotated[float, Option(help="Width multiplier of the network.")]
Dim = Annotated[int, Option(help="Embedding dimension.")]
Batch = Annotated[int | None, Option(help="Batch size in images (default: the recipe's).")]
LearningRate = Annotated[float | None, Option("--lr", help="Peak learning rate (default: the recipe's).")]
Sweep = Annotated[
    list[str] | None,
    Option(help="Sweep METHOD.PARAMETER=VALUES, such as npcface.t=1.0,1.1 or npcface.alpha=0:0.5:0.05; repeatable."),
]
Seed = Annotated[int, Option(help="Seed of weights, class centers, batches and the split.")]
Device = Annotated[str, Option(help="Device: auto, cpu or cuda.")]
SkipBroken = Annotated[bool, Option("--skip-broken", help="Skip images that cannot be read.")]
Threads = Annotated[int | None, Option(help="CPU threads (default: one per core).")]
Port = Annotated[int, Option(min=1, max=65535, help="TCP port; the next free one where it is in use.")]
Browser = Annotated[bool, Option(help="Open a browser window.")]
OutFolder = Annotated[Path | None, Option(help="Folder for CSV files and an HTML page.", parser=parse_path)]
