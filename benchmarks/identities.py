"""What the number of identities changes, on synthetic identities: hardness correlation and captured negative mass.

    python benchmarks/identities.py [--population 100000] [--sizes 1000,3000,10000,...] [--dim 512] [--out identities]

Data sets of growing size are drawn from one population, once of families of 50 whose samples lie around their own
center, once of families whose samples look like another member, twice without families. Writes OUT.html (the figure)
and OUT.csv. NPCFace sees r fall below zero, the more so the larger the data set (Fig. 3).
"""

import argparse
import csv
import time
from pathlib import Path

from workbench.data.identities import families
from workbench.probes.scale import ScaleStudy, scale
from workbench.views.scale import scale_figure
from workbench.views.theme import CONFIG

KINDS = {
    "families, own center": {},
    "families, look-alikes": {"toward": 1.0},
    "no families": {"family": 1},
    "no families, far samples": {"family": 1, "within": 1.35},
}


def rows(name: str, study: ScaleStudy) -> list[list]:
    """One line a size: name, C, r, misclassified, the mass in each queue, the mass in the random share."""
    columns = study.classes, study.r, study.count, *study.captured.T, study.random
    return [[name, *(value.item() for value in line)] for line in zip(*columns, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description="What the number of identities changes.")
    parser.add_argument("--population", type=int, default=100_000)
    parser.add_argument("--sizes", default="1000,3000,10000,30000,100000")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--within", type=float, default=0.6, help="rad from a sample to its center, or to the arc")
    parser.add_argument("--queues", default="32,64")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("identities"))
    given = parser.parse_args()
    sizes, K = ([int(number) for number in text.split(",")] for text in (given.sizes, given.queues))
    studies, lines = {}, []
    for name, kind in KINDS.items():
        began = time.perf_counter()
        settings = {"within": given.within, "seed": given.seed} | kind
        population = families(given.population, given.dim, **settings)
        studies[name] = scale(population, sizes, given.samples, K, seed=given.seed)
        print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)
        lines += rows(name, studies[name])
    head = ["identities", "C", "r", "misclassified", *(f"captured by K = {k}" for k in K), "random 10 %"]
    print("  ".join(head))
    for name, C, r, count, *mass in lines:
        print(f"{name:26s}{C:>10,}{r:>8.2f}{count:>6d}" + "".join(f"{share:>9.1%}" for share in mass))
    with given.out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *lines])
    scale_figure(studies).write_html(given.out.with_suffix(".html"), include_plotlyjs=True, config=CONFIG)
    print(f"{given.out.with_suffix('.html')} and {given.out.with_suffix('.csv')} are written")


if __name__ == "__main__":
    main()
