"""Additional surfaces fitted to one identity: neck, shirt, long hair and glasses, as pyvista meshes.

Coordinates are in decimeters relative to the head center. pyvista, an optional extra, is passed as `pv`.
"""

import numpy as np

from workbench.data.heads.look import LOCKS, Appearance, Glasses
from workbench.data.heads.model import HeadModel


def sheet(pv, x: np.ndarray, y: np.ndarray, z: np.ndarray):
    """A smooth surface on a grid of points; x, y, z broadcast to (rows, columns)."""
    points = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    rows, columns = points.shape[:2]
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    below = i + columns
    triangles = np.concatenate([np.stack([i, below, i + 1], 1), np.stack([i + 1, below, below + 1], 1)])
    mesh = pv.PolyData.from_regular_faces(points.reshape(-1, 3), triangles)
    return mesh.compute_normals(split_vertices=False, consistent_normals=False)


def neck_and_shirt(pv, ring: np.ndarray):
    """Extension of the neck, and a shirt, fitted to the lower rim of the head mesh, ring (n, 3)."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    middle, radius = (low + high) / 2, (high - low) / 2
    turn = np.linspace(0, 2 * np.pi, 48)

    def surface(wider: list[float], higher: list[float]):
        wider, higher = np.array(wider)[:, None], np.array(higher)[:, None]
        x = middle[0] + (radius[0] + wider) * np.sin(turn)
        z = middle[2] + (radius[2] + 0.5 * wider) * np.cos(turn)
        return sheet(pv, x, middle[1] + higher, z)

    neck = surface([-0.06, -0.03, 0.0], [0.25, 0.0, -1.0])
    return neck, surface([0.06, 0.12, 0.15, 0.5, 1.0, 1.3], [0.02, 0.02, -0.12, -0.25, -0.45, -1.2])


def long_hair(pv, look: Appearance, points: np.ndarray):
    """Long hair: upper half of an ellipsoid around the skull and a hanging part, open in front; points (V + E, 3)."""
    skull = points[look.lift > 0.5 * look.lift.max()]
    low, high = skull.min(axis=0), skull.max(axis=0)
    middle, radius = (low + high) / 2, (high - low) / 2 + 0.6 * look.lift.max() + 0.03
    widest = 0.45  # height above the head center
    radius[1] = high[1] + 0.6 * look.lift.max() - widest
    angle = np.linspace(look.long_hair.start, 2 * np.pi - look.long_hair.start, LOCKS)
    rise, fall = np.linspace(np.pi / 3, 0, 12), np.linspace(0, 1, 13)[1:]
    reach = np.concatenate([np.cos(rise), 1 + 0.05 * np.sin(4 * fall) - 0.18 * fall])[:, None]
    reach = reach * (1 + 0.03 * np.sin(7 * np.arange(LOCKS)))  # strands
    y = np.concatenate([widest + radius[1] * np.sin(rise), widest + fall * (look.long_hair.bottom - widest)])[:, None]
    mesh = sheet(pv, middle[0] + radius[0] * reach * np.sin(angle), y, middle[2] + radius[2] * reach * np.cos(angle))
    mesh.point_data["rgb"] = (255 * np.tile(look.locks, (len(y), 1)).clip(0, 1)).astype(np.uint8)
    return mesh


def glasses(pv, model: HeadModel, shape: Glasses, points: np.ndarray):
    """Frame (rims, bridge, temples) and two dark lenses, fitted to the eyes and the head width."""
    x, y, z = model.base.T
    depth = np.quantile(points[(np.abs(x) < 0.5) & (np.abs(y - 7.3) < 0.2) & (z > 1.2)][:, 2], 0.9) + 0.04
    temple = points[(np.abs(x) > 0.6) & (np.abs(y - 7.35) < 0.1) & (np.abs(z - 0.75) < 0.12)]
    angle = np.linspace(0, 2 * np.pi, 49)
    cos, sin = np.cos(angle), np.sin(angle)
    squareness = (np.abs(cos) ** shape.exponent + np.abs(sin) ** shape.exponent) ** (-1 / shape.exponent)
    rims, temples, bridge = [], [], []
    for side in (-1, 1):
        eye = points[model.eye & (side * x > 0)].mean(axis=0)
        middle = [side * max(abs(eye[0]), shape.width + 0.06), eye[1] - 0.02]
        rim = np.stack(
            [middle[0] + shape.width * squareness * cos, middle[1] + shape.height * squareness * sin], axis=1
        )
        bend = 0.25 * np.clip(np.abs(rim[:, :1]) - 0.3, 0, None)
        rims.append(rim := np.hstack([rim, depth - bend]))
        hinge, inner = rim[np.argmax(side * rim[:, 0])], rim[np.argmin(side * rim[:, 0])]
        ear = [side * (np.abs(temple[:, 0]).max() + 0.04), middle[1] + 0.1, temple[:, 2].min()]
        temples.append(np.stack([hinge + np.array([0, 0.06, 0]), ear]))
        bridge.append(inner + np.array([0, 0.05, 0]))
    lines = [*rims, *temples, np.stack(bridge)]
    frame = [pv.lines_from_points(line).tube(radius=shape.thickness, n_sides=8) for line in lines]
    lenses = [pv.PolyData(rim[:-1], faces=[48, *range(48)]) for rim in rims]
    return frame[0].append_polydata(*frame[1:]), lenses[0].append_polydata(lenses[1])
