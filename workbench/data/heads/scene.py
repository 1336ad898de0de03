"""One picture of a head: what differs from image to image, and the off-screen scene (pyvista) that draws it.

The scene needs no display. Lengths are in decimetres, angles in radians; the head turns about its own middle, which
is the origin, and the camera looks along -z.
"""

from dataclasses import dataclass

import numpy as np

from workbench.core.errors import InputError
from workbench.data.heads import parts as head_parts
from workbench.data.heads.look import Glasses, Look
from workbench.data.heads.model import HeadModel, expression_weights

OVERSAMPLING = 4  # each pixel is the mean of 4 x 4 drawn ones
EYES_TO_MIDDLE = np.array([0, -0.22, -0.8])  # from between the eyes to the middle of the head
CAMERA_DISTANCE, VIEW_HEIGHT = 9.0, 2.65  # the height that is seen at the depth of the face
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
    """A band of one colour (3,) across the image, in units of its side: center (2,), unit normal (2,), half-width."""

    center: np.ndarray
    normal: np.ndarray
    half_width: float
    color: np.ndarray


@dataclass(frozen=True)
class Nuisance:
    """Everything about one image that is not the identity.

    Positive yaw turns the face to the viewer's right, positive pitch lifts it, positive roll tilts it anticlockwise.
    light (3,) is the unit vector towards the light, light_color (3,) its colour times its brightness; expression (K,)
    are weights of the targets; shift (2,) in decimetres and zoom move the frame; shirt (3,) is a colour; backdrop
    (3, 3, 3) a coarse image; gain (3,) the white balance; noise a standard deviation in units of full scale.
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
        """The labels of the image, in the order of NUISANCE."""
        turn, light = [self.yaw, self.pitch, self.roll], [self.ambient, self.light[0], self.light[1]]
        return [*turn, *light, float(self.expression_units), float(self.sunglasses or self.bar is not None)]


def random_nuisance(model: HeadModel, rng: np.random.Generator) -> Nuisance:
    """Draw the circumstances of one image. The same state of the generator gives the same ones."""
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
    """One colour, dull or lively, that varies over the frame in brightness and a little in hue."""
    grey = rng.uniform(0, 1)
    color = grey + rng.uniform(0.1, 1.0) * (rng.uniform(0, 1, 3) - grey)
    return color + rng.uniform(-0.3, 0.3, (3, 3, 1)) + rng.uniform(-0.08, 0.08, (3, 3, 3))


def _bar(rng: np.random.Generator) -> Bar:
    angle = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(angle), np.sin(angle)])
    return Bar(0.5 + rng.uniform(0.24, 0.42) * normal, normal, rng.uniform(0.05, 0.13), rng.uniform(0, 1, 3))


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


class Scene:
    """An off-screen window in which one person after another is drawn; a context manager that closes it.

    size: pixels of a side. Raises InputError when pyvista is missing.
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
        # without a display VTK says on stderr that it found none, and then does without: no news for anybody
        verbosity = vtkLogger.GetCurrentVerbosityCutoff()
        vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
        try:
            self.plotter = pyvista.Plotter(off_screen=True, window_size=(self.side, self.side), lighting="none")
            self.plotter.background_color = "black"
            self.plotter.render_window.SetAlphaBitPlanes(1)
            self.plotter.render_window.SetMultiSamples(0)  # oversampling smooths the edges already
            self.plotter.render_window.Render()
        finally:
            vtkLogger.SetStderrVerbosity(verbosity)
        self.light = pyvista.Light(light_type="scene light")
        self.plotter.add_light(self.light)
        self.turning, self.standing = [], []  # actors that turn with the head, and that do not

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *error: object) -> None:
        self.plotter.close()

    def wear(self, look: Look) -> None:
        """Put a person in front of the camera."""
        pv, model = self.pv, self.model
        self.plotter.remove_actor(self.turning + self.standing, render=False)
        bald = look.rest - (look.rest[model.eye].mean(axis=0) + EYES_TO_MIDDLE)
        self.rest = bald + look.lift[:, None] * model.normals(bald)
        self.head = pv.PolyData.from_regular_faces(self.rest, model.triangles)
        self.head.point_data["rgb"] = (255 * look.colors).astype(np.uint8)
        rim = model.base[:, 1] < 6.0
        neck, shirt = head_parts.neck_and_shirt(pv, bald[rim])
        worn = look.glasses or SUNGLASSES
        frame, lenses = head_parts.glasses(pv, model, worn, bald)

        head = self._add(self.head)
        head.prop.culling = "back"  # a quarter of the time; the mesh is closed but for the neck
        self.frame, self.lenses = self._add(frame, worn.color), self._add(lenses, (0.04, 0.04, 0.05))
        self.wears_glasses = look.glasses is not None
        self.shirt = self._add(shirt)
        self.turning = [head, self._add(neck, look.colors[rim].mean(axis=0)), self.frame, self.lenses]
        if look.long_hair:
            self.turning.append(self._add(head_parts.long_hair(pv, look, bald)))
        self.standing = [self.shirt]

    def _add(self, mesh, color=None):
        """An actor of one colour, or of the colours of its vertices where it has them."""
        paint = {"scalars": "rgb", "rgb": True} if "rgb" in mesh.point_data else {"color": color}
        actor = self.plotter.add_mesh(mesh, **paint, render=False, reset_camera=False)
        actor.prop.interpolation = "Phong"
        actor.prop.specular, actor.prop.specular_power = 0.08, 12
        return actor

    def draw(self, nuisance: Nuisance, rng: np.random.Generator) -> np.ndarray:
        """One image (S, S, 3) uint8 of the person; rng draws the noise."""
        points = (self.rest + self.model.displacement(nuisance.expression)).astype(np.float32)
        self.head.points = points
        self.head.point_data.active_normals = self.model.normals(points)

        pose = np.eye(4)
        pose[:3, :3] = _rotation(nuisance.yaw, nuisance.pitch, nuisance.roll)
        for actor in self.turning:
            actor.user_matrix = pose
        for actor in self.turning + self.standing:
            actor.prop.ambient, actor.prop.diffuse = nuisance.ambient, 1 - nuisance.ambient
        self.frame.visibility = nuisance.sunglasses or self.wears_glasses
        self.lenses.visibility = nuisance.sunglasses
        self.shirt.prop.color = tuple(nuisance.shirt)
        self._light_and_camera(nuisance)
        return _develop(self._shoot(), nuisance, rng)

    def _light_and_camera(self, nuisance: Nuisance) -> None:
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

    def _shoot(self) -> np.ndarray:
        """(R, R, 4) in [0, 1], top row first; alpha is 0 where nothing stands before the camera."""
        window = self.plotter.render_window
        window.Render()
        window.GetRGBACharPixelData(0, 0, self.side - 1, self.side - 1, 0, self._pixels)
        rgba = self.pv.convert_array(self._pixels).reshape(self.side, self.side, 4)
        return rgba[::-1].astype(np.float32) / 255


