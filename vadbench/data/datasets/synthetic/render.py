"""Draws a synthetic video: agents as capsules over the empty square, their shadows, the light, the sensor's noise.

Shape legend: T frames, H W pixels, h w a patch of them, A anomalous agents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vadbench.data.datasets.synthetic.bodies import Capsule, Look, Pose, bag, cyclist, person
from vadbench.data.datasets.synthetic.scene import Camera
from vadbench.data.datasets.synthetic.script import Agent

FINE = 4  # agents are drawn this much finer and averaged down
SHADOW = 0.42  # share of the light that a shadow takes away
SUN = (-0.55, -0.35)  # metres (X, Z) by which the shadow of a point 1 m above the ground is displaced
POST = (2.9, 13.2, 5.2)  # X, Z and height of a lamp post, which hides what passes behind it
_SHIFT = 4  # fractional bits of the coordinates that OpenCV draws at


@dataclass(frozen=True)
class Rendered:
    """One frame with what is to be seen in it.

    frame: ``uint8 (H, W, 3)`` RGB. visible: track to ``bool (H, W)``, True where at least half of the pixel shows that
    agent (its shadow is not part of it, what something nearer hides is not either).
    """

    frame: np.ndarray
    visible: dict[int, np.ndarray]


def render(
    agents: list[Agent], scene: np.ndarray, camera: Camera, n_frames: int, noise: float, rng: np.random.Generator
) -> Iterator[Rendered]:
    """Yield every frame of the video; ``noise`` is the standard deviation of the sensor noise in grey levels."""
    post = _as_body(_post())
    period, start = rng.uniform(70, 140), rng.uniform(0, 2 * np.pi)
    tint = np.array([1.0, 0.6, 0.2], np.float32) * np.float32(0.012)
    for t in range(n_frames):
        bodies = [(pose.z, agent.track, _body(agent, pose, t)) for agent in agents if (pose := agent.poses[t])]
        bodies.append((POST[1], 0, post))
        picture = _shade(scene, camera, [body for _, _, body in bodies])
        layers: dict[int, np.ndarray] = {}
        for _, track, body in sorted(bodies, key=lambda body: (-body[0], body[1])):
            _paint(picture, layers, track, camera, body)
        drift = np.sin(2 * np.pi * t / period + start)
        gain = 1 + np.float32(0.02 * drift) + tint * np.float32(np.sin(2 * np.pi * t / (2.7 * period)))
        sensed = picture * gain
        if noise:
            sensed += rng.standard_normal(sensed.shape, dtype=np.float32) * np.float32(noise)
        frame = np.clip(np.rint(sensed), 0, 255).astype(np.uint8)
        yield Rendered(frame, {track: layer >= 0.5 for track, layer in layers.items() if track})


@dataclass(frozen=True)
class _Body:
    """N capsules as arrays: ends ``(N, 2, 3)`` and radii ``(N,)`` in metres, and colours with full coverage."""

    ends: np.ndarray
    radii: np.ndarray
    colours: list[tuple[int, ...]]


def _as_body(capsules: list[Capsule]) -> _Body:
    ends = np.array([[c.start, c.end] for c in capsules])
    return _Body(ends, np.array([c.radius for c in capsules]), [(*map(round, c.colour), 255) for c in capsules])


def _body(agent: Agent, pose: Pose, frame: int) -> _Body:
    look: Look = agent.look_at(frame)
    if agent.shape == "bag":
        return _as_body(bag(pose.x, pose.z, agent.accent))
    if agent.shape == "cyclist":
        return _as_body(cyclist(pose, look, agent.accent))
    return _as_body(person(pose, look))


def _post() -> list[Capsule]:
    x, z, height = POST
    foot, top = np.array([x, 0.0, z]), np.array([x, height, z])
    dark = (52.0, 56.0, 58.0)
    return [
        Capsule(foot, np.array([x, 0.5, z]), 0.11, dark),
        Capsule(foot, top, 0.065, dark),
        Capsule(top, np.array([x - 0.7, height + 0.1, z]), 0.06, dark),
    ]


def _box(points: np.ndarray, radii: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the whole pixels (x1, y1, x2, y2) that hold the drawing; None if it is out of the picture."""
    low = np.floor((points - radii[:, None]).min(axis=0)).astype(int) - 1
    high = np.ceil((points + radii[:, None]).max(axis=0)).astype(int) + 1
    x1, y1 = max(int(low[0]), 0), max(int(low[1]), 0)
    x2, y2 = min(int(high[0]), size[1]), min(int(high[1]), size[0])
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _draw(
    canvas: np.ndarray,
    ends: np.ndarray,
    radii: np.ndarray,
    colours: Sequence[tuple[int, ...] | int],
    corner: tuple[int, int],
) -> None:
    """Draw capsules with ``ends`` (N, 2, 2) and ``radii`` (N,) in pixels on a canvas that is FINE times as fine."""
    # OpenCV's coordinates are those of pixel centres, ours of pixel corners: hence the half.
    at = np.rint(((ends - np.array(corner)) * FINE - 0.5) * (1 << _SHIFT)).astype(int)
    for (start, end), radius, colour in zip(at.tolist(), (radii * FINE).tolist(), colours, strict=True):
        cv2.line(canvas, start, end, colour, max(1, round(2 * radius)), cv2.LINE_8, _SHIFT)


