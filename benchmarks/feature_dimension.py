"""Cosine of misclassified samples to the nearest other center against the embedding dimension D.

Peer: NPCFace, Fig. 5, where the distribution is nearly the same for every D from 128 to 1,024.
Limit: random directions; their largest cosine to C centers is about sqrt(2 ln C / D).

    python benchmarks/feature_dimension.py --dims 32,64,128,256,512 --steps 600 --out dimension

One network for each D is trained on the embedded heads, all with the same settings. Writes OUT.html (the figure) and
OUT.csv (the histograms).
"""

import time
from pathlib import Path

import numpy as np
import torch
from common import parser

from workbench.core.record import Snapshot
from workbench.core.tables import write_csv
from workbench.data.images import load
from workbench.probes.dimension import DimensionSimilarity, dimension
from workbench.training.config import Config
from workbench.training.fit import Job, fit, snapshot
from workbench.views.dimension import dimension_figure
from workbench.views.theme import CONFIG

BINS = 40


def train_network(config: Config, images: np.ndarray, labels: np.ndarray) -> Snapshot:
    """Train by `config`; returns the embeddings of all training images and the class centers."""
    job = Job.start(config, int(labels.max()) + 1, images.shape[1])
    for _ in fit(job, images, labels, config.schedule()):
        pass
    return snapshot(job, images, labels)


def write_histograms(result: DimensionSimilarity, path: Path) -> None:
    """One row for each dimension: D, misclassified samples, all samples, mean cosine, and the share in each bin."""
    head = ["D", "misclassified", "samples", "mean", *(f"from {edge:.3g}" for edge in result.edges[:-1])]
    columns = (result.dims, result.count, result.samples, result.mean, *result.nearest.T)
    write_csv(path, [head, *zip(*columns, strict=True)])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dims", default="32,64,128,256,512", help="embedding dimensions")
    arguments.add_argument("--steps", type=int, default=600, help="training steps")
    arguments.add_argument("--size", type=int, default=32, help="image side in pixels")
    arguments.add_argument("--method", default="npcface", help="loss")
    arguments.add_argument("--backbone", default="small", help="network")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments.add_argument("--out", type=Path, default=Path("dimension"), help="path of the files, without ending")
    settings = vars(arguments.parse_args())
    torch.set_num_threads(settings.pop("threads"))
    dims, out = [int(dim) for dim in settings.pop("dims").split(",")], settings.pop("out")
    data = load("heads", settings["size"])
    snapshots = {}
    for dim in dims:
        start = time.perf_counter()
        snapshots[dim] = train_network(Config(dim=dim, device="cpu", **settings), data.images, data.labels)
        print(f"D = {dim:4d}: {settings['steps']} training steps in {time.perf_counter() - start:.1f} s", flush=True)
    result = dimension(snapshots, BINS)
    for k, dim in enumerate(result.dims):
        print(f"D = {dim:4d}: {result.share[k]:6.1%} misclassified, mean cosine {result.mean[k]:.3f}")
    print(f"overlap of all: {result.overlap:.2f}")
    write_histograms(result, out.with_suffix(".csv"))
    dimension_figure(result).write_html(out.with_suffix(".html"), include_plotlyjs=True, config=CONFIG)
    print(f"{out.with_suffix('.html')} and {out.with_suffix('.csv')}")


if __name__ == "__main__":
    main()
