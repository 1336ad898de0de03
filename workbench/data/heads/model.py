"""The morphable head: a mesh whose vertices move linearly with named targets, and random weights for those targets.

    vertices = neutral + sum_k weights[k] * delta[k]

Three kinds of target, all CC0 (assets/ATTRIBUTION.txt): *macro* (ancestry x sex x age), *shape* (ends of face-shape
sliders) and *expression* (ARKit-style face units). Lengths are in decimetres; y points up, z towards the viewer.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

ASSETS = Path(__file__).parents[1] / "assets"
SHAPE_SPREAD = 0.42  # standard deviation of a slider whose ends are -1 and 1: distinct faces, no caricatures
ASYMMETRY_SPREAD = 0.12
# The mouth cannot close further than shut, and a tongue of this mesh would pass through the lips.
UNUSED_UNITS = ("mouthClose", "tongueOut")
ONE_SIDED = ("mouthLeft", "mouthRight", "jawLeft", "jawRight")


@dataclass(frozen=True)
class HeadModel:
    """The mesh after one midpoint subdivision. V coarse vertices, E edges, V + E in all, F coarse triangles.

    neutral (V, 3), deltas (K, V, 3), edges (E, 2), coarse (F, 3) triangles between the V, triangles (4 F, 3) between
    all; eye (V + E,) bool; names and kinds of the targets: K strings.
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
        """Values at the coarse vertices (V, ...) carried to the midpoints of the edges as well: (V + E, ...)."""
        return np.concatenate([values, values[self.edges].mean(axis=1)])

    def displacement(self, weights: np.ndarray) -> np.ndarray:
        """sum_k weights[k] * delta[k] at every vertex: (K,) -> (V + E, 3)."""
        used = np.flatnonzero(weights)
        return self.refine(np.einsum("k,kvc->vc", weights[used], self.deltas[used]))

    def reach(self, *names: str) -> np.ndarray:
        """How far each vertex is moved by the named targets, relative to the farthest one: (V + E,) in [0, 1]."""
        length = np.linalg.norm(self.deltas[[self.names.index(name) for name in names]], axis=2).max(axis=0)
        return self.refine(length / length.max())

    @cached_property
    def base(self) -> np.ndarray:
        """The neutral mesh, (V + E, 3): the coordinates in which every region of the face is described."""
        return self.refine(self.neutral)

    @cached_property
    def _corners(self) -> tuple[np.ndarray, np.ndarray]:
        """The triangle of each corner, sorted by vertex, and where each vertex begins among them."""
        corner = self.coarse.ravel()
        order = np.argsort(corner, kind="stable")
        return order // 3, np.searchsorted(corner[order], np.arange(len(self.neutral)))

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals of vertices (V + E, 3): means of the coarse triangles around, carried to the midpoints."""
        a, b, c = vertices[self.coarse.T]
        triangle, start = self._corners
        total = self.refine(np.add.reduceat(np.cross(b - a, c - a)[triangle], start))
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    @cached_property
    def face_units(self) -> tuple[tuple[int, ...], ...]:
        """Groups of expression targets that move together: a left and a right half, or one alone. Gaze is left out."""
        groups: dict[str, list[int]] = {}
        for k, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            if kind == "expression" and name not in UNUSED_UNITS and not name.startswith("eyeLook"):
                stem = name if name in ONE_SIDED else name.removesuffix("Left").removesuffix("Right")
                groups.setdefault(stem, []).append(k)
        return tuple(map(tuple, groups.values()))


@lru_cache(maxsize=1)
def head_model() -> HeadModel:
    """The embedded model, subdivided once."""
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
    """Weights (K,) of a random face: the given mix of phenotypes, and every face-shape slider drawn at random.

    ancestry: shares of African, Asian and Caucasian, (3,) with sum 1; male and old in [0, 1].
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
            # the two ends of a slider stand side by side and share one draw: "|pos" takes the half "|neg" leaves
            weights[k] = spread * max(-sliders[k - 1] if name.endswith("|pos") else sliders[k], 0)
    return weights


def expression_weights(model: HeadModel, units: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (K,) of `units` random face units, each with slightly unequal halves, and of a random gaze."""
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
