"""Hardness correlation r and captured negative softmax mass against the number of synthetic identities.

Peers: NPCFace, Fig. 3, where r falls below zero as the data set grows; Partial FC, a random 10 % of the classes.
Limit: all classes hold 100 % of the mass; a random 10 % holds 10 % on average.

    python benchmarks/identities.py --population 100000 --sizes 1000,3000,10000,30000,100000 --out identities

Data sets of growing size are sampled from one population: families of 50 with samples around their own center, families
with samples that resemble another member, and no families. Writes OUT.html (the figure) and OUT.csv.
"""

import time
from pathlib import Path

from common import parser

from workbench.core.tables import write_csv
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
    """One row for each size: name, C, r, misclassified, mass in each queue, mass in the random 10 %."""
    columns = study.classes, study.r, study.count, *study.captured.T, study.random
    return [[name, *(value.item() for value in line)] for line in zip(*columns, strict=True)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--population", type=int, default=100_000, help="identities to sample from")
    arguments.add_argument("--sizes", default="1000,3000,10000,30000,100000", help="identities of the data sets")
    arguments.add_argument("--dim", type=int, default=512, help="embedding dimension")
    arguments.add_argument("--samples", type=int, default=512, help="samples of each data set")
    arguments.add_argument(
        "--within", type=float, default=0.6, help="angle from a sample to its center, or to the arc between two (rad)"
    )
    arguments.add_argument("--queues", default="32,64", help="lengths K of the queues")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", type=Path, default=Path("identities"), help="path of the files, without ending")
    options = arguments.parse_args()
    sizes, K = ([int(number) for number in text.split(",")] for text in (options.sizes, options.queues))
    studies, lines = {}, []
    for name, kind in KINDS.items():
        start = time.perf_counter()
        settings = {"within": options.within, "seed": options.seed} | kind
        population = families(options.population, options.dim, **settings)
        studies[name] = scale(population, sizes, options.samples, K, seed=options.seed)
        print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
        lines += rows(name, studies[name])
    head = ["identities", "C", "r", "misclassified", *(f"captured by K = {k}" for k in K), "random 10 %"]
    print("  ".join(head))
    for name, C, r, count, *mass in lines:
        print(f"{name:26s}{C:>10,}{r:>8.2f}{count:>6d}" + "".join(f"{share:>9.1%}" for share in mass))
    write_csv(options.out.with_suffix(".csv"), [head, *lines])
    scale_figure(studies).write_html(options.out.with_suffix(".html"), include_plotlyjs=True, config=CONFIG)
    print(f"{options.out.with_suffix('.html')} and {options.out.with_suffix('.csv')}")


if __name__ == "__main__":
    main()