def _seen(camera: Camera, ends: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels ``(N, 2, 2)`` of both ends, and radii in pixels ``(N,)``, of capsules in metres."""
    depth = ends[:, :, 2].mean(axis=1)
    return camera.project(ends.reshape(-1, 3)).reshape(-1, 2, 2), radii * camera.focal / depth


def _paint(picture: np.ndarray, layers: dict[int, np.ndarray], track: int, camera: Camera, body: _Body) -> None:
    """Put one body over ``picture`` and over the coverage ``layers`` of those behind it."""
    ends, radii = _seen(camera, body.ends, body.radii)
    box = _box(ends.reshape(-1, 2), np.repeat(radii, 2), camera.size)
    if box is None:
        return
    x1, y1, x2, y2 = box
    fine = np.zeros(((y2 - y1) * FINE, (x2 - x1) * FINE, 4), np.uint8)
    _draw(fine, ends, radii, body.colours, (x1, y1))
    patch = cv2.resize(fine.astype(np.float32), (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
    alpha = patch[..., 3] / np.float32(255)
    window = (slice(y1, y2), slice(x1, x2))
    picture[window] = picture[window] * (1 - alpha)[..., None] + patch[..., :3]
    for layer in layers.values():
        layer[window] *= 1 - alpha
    own = np.zeros(camera.size, np.float32)
    own[window] = alpha
    layers[track] = own


def _shade(scene: np.ndarray, camera: Camera, bodies: list[_Body]) -> np.ndarray:
    """Return a copy of ``scene`` with the shadows that the bodies cast on the ground."""
    dark = np.zeros(camera.size, np.float32)
    for body in bodies:
        ends, radii = _seen(camera, _fallen(body.ends), 0.75 * body.radii)
        box = _box(ends.reshape(-1, 2), np.repeat(radii, 2), camera.size)
        if box is None:
            continue
        x1, y1, x2, y2 = box
        fine = np.zeros(((y2 - y1) * FINE, (x2 - x1) * FINE), np.uint8)
        _draw(fine, ends, radii, [255] * len(radii), (x1, y1))
        patch = cv2.resize(fine.astype(np.float32), (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
        window = (slice(y1, y2), slice(x1, x2))
        dark[window] = np.maximum(dark[window], patch / np.float32(255))
    soft = cv2.GaussianBlur(dark, (3, 3), 0.6)
    shaded: np.ndarray = scene * (1 - np.float32(SHADOW) * soft)[..., None]
    return shaded


def _fallen(ends: np.ndarray) -> np.ndarray:
    """Return where the shadows of points ``(..., 3)`` fall on the ground."""
    x, y, z = np.moveaxis(ends, -1, 0)
    return np.stack([x + SUN[0] * y, np.zeros_like(y), z + SUN[1] * y], axis=-1)
