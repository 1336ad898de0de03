"""Rendering of one head image: its random nuisance parameters, and an off-screen renderer (pyvista).

No display is needed. Lengths are in decimeters, angles in radians. The origin is the head center, about which the head
is rotated; the camera looks along -z.
"""

from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError
from workbench.data.heads import parts as head_parts
from workbench.data.heads.look import Appearance, Glasses
from workbench.data.heads.model import HeadModel, expression_weights

OVERSAMPLING = 4  # each pixel is the mean of 4 x 4 rendered pixels
EYES_TO_MIDDLE = np.array([0, -0.22, -0.8])  # from the point between the eyes to the head center
CAMERA_DISTANCE, VIEW_HEIGHT = 9.0, 2.65  # visible height at the depth of the face
SUNGLASSES = Glasses(width=0.25, height=0.19, exponent=2.4, thickness=0.02, color=np.full(3, 0.05))
NUISANCE = (
    ("yaw", "rad"),
    ("pitch", "rad"),
    ("roll", "rad"),
    ("ambient", "share of the light, 0 to 1"),
    ("light_x", "x of the unit vector towards the light"),
    ("light_y", "y of the unit vector towards the light"),
    ("expression_units", "number of face units in use"),
    ("occluded", "1 if a bar or sunglasses cover a part, else 0"),
)


@dataclass(frozen=True)
class Bar:
    """An occluding band of one color (3,): center (2,), unit normal (2,), half-width, in units of the image side."""

    center: np.ndarray
    normal: np.ndarray
    half_width: float
    color: np.ndarray


@dataclass(frozen=True)
class Nuisance:
    """Parameters of one image that do not depend on the identity.

    Positive yaw rotates the face to the viewer's right, positive pitch upwards, positive roll counterclockwise. light
    (3,): unit vector towards the light; light_color (3,): color times brightness; expression (K,): target weights;
    shift (2,), in decimeters, and zoom: of the camera; shirt (3,): color; backdrop (3, 3, 3): coarse background image;
    gain (3,): white balance; noise: standard deviation as a fraction of full scale.
    """

    yaw: float
    pitch: float
    roll: float
    ambient: float
    light: np.ndarray
    light_color: np.ndarray
    expression: np.ndarray
    expression_units: int
    shift: np.ndarray
    zoom: float
    shirt: np.ndarray
    backdrop: np.ndarray
    bar: Bar | None
    sunglasses: bool
    gain: np.ndarray
    gamma: float
    noise: float

    def values(self) -> list[float]:
        """The values recorded for the image, in the order of NUISANCE."""
        turn, light = [self.yaw, self.pitch, self.roll], [self.ambient, self.light[0], self.light[1]]
        return [*turn, *light, float(self.expression_units), float(self.sunglasses or self.bar is not None)]


def random_nuisance(model: HeadModel, rng: np.random.Generator) -> Nuisance:
    """Draw random nuisance parameters of one image, determined by the state of the generator."""
    yaw, pitch, roll = np.clip(rng.standard_normal(3), -2.5, 2.5) * [0.28, 0.12, 0.07]
    light = np.array([rng.uniform(-1, 1), rng.uniform(-0.3, 0.8), rng.uniform(0.4, 1)])
    units = min(int(rng.poisson(2.0)), 8)
    return Nuisance(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        ambient=rng.uniform(0.25, 0.6),
        light=light / np.linalg.norm(light),
        light_color=_light_color(rng),
        expression=expression_weights(model, units, rng),
        expression_units=units,
        shift=rng.uniform([-0.07, -0.01], [0.07, 0.13]),
        zoom=rng.uniform(0.94, 1.07),
        shirt=rng.uniform(0.05, 0.95, 3),
        backdrop=_backdrop(rng),
        bar=_bar(rng) if rng.random() < 0.1 else None,
        sunglasses=bool(rng.random() < 0.06),
        gain=rng.uniform(0.92, 1.08, 3),
        gamma=float(np.exp(rng.uniform(-0.3, 0.3))),
        noise=rng.uniform(0.0, 0.025),
    )


