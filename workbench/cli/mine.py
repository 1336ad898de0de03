"""`workbench mine`: embeddings or centers in; tables on the screen, or CSV files and a page in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.core.files import make_folder, refuse_existing
from workbench.core.progress import Progress
from workbench.mining.audit import MiningResult, mine
from workbench.mining.dataset import MiningData, read
from workbench.mining.tables import write_tables

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
        from workbench.reports.mining import write_page

        make_folder(out)
        write_tables(data, found, out, pairs)
        write_page(data, found, out / "index.html", path.name)
        say(f"The page: {out / 'index.html'}")


def tell(data: MiningData, found: MiningResult, say: Callable[[str], Any]) -> None:
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
