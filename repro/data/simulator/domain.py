"""The two recording situations, as numbers with names."""

from __future__ import annotations

from dataclasses import dataclass

GENERATOR_VERSION = "4"
"""Changes whenever the same parameters give other files."""


@dataclass(frozen=True)
class Camera:
    """What the camera and the room do to a picture.

    Attributes
    ----------
    aspect : float
        Width over height of a frame.
    view : float
        Height of the frame at the subject, cm.
    distance : float
        Camera to subject, cm.
    offset : tuple of float
        Where the eyes lie in the frame (fraction of width, of height), on average.
    framing : float
        Standard deviation of that place between recordings, fraction of the height.
    key_direction, fill_direction : tuple of float
        Towards the lights; x right, y up, z towards the camera.
    key, fill, sky, ground : tuple of float
        Linear RGB of the lights.
    light_spread : float
        Standard deviation of the key light's direction between subjects, radians.
    exposure_spread : float
        Standard deviation of the exposure between recordings, stops.
    black, contrast, saturation : float
        Lift of the blacks (0..1), slope of the tone curve, colourfulness (1 unchanged).
    blur : float
        Standard deviation of the optical blur, fraction of the frame's height.
    noise : float
        Standard deviation of sensor noise at mid-grey, grey levels of 255.
    jpeg : int
        Quality of the JPEG compression the stills went through; 0 means none.
    vignette : float
        Loss of light in the corners, 0..1.
    grey : float
        Share of subjects filmed in black and white.
    backdrop : str
        ``"room"`` or ``"screen"``.
    """

    aspect: float
    view: float
    distance: float
    offset: tuple[float, float]
    framing: float
    key_direction: tuple[float, float, float]
    key: tuple[float, float, float]
    fill_direction: tuple[float, float, float]
    fill: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    light_spread: float
    exposure_spread: float
    black: float
    contrast: float
    saturation: float
    blur: float
    noise: float
    jpeg: int
    vignette: float
    grey: float
    backdrop: str


@dataclass(frozen=True)
class Domain:
    """A population, what it does and how it is filmed.

    Attributes
    ----------
    name : str
        ``"unbc"`` or ``"biovid"``: decides layout and behaviour.
    camera : Camera
    ages : tuple of int
        Lowest and highest age.
    size : int
        Height of a frame in pixels when none is asked for.
    frames : int
        Median frames of a sequence (UNBC-like) or frames of a video (BioVid-like) when none is asked for.
    fps : float
        Frames per second.
    head_motion : float
        Scale of spontaneous head movement, nods of speech included; 1 is about 3 degrees of yaw. Nothing else depends
        on it but the gaze, which the eyes hold while the head turns.
    guarding : float
        Scale of the head's withdrawal during pain.
    reactivity : float
        Scale of the response to pain of all subjects.
    non_responders : float
        Share of subjects that hardly react.
    expressiveness : float
        How far faces move for a coded intensity; 1 is anatomically plausible. Eyes close alike, and codes stay.
    asymmetry : float
        Scale of the imbalance between the halves of the face.
    distraction : float
        Rate of talking, smiling and other expressions without pain; 1 is about one in six seconds.
    pain_share : float
        Share of sequences in which something hurts (UNBC-like only).
    landmark_error : float
        Standard deviation of each coordinate of a written landmark, in distances between the eyes: what a program that
        tracks faces gets wrong. 0 writes where the landmarks are.
    """

    name: str
    camera: Camera
    ages: tuple[int, int]
    size: int
    frames: int
    fps: float
    head_motion: float
    guarding: float
    reactivity: float
    non_responders: float
    expressiveness: float
    asymmetry: float
    distraction: float
    pain_share: float = 0.0
    landmark_error: float = 0.0


def frame_shape(domain: Domain, height: int) -> tuple[int, int]:
    """Return height and width of a frame; both are even, as video codecs want.

    Raises
    ------
    ValueError
        If `height` is below 32, where nothing of a face is left.
    """
    if height < 32:
        raise ValueError(f"size must be at least 32 pixels, got {height}")
    return height + height % 2, 2 * round(height * domain.camera.aspect / 2)


UNBC = Domain(
    name="unbc",
    camera=Camera(
        aspect=320 / 240,
        view=25.0,
        distance=110.0,
        offset=(0.50, 0.44),
        framing=0.035,
        key_direction=(-0.55, 0.50, 0.75),
        key=(1.15, 1.05, 0.90),
        fill_direction=(0.85, 0.15, 0.6),
        fill=(0.22, 0.22, 0.24),
        sky=(0.38, 0.37, 0.36),
        ground=(0.24, 0.215, 0.19),
        light_spread=0.16,
        exposure_spread=0.22,
        black=0.035,
        contrast=0.92,
        saturation=0.85,
        blur=0.0035,
        noise=3.0,
        jpeg=88,
        vignette=0.10,
        grey=0.0,
        backdrop="room",
    ),
    ages=(22, 68),
    size=72,
    frames=145,
    fps=25.0,
    head_motion=0.4,
    guarding=0.7,
    reactivity=1.0,
    non_responders=0.08,
    expressiveness=1.0,
    asymmetry=1.0,
    distraction=0.7,
    pain_share=0.585,
)
"""Shoulder patients filmed while their arm is moved: spontaneous pain, talking, a lively head, an ordinary room."""

BIOVID = Domain(
    name="biovid",
    camera=Camera(
        aspect=1388 / 1038,
        view=29.0,
        distance=160.0,
        offset=(0.50, 0.45),
        framing=0.02,
        key_direction=(0.30, 0.42, 0.92),
        key=(0.76, 0.80, 0.86),
        fill_direction=(-0.75, 0.1, 0.7),
        fill=(0.34, 0.37, 0.41),
        sky=(0.40, 0.42, 0.46),
        ground=(0.30, 0.30, 0.31),
        light_spread=0.05,
        exposure_spread=0.10,
        black=0.0,
        contrast=1.06,
        saturation=1.08,
        blur=0.0022,
        noise=1.1,
        jpeg=0,
        vignette=0.03,
        grey=0.0,
        backdrop="screen",
    ),
    ages=(18, 65),
    size=72,
    frames=138,
    fps=25.0,
    head_motion=0.3,
    guarding=0.6,
    reactivity=1.0,
    non_responders=0.22,
    expressiveness=1.0,
    asymmetry=0.8,
    distraction=0.3,
)
"""Volunteers under heat of five levels: short clips from a still laboratory camera, late and individual reactions."""

DOMAINS = {domain.name: domain for domain in (UNBC, BIOVID)}