def _light_color(rng: np.random.Generator) -> np.ndarray:
    warm = rng.uniform(-0.16, 0.16)
    return rng.uniform(1.0, 1.6) * np.array([1 + warm, 1, 1 - warm]) * rng.uniform(0.94, 1.06, 3)


def _backdrop(rng: np.random.Generator) -> np.ndarray:
    """A coarse background image: one random color with variations in brightness and, less, in hue."""
    gray = rng.uniform(0, 1)
    color = gray + rng.uniform(0.1, 1.0) * (rng.uniform(0, 1, 3) - gray)
    return color + rng.uniform(-0.3, 0.3, (3, 3, 1)) + rng.uniform(-0.08, 0.08, (3, 3, 3))


def _bar(rng: np.random.Generator) -> Bar:
    angle = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(angle), np.sin(angle)])
    return Bar(0.5 + rng.uniform(0.24, 0.42) * normal, normal, rng.uniform(0.05, 0.13), rng.uniform(0, 1, 3))


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


class HeadRenderer:
    """Off-screen renderer of head images; a context manager that closes its window.

    size: image side in pixels. Raises InputError if pyvista is not installed.
    """

    def __init__(self, model: HeadModel, size: int):
        try:
            import pyvista
            from vtkmodules.vtkCommonCore import vtkLogger, vtkUnsignedCharArray, vtkVersion
        except ImportError:
            raise InputError("rendering needs the extra 'synth': pip install 'hypersphere-workbench[synth]'") from None
        self.pv, self.model, self.side = pyvista, model, OVERSAMPLING * size
        self.vtk_version = vtkVersion.GetVTKVersion()
        self._pixels = vtkUnsignedCharArray()
        # without a display VTK logs a harmless error to stderr
        verbosity = vtkLogger.GetCurrentVerbosityCutoff()
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
        try:
            self.plotter = pyvista.Plotter(off_screen=True, window_size=(self.side, self.side), lighting="none")
            self.plotter.background_color = "black"
            self.plotter.render_window.SetAlphaBitPlanes(1)
            self.plotter.render_window.SetMultiSamples(0)  # edges are antialiased by oversampling
            self.plotter.render_window.Render()
        finally:
            vtkLogger.SetStderrVerbosity(verbosity)
        self.light = pyvista.Light(light_type="scene light")
        self.plotter.add_light(self.light)
        self.moving, self.fixed = [], []  # actors that rotate with the head, and the others

    def __enter__(self) -> "HeadRenderer":
        return self

    def __exit__(self, *error: object) -> None:
        self.plotter.close()

    def wear(self, look: Appearance) -> None:
        """Replace the displayed identity."""
        pv, model = self.pv, self.model
        self.plotter.remove_actor(self.moving + self.fixed, render=False)
        bald = look.rest - (look.rest[model.eye].mean(axis=0) + EYES_TO_MIDDLE)
        self.rest = bald + look.lift[:, None] * model.normals(bald)
        self.head = pv.PolyData.from_regular_faces(self.rest, model.triangles)
        self.head.point_data["rgb"] = (255 * look.colors).astype(np.uint8)
        rim = model.base[:, 1] < 6.0
        neck, shirt = head_parts.neck_and_shirt(pv, bald[rim])
        glasses = look.glasses or SUNGLASSES
        frame, lenses = head_parts.glasses(pv, model, glasses, bald)

        head = self._add(self.head)
        head.prop.culling = "back"  # four times faster; the mesh is closed except at the neck
        self.frame, self.lenses = self._add(frame, glasses.color), self._add(lenses, (0.04, 0.04, 0.05))
        self.wears_glasses = look.glasses is not None
        self.shirt = self._add(shirt)
        self.moving = [head, self._add(neck, look.colors[rim].mean(axis=0)), self.frame, self.lenses]
        if look.long_hair:
            self.moving.append(self._add(head_parts.long_hair(pv, look, bald)))
        self.fixed = [self.shirt]

    def _add(self, mesh, color=None):
        """Add a mesh with its vertex colors if it has them, else with one color; returns the actor."""
        paint = {"scalars": "rgb", "rgb": True} if "rgb" in mesh.point_data else {"color": color}
        actor = self.plotter.add_mesh(mesh, **paint, render=False, reset_camera=False)
        actor.prop.interpolation = "Phong"
        actor.prop.specular, actor.prop.specular_power = 0.08, 12
        return actor

    def render_image(self, nuisance: Nuisance, rng: np.random.Generator) -> np.ndarray:
        """Render one image (S, S, 3) uint8 of the current identity. rng: for the pixel noise."""
        points = (self.rest + self.model.displacement(nuisance.expression)).astype(np.float32)
        self.head.points = points
        self.head.point_data.active_normals = self.model.normals(points)

        pose = np.eye(4)
        pose[:3, :3] = rotation_matrix(nuisance.yaw, nuisance.pitch, nuisance.roll)
        for actor in self.moving:
            actor.user_matrix = pose
        for actor in self.moving + self.fixed:
            actor.prop.ambient, actor.prop.diffuse = nuisance.ambient, 1 - nuisance.ambient
        self.frame.visibility = nuisance.sunglasses or self.wears_glasses
        self.lenses.visibility = nuisance.sunglasses
        self.shirt.prop.color = tuple(nuisance.shirt)
        self._set_light_and_camera(nuisance)
        return _postprocess(self._read_pixels(), nuisance, rng)

    def _set_light_and_camera(self, nuisance: Nuisance) -> None:
        brightness = nuisance.light_color.max()
        self.light.position = tuple(nuisance.light)
        self.light.diffuse_color = self.light.specular_color = tuple(nuisance.light_color / brightness)
        self.light.intensity = float(brightness)
        x, y = nuisance.shift
        camera = self.plotter.camera
        camera.position, camera.focal_point, camera.up = (x, y, CAMERA_DISTANCE), (x, y, 0), (0, 1, 0)
        to_face = CAMERA_DISTANCE + EYES_TO_MIDDLE[2]
        camera.view_angle = np.degrees(2 * np.arctan(VIEW_HEIGHT / nuisance.zoom / 2 / to_face))
        camera.clipping_range = (2, 2 * CAMERA_DISTANCE)

    def _read_pixels(self) -> np.ndarray:
        """Render and read RGBA pixels (R, R, 4) in [0, 1], top row first; alpha is 0 in the background."""
        window = self.plotter.render_window
        window.Render()
        window.GetRGBACharPixelData(0, 0, self.side - 1, self.side - 1, 0, self._pixels)
        rgba = self.pv.convert_array(self._pixels).reshape(self.side, self.side, 4)
        return rgba[::-1].astype(np.float32) / 255


