"""Morphable head model: a mesh with linear targets, and random target weights.

    vertices = neutral + sum_k weights[k] * delta[k]

Three kinds of targets, all CC0 (assets/ATTRIBUTION.txt): *macro* (ancestry x sex x age), *shape* (ends of face-shape
sliders) and *expression* (ARKit-style face units). Lengths are in decimeters; y points up, z towards the viewer.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

ASSETS = Path(__file__).parents[1] / "assets"
SHAPE_SPREAD = 0.42  # standard deviation of a slider in [-1, 1]
ASYMMETRY_SPREAD = 0.12
# mouthClose has no effect on a closed mouth; tongueOut makes the tongue intersect the lips.
UNUSED_UNITS = ("mouthClose", "tongueOut")
ONE_SIDED = ("mouthLeft", "mouthRight", "jawLeft", "jawRight")


@dataclass(frozen=True)
class HeadModel:
    """Mesh after one midpoint subdivision: V coarse vertices, E edges, V + E vertices, F coarse triangles.

    neutral (V, 3), deltas (K, V, 3), edges (E, 2), coarse (F, 3) triangles of the V coarse vertices, triangles
    (4 F, 3) of all vertices; eye (V + E,) bool; names, kinds: of the K targets.
    """

    neutral: np.ndarray
    deltas: np.ndarray
    edges: np.ndarray
    coarse: np.ndarray
    triangles: np.ndarray
    eye: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]

    def refine(self, values: np.ndarray) -> np.ndarray:
        """Interpolate values at the coarse vertices (V, ...) to all vertices (V + E, ...)."""
        return np.concatenate([values, values[self.edges].mean(axis=1)])

    def displacement(self, weights: np.ndarray) -> np.ndarray:
        """Displacement sum_k weights[k] * delta[k] of all vertices (V + E, 3) for weights (K,)."""
        used = np.flatnonzero(weights)
        return self.refine(np.einsum("k,kvc->vc", weights[used], self.deltas[used]))

    def reach(self, *names: str) -> np.ndarray:
        """Largest displacement of each vertex by the named targets, relative to the maximum: (V + E,) in [0, 1]."""
        length = np.linalg.norm(self.deltas[[self.names.index(name) for name in names]], axis=2).max(axis=0)
        return self.refine(length / length.max())

    @cached_property
    def base(self) -> np.ndarray:
        """Vertices (V + E, 3) of the neutral mesh, the coordinates of all face regions."""
        return self.refine(self.neutral)

    @cached_property
    def _corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Triangle of each corner, sorted by vertex, and the index of the first corner of each vertex."""
        corner = self.coarse.ravel()
        order = np.argsort(corner, kind="stable")
        return order // 3, np.searchsorted(corner[order], np.arange(len(self.neutral)))

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals (V + E, 3): means over adjacent coarse triangles, interpolated to the midpoints."""
        a, b, c = vertices[self.coarse.T]
        triangle, start = self._corners
        total = self.refine(np.add.reduceat(np.cross(b - a, c - a)[triangle], start))
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    @cached_property
    def face_units(self) -> tuple[tuple[int, ...], ...]:
        """Groups of expression targets with a common weight: left and right half, or one target. Without gaze."""
        groups: dict[str, list[int]] = {}
        for k, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            if kind == "expression" and name not in UNUSED_UNITS and not name.startswith("eyeLook"):
                stem = name if name in ONE_SIDED else name.removesuffix("Left").removesuffix("Right")
                groups.setdefault(stem, []).append(k)
        return tuple(map(tuple, groups.values()))


@lru_cache(maxsize=1)
def head_model() -> HeadModel:
    """Load the embedded head model, subdivided once."""
    with np.load(ASSETS / "head_model_cc0.npz", allow_pickle=False) as file:
        data = dict(file)
    neutral, coarse = data["vertices"], data["triangles"].astype(np.int64)
    deltas = np.zeros((len(data["target_name"]), *neutral.shape), np.float32)
    deltas[data["delta_target"], data["delta_vertex"]] = data["delta_xyz"]

    sides = np.sort(coarse[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, index = np.unique(sides, axis=0, return_inverse=True)
    middle = len(neutral) + index.reshape(-1, 3)
    (a, b, c), (ab, bc, ca) = coarse.T, middle.T
    triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    eye = np.zeros(len(neutral) + len(edges), bool)
    eye[triangles[np.tile(data["triangle_is_eye"], 4)]] = True
    names, kinds = (tuple(data[key].tolist()) for key in ("target_name", "target_kind"))
    return HeadModel(neutral, deltas, edges, coarse, triangles, eye, names, kinds)


def shape_weights(
    model: HeadModel, ancestry: np.ndarray, male: float, old: float, rng: np.random.Generator
) -> np.ndarray:
    """Target weights (K,) of a random face: the given phenotype mixture and random face-shape sliders.

    ancestry: fractions of African, Asian and Caucasian, (3,) with sum 1; male and old in [0, 1].
    """
    weights = np.zeros(len(model.names), np.float32)
    sliders = np.clip(rng.standard_normal(len(model.names)), -2.4, 2.4)
    for k, (name, kind) in enumerate(zip(model.names, model.kinds, strict=True)):
        if kind == "macro":
            people, sex, age = name.split("-")
            share = ancestry[("african", "asian", "caucasian").index(people)]
            weights[k] = share * (male if sex == "male" else 1 - male) * (old if age == "old" else 1 - old)
        elif kind == "shape":
            spread = ASYMMETRY_SPREAD if name.startswith("asym") else SHAPE_SPREAD
            # the ends "|neg" and "|pos" of a slider are adjacent and share one random value
            weights[k] = spread * max(-sliders[k - 1] if name.endswith("|pos") else sliders[k], 0)
    return weights


def expression_weights(model: HeadModel, units: int, rng: np.random.Generator) -> np.ndarray:
    """Target weights (K,) of `units` random face units, slightly asymmetric, and of a random gaze."""
    weights = np.zeros(len(model.names), np.float32)
    for group in rng.permutation(len(model.face_units))[:units]:
        targets = list(model.face_units[group])
        weights[targets] = rng.uniform(0.25, 0.9) * rng.uniform(0.7, 1.0, len(targets))
    across, up = rng.uniform(-0.8, 0.8, 2)
    sides = ("eyeLookOutLeft", "eyeLookInRight") if across > 0 else ("eyeLookInLeft", "eyeLookOutRight")
    lids = ("eyeLookUpLeft", "eyeLookUpRight") if up > 0 else ("eyeLookDownLeft", "eyeLookDownRight")
    for amount, pair in ((abs(across), sides), (abs(up), lids)):
        weights[[model.names.index(name) for name in pair]] = amount
    return weights
