"""Misclassified samples' cosine to the nearest other center against the feature dimension (NPCFace, Fig. 5).

    python benchmarks/feature_dimension.py [--dims 32,64,128,256,512] [--steps 600] [--method npcface] [--out dimension]

Trains one network a dimension on the embedded heads, alike but for D, and writes OUT.html (the figure) and OUT.csv (the
histograms). The paper sees almost the same distribution for every D from 128 to 1,024.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch

from workbench.core.record import Snapshot
from workbench.data.images import load
from workbench.probes.dimension import DimensionSimilarity, dimension
from workbench.training.config import Config
from workbench.training.fit import Job, fit, snapshot
from workbench.views.dimension import dimension_figure
from workbench.views.theme import CONFIG

BINS = 40


def trained(config: Config, images: np.ndarray, labels: np.ndarray) -> Snapshot:
    """The sphere, with every training image on it, after training by `config`."""
    job = Job.start(config, int(labels.max()) + 1, images.shape[1])
    for _ in fit(job, images, labels, config.schedule()):
        pass
    return snapshot(job, images, labels)


def write_csv(result: DimensionSimilarity, path: Path) -> None:
    """One line a dimension: D, misclassified samples, all samples, mean cosine, and the share in each bin."""
    head = ["D", "misclassified", "samples", "mean", *(f"from {edge:.3g}" for edge in result.edges[:-1])]
    columns = (result.dims, result.count, result.samples, result.mean, *result.nearest.T)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *zip(*columns, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Hard negatives against the feature dimension.")
    parser.add_argument("--dims", default="32,64,128,256,512")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--size", type=int, default=32, help="px")
    parser.add_argument("--method", default="npcface")
    parser.add_argument("--backbone", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("dimension"))
    given = vars(parser.parse_args())
    torch.set_num_threads(given.pop("threads"))
    dims, out = [int(dim) for dim in given.pop("dims").split(",")], given.pop("out")
    data = load("heads", given["size"])
    seen = {}
    for dim in dims:
        began = time.perf_counter()
        seen[dim] = trained(Config(dim=dim, device="cpu", **given), data.images, data.labels)
        print(f"D = {dim:4d}: trained {given['steps']} steps in {time.perf_counter() - began:.1f} s", flush=True)
    result = dimension(seen, BINS)
    for k, dim in enumerate(result.dims):
        print(f"D = {dim:4d}: {result.share[k]:6.1%} misclassified, mean cosine {result.mean[k]:.3f}")
    print(f"overlap of all: {result.overlap:.2f}")
    write_csv(result, out.with_suffix(".csv"))
    dimension_figure(result).write_html(out.with_suffix(".html"), include_plotlyjs=True, config=CONFIG)
    print(f"{out.with_suffix('.html')} and {out.with_suffix('.csv')} are written")


if __name__ == "__main__":
    main()
