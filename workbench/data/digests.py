"""Digests of a data set's images, by which a run recognizes its own identities again whatever their numbers are now."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.core.errors import InputError
from workbench.data.images import ImageSet

LENGTH = 32  # hexadecimal digits kept of a SHA-256
SHOWN = 3  # names in a message


def identity_digests(data: ImageSet) -> list[str]:
    """Of every identity, SHA-256 of its uint8 images in their order: the first 32 hexadecimal digits."""
    found = [hashlib.sha256() for _ in range(data.classes)]
    for label, image in zip(data.labels.tolist(), np.ascontiguousarray(data.images), strict=True):
        found[label].update(image)
    return [one.hexdigest()[:LENGTH] for one in found]


def order_digest(labels: np.ndarray) -> str:
    """SHA-256 of the sequence of labels: the order in which the identities' images lie."""
    return hashlib.sha256(np.ascontiguousarray(labels, dtype=np.int64)).hexdigest()[:LENGTH]


def describe_images(data: ImageSet) -> dict[str, Any]:
    """What is recorded to recognize a data set, or one side of it: names, digests, order."""
    return {
        "names": [str(name) for name in data.names],
        "digests": identity_digests(data),
        "order": order_digest(data.labels),
    }


def select_recorded(
    data: ImageSet, known: dict[str, Any], where: str, others: Sequence[str] = (), decoders: str = ""
) -> tuple[ImageSet, list[str]]:
    """The images of the identities that were recorded, in the recorded order, and remarks on what is different now.

    known: of `describe_images`; digests and order may be missing. where: what an error names first; others: names that
    may be there besides. decoders: which libraries that decode images have changed; "": none. Raises InputError where
    an identity is missing or its images are others.
    """
    names, now = numbered(known["names"]), {key: i for i, key in enumerate(numbered(data.names))}
    missing = [name for name, key in zip(known["names"], names, strict=True) if key not in now]
    if missing:
        raise InputError(
            f"{where}: {data.source} lacks {len(missing)} of its {len(names)} identities: {shown(missing)}; the images"
            " must be those that it was made from"
        )
    ids = [now[key] for key in names]
    images, remarks = renumbered(data, ids), []
    if "order" in known and order_digest(images.labels) != known["order"]:
        images = images_by_identity(images)
    if "digests" not in known:
        remarks.append("its images have no digests on record: identities are compared by name only")
    else:
        found = identity_digests(images)
        pairs = zip(known["names"], known["digests"], found, strict=True)
        changed = [name for name, then, here in pairs if then != here]
        same_order = order_digest(images.labels) == known["order"]
        if changed and decoders and same_order:
            remarks.append(f"{len(changed)} identities are decoded to other bytes ({decoders}): compared by name only")
        elif changed:
            raise InputError(
                f"{where}: the images of {len(changed)} of its {len(names)} identities in {data.source} are others now:"
                f" {shown(changed)}; the images must be those that it was made from"
            )
        elif not same_order:
            raise InputError(f"{where}: the images in {data.source} are in another order now")
    more = [name for name in data.names if name not in {*known["names"], *others}]
    if more:
        remarks.append(f"{data.source} has {len(more)} more identities now ({shown(more)}): left out")
    return images, remarks


def numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Every name with its count so far, so that equal names stay apart."""
    seen: Counter[str] = Counter()
    keys = []
    for name in map(str, names):
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys


def renumbered(data: ImageSet, ids: Sequence[int]) -> ImageSet:
    """The images of the identities `ids`, which become 0..k-1 in this order; the images keep their order."""
    number = np.full(data.classes, -1)
    number[np.asarray(ids, dtype=int)] = np.arange(len(ids))
    return relabeled(data, np.flatnonzero(number[data.labels] >= 0), number, tuple(data.names[i] for i in ids))


def images_by_identity(data: ImageSet) -> ImageSet:
    """The same images, identity after identity."""
    return relabeled(data, np.argsort(data.labels, kind="stable"), np.arange(data.classes), data.names)


def relabeled(data: ImageSet, at: np.ndarray, number: np.ndarray, names: tuple[str, ...]) -> ImageSet:
    """The images at these positions, with other numbers and names of their identities."""
    extra = {name: values[at] for name, values in data.extra.items()}
    labels = number[data.labels[at]].astype(np.int64)
    return ImageSet(data.images[at], labels, names, data.source, extra, data.notes)


def shown(names: Sequence[str]) -> str:
    """The first names, for a message."""
    return ", ".join(repr(name) for name in names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