def _develop(drawn: np.ndarray, nuisance: Nuisance, rng: np.random.Generator) -> np.ndarray:
    """(R, R, 4) in [0, 1] -> (S, S, 3) uint8: backdrop, bar, fewer pixels, white balance, gamma, noise."""
    side = len(drawn)
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    hat = np.maximum(0, 1 - np.abs(2 * at[:, None] - np.arange(3)))  # linear interpolation between three points
    backdrop = np.stack([hat @ channel @ hat.T for channel in np.moveaxis(nuisance.backdrop, 2, 0)], axis=2).clip(0, 1)
    image = drawn[..., :3] + (1 - drawn[..., 3:]) * backdrop
    if bar := nuisance.bar:
        away = (at[None, :] - bar.center[0]) * bar.normal[0] + (at[:, None] - bar.center[1]) * bar.normal[1]
        image[np.abs(away) < bar.half_width] = bar.color
    blocks = image.reshape(side // OVERSAMPLING, OVERSAMPLING, side // OVERSAMPLING, OVERSAMPLING, 3)
    small = np.clip(blocks.mean(axis=(1, 3)) * nuisance.gain, 0, 1) ** nuisance.gamma
    small += nuisance.noise * rng.standard_normal(small.shape)
    return (255 * small.clip(0, 1) + 0.5).astype(np.uint8)
