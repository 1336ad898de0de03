"""Data-set manifests: TOML files in data_manifests/ with origin, license, size, split and checksums.

A manifest holds the fields of `Manifest`. `files` is an array of tables with `path` (relative to the repository) and
`sha256`; it is omitted for data that is part of a dependency. `split` is a table with the arguments `test` and `seed`
of `pairs.split_identities`.
"""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from workbench.core.errors import InputError, quote
from workbench.core.schema import Integer, ListOf, Number, Table, Text, check
from workbench.data.pairs import split_identities

ROOT = Path(__file__).resolve().parents[2]  # the repository; a wheel contains no manifests
FOLDER = ROOT / "data_manifests"

SPLIT = Table({"test": Number(), "seed": Integer(0)})
FILES = ListOf(Table({"path": Text(), "sha256": Text()}))
WORDS = dict.fromkeys(("name", "kind", "source", "licence"), Text())
COUNTS = dict.fromkeys(("identities", "images", "size"), Integer(1, 10**9))
MANIFEST = Table({**WORDS, **COUNTS, "split": SPLIT, "files": FILES}, optional=frozenset({"files"}))


@dataclass(frozen=True)
class Split:
    """Recommended identity-disjoint split. test: number of test identities, or their fraction if below 1."""

    test: int | float
    seed: int


@dataclass(frozen=True)
class File:
    """A file of the data set. path: relative to the repository, with forward slashes."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Description of a data set.

    name: argument of `--data`. kind: subject of the images. source: origin. licence: SPDX identifier if there is one.
    identities, images: counts. size: side of the stored images in pixels.
    """

    name: str
    kind: str
    source: str
    licence: str
    identities: int
    images: int
    size: int
    split: Split
    files: tuple[File, ...] = ()


def read(path: str | Path) -> Manifest:
    """Read a manifest from a TOML file.

    Raises InputError with the file and the field for an unreadable file, a missing or unknown field, a value of wrong
    type or out of range, a path outside the repository, or a malformed sha256.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.name}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deeply
        raise InputError(f"{path.name}: not a TOML file: {quote(error)}") from None
    check(table, MANIFEST, path.name)
    if empty := [name for name in WORDS if not table[name]]:
        raise InputError(f"{path.name}: {empty[0]} is empty")
    try:
        split_identities(table["identities"], **table["split"])
    except InputError as error:
        raise InputError(f"{path.name}: split: {error}") from None
    for i, file in enumerate(table.get("files", [])):
        where = f"{path.name}: files[{i}]"
        if not _is_inside(file["path"]):
            raise InputError(
                f"{where}: 'path' is {quote(repr(file['path']))}; it must be relative and stay in the repository"
            )
        if not re.fullmatch("[0-9a-f]{64}", file["sha256"]):
            raise InputError(f"{where}: 'sha256' is {quote(repr(file['sha256']))}; it must be 64 digits of 0-9a-f")
    files = tuple(File(**file) for file in table.pop("files", []))
    return Manifest(**table | {"split": Split(**table["split"]), "files": files})


def manifests(folder: Path = FOLDER) -> list[Manifest]:
    """All manifests of the folder, sorted by file name; empty if the folder is missing (installed from a wheel)."""
    return [read(path) for path in sorted(folder.glob("*.toml"))]


def verify_files(manifest: Manifest, root: Path = ROOT) -> dict[str, str]:
    """Check the files of a manifest: path -> 'ok', 'absent' or 'changed' (different sha256).

    Raises InputError for a path that leaves `root`, directly or by a link.
    """
    states = {}
    for file in manifest.files:
        path = root / file.path
        if not path.resolve().is_relative_to(root.resolve()):
            raise InputError(f"manifest '{manifest.name}': file {file.path!r} is not inside the repository")
        if not path.is_file():
            states[file.path] = "absent"
        else:
            states[file.path] = "ok" if sha256(path) == file.sha256 else "changed"
    return states


def sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_inside(path: str) -> bool:
    """Whether a path is relative, with forward slashes on any system, and without '..'."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and not set(path) & set("\\:")
