"""Digests of the images of each identity, by which a run selects its identities in a data set that has changed."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.core.errors import InputError
from workbench.data.images import ImageSet

LENGTH = 32  # hexadecimal digits of a digest
SHOWN = 3  # names in a message


def identity_digests(data: ImageSet) -> list[str]:
    """The first LENGTH hexadecimal digits of the SHA-256 of the uint8 images of each identity, in order."""
    hashes = [hashlib.sha256() for _ in range(data.classes)]
    for label, image in zip(data.labels.tolist(), np.ascontiguousarray(data.images), strict=True):
        hashes[label].update(image)
    return [one.hexdigest()[:LENGTH] for one in hashes]


def order_digest(labels: np.ndarray) -> str:
    """SHA-256 of the labels (n,): the order of the images of different identities."""
    return hashlib.sha256(np.ascontiguousarray(labels, dtype=np.int64)).hexdigest()[:LENGTH]


def describe_images(data: ImageSet) -> dict[str, Any]:
    """Names, digests and order of the identities of a data set, as JSON, for `select_recorded`."""
    return {
        "names": [str(name) for name in data.names],
        "digests": identity_digests(data),
        "order": order_digest(data.labels),
    }


def select_recorded(
    data: ImageSet, known: dict[str, Any], where: str, others: Sequence[str] = (), decoders: str = ""
) -> tuple[ImageSet, list[str]]:
    """Select the recorded identities, in the recorded order. Returns the images and remarks on differences.

    known: from `describe_images`; digests and order may be missing. where: prefix of errors. others: names of further
    identities that are expected. decoders: changed image-decoding libraries, or "". Raises InputError if an identity is
    missing or its images differ.
    """
    keys, present = number_names(known["names"]), {key: i for i, key in enumerate(number_names(data.names))}
    missing = [name for name, key in zip(known["names"], keys, strict=True) if key not in present]
    if missing:
        raise InputError(
            f"{where}: {data.source} lacks {len(missing)} of its {len(keys)} identities: {shorten(missing)}; the"
            " original images are needed"
        )
    ids = [present[key] for key in keys]
    images, remarks = select_identities(data, ids), []
    if "order" in known and order_digest(images.labels) != known["order"]:
        images = select_identities(data, ids, grouped=True)
    if "digests" not in known:
        remarks.append("no digests of its images are recorded: identities are compared by name only")
    else:
        pairs = zip(known["names"], known["digests"], identity_digests(images), strict=True)
        changed = [name for name, before, now in pairs if before != now]
        same_order = order_digest(images.labels) == known["order"]
        if changed and decoders and same_order:
            remarks.append(f"{len(changed)} identities are decoded to other bytes ({decoders}): compared by name only")
        elif changed:
            raise InputError(
                f"{where}: the images of {len(changed)} of its {len(keys)} identities in {data.source} have changed:"
                f" {shorten(changed)}; the original images are needed"
            )
        elif not same_order:
            raise InputError(f"{where}: the images in {data.source} are in a different order")
    new = [name for name in data.names if name not in {*known["names"], *others}]
    if new:
        remarks.append(f"new identities in {data.source} are ignored: {len(new)} ({shorten(new)})")
    return images, remarks


def number_names(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with the number of equal names before it, so that equal names stay distinct."""
    seen: Counter[str] = Counter()
    keys = []
    for name in map(str, names):
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys


def select_identities(data: ImageSet, ids: Sequence[int], grouped: bool = False) -> ImageSet:
    """The images of the identities `ids`, renumbered 0..k-1 in this order. grouped: sort the images by identity."""
    number = np.full(data.classes, -1)
    number[np.asarray(ids, dtype=int)] = np.arange(len(ids))
    labels = number[data.labels]
    rows = np.flatnonzero(labels >= 0)
    if grouped:
        rows = rows[np.argsort(labels[rows], kind="stable")]
    return replace(
        data,
        images=data.images[rows],
        labels=labels[rows].astype(np.int64),
        names=tuple(data.names[i] for i in ids),
        extra={name: values[rows] for name, values in data.extra.items()},
    )


def shorten(names: Sequence[str]) -> str:
    """The first names, for a message."""
    return ", ".join(map(repr, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
