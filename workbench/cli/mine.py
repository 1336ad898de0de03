"""`workbench mine`: embeddings or centers in; tables on the screen, or CSV files and a page in a folder."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workbench.core.files import make_folder, refuse_existing, write_csv
from workbench.core.progress import Progress
from workbench.mining.audit import Collection, Findings, Pairs, mine, read

SAID = 5  # findings of each kind on the screen


def run(
    path: Path,
    K: int,
    out: Path | None,
    index: str,
    device: str,
    duplicate: float | None,
    margin: float,
    pairs: int,
    seed: int,
    progress: Progress,
    say: Callable[[str], Any],
) -> None:
    """Mine one archive, say the worst findings, and write everything into `out` if given. Raises InputError."""
    if out is not None:
        refuse_existing(out)
    data = read(path)
    for note in data.notes:
        say(f"{path.name}: {note}")
    found = mine(data, K, index, device, duplicate, margin, seed, progress)
    tell(data, found, say)
    if out is not None:
        save(data, found, out, pairs, path.name)
        say(f"The page: {out / 'index.html'}")


def tell(data: Collection, found: Findings, say: Callable[[str], Any]) -> None:
    """The number of findings of each kind, and the first few by name."""
    say(f"{len(data.names)} classes, searched by {found.index}; recall {found.recall:.3f}")
    for title, pairs in (("hard pairs", found.pairs), (f"likely duplicates ({found.measured})", found.duplicates)):
        say(f"{title}: {len(pairs.a)}")
        for a, b, cos in list(zip(pairs.a, pairs.b, pairs.cosine, strict=True))[:SAID]:
            say(f"  {cos:.3f}  {data.names[a]}  {data.names[b]}")
    if found.errors is None:
        return
    e = found.errors
    say(f"likely label errors: {len(e.sample)}; alone in their class, so not judged: {found.single}")
    for i in range(min(SAID, len(e.sample))):
        names = data.names[e.label[i]], data.names[e.nearer[i]]
        cosines = f"{e.own_cosine[i]:.3f} to its own, {e.nearer_cosine[i]:.3f} to {names[1]}"
        say(f"  sample {e.sample[i]}, labelled {names[0]}: {cosines}")


def save(data: Collection, found: Findings, out: Path, pairs: int, source: str) -> None:
    """pairs.csv (the hardest `pairs`), duplicates.csv, label_errors.csv and index.html in a new folder."""
    from workbench.reports.mining import write_report

    make_folder(out)
    heads = ("class_a", "class_b", "cosine", "angle_degrees")
    write_csv(out / "pairs.csv", [heads, *rows_of(data, found.pairs, pairs)])
    write_csv(out / "duplicates.csv", [heads, *rows_of(data, found.duplicates, None)])
    if found.errors is not None:
        e, name = found.errors, data.names
        write_csv(
            out / "label_errors.csv",
            [
                ("sample", "label", "nearer", "own_cosine", "nearer_cosine", "gap"),
                *(
                    (int(i), name[y], name[z], f"{own:.6f}", f"{cos:.6f}", f"{cos - own:.6f}")
                    for i, y, z, own, cos in zip(
                        e.sample, e.label, e.nearer, e.own_cosine, e.nearer_cosine, strict=True
                    )
                ),
            ],
        )
    write_report(data, found, out / "index.html", source)


def rows_of(data: Collection, pairs: Pairs, limit: int | None) -> Iterable[tuple[str, str, str, str]]:
    for a, b, cos in zip(pairs.a[:limit], pairs.b[:limit], pairs.cosine[:limit], strict=True):
        angle = math.degrees(math.acos(min(1.0, max(-1.0, float(cos)))))
        yield data.names[a], data.names[b], f"{cos:.6f}", f"{angle:.3f}"