def _postprocess(pixels: np.ndarray, nuisance: Nuisance, rng: np.random.Generator) -> np.ndarray:
    """Backdrop, bar, downsampling, white balance, gamma and noise: (R, R, 4) in [0, 1] to (S, S, 3) uint8."""
    side = len(pixels)
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    hat = np.maximum(0, 1 - np.abs(2 * at[:, None] - np.arange(3)))  # linear interpolation weights of three points
    backdrop = np.stack([hat @ channel @ hat.T for channel in np.moveaxis(nuisance.backdrop, 2, 0)], axis=2).clip(0, 1)
    image = pixels[..., :3] + (1 - pixels[..., 3:]) * backdrop
    if bar := nuisance.bar:
        away = (at[None, :] - bar.center[0]) * bar.normal[0] + (at[:, None] - bar.center[1]) * bar.normal[1]
        image[np.abs(away) < bar.half_width] = bar.color
    blocks = image.reshape(side // OVERSAMPLING, OVERSAMPLING, side // OVERSAMPLING, OVERSAMPLING, 3)
    small = np.clip(blocks.mean(axis=(1, 3)) * nuisance.gain, 0, 1) ** nuisance.gamma
    small += nuisance.noise * rng.standard_normal(small.shape)
    return (255 * small.clip(0, 1) + 0.5).astype(np.uint8)
