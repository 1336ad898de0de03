"""Embeddings with labels, and their centers by a plain loop: what the tests of embedding files share."""

import numpy as np


def labeled_embeddings():
    """x (90, 6) around centers of 5 classes, whose labels have gaps; class 40 has a single sample."""
    rng = np.random.default_rng(0)
    y = np.append(rng.integers(0, 4, 89), 4)
    W = rng.normal(size=(5, 6))
    x = (W[y] + 0.8 * rng.normal(size=(90, 6))).astype(np.float32)
    return x, np.array([0, 3, 7, 12, 40])[y]


def means(x, labels):
    """Class means of unit embeddings, at length one, by a plain loop."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = [unit[labels == v].sum(axis=0) for v in sorted(set(labels.tolist()))]
    return np.array([m / np.linalg.norm(m) for m in found])
