"""The fixed camera of the synthetic dataset and the empty square that it looks at.

Ground coordinates are metres: X to the right, Y up, Z away from the camera. Shape legend: H W pixels, N points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SUPERSAMPLE = 4  # the background is drawn this much finer and averaged down

HORIZON = 0.02  # all as shares of the image height: the row of the horizon,
FOCAL = 1.6  # the focal length,
CAMERA_HEIGHT = 4.2  # and, in metres, the height of the camera

GRASS_FROM = 21.5  # Z of the far edge of the paving
HEDGE_FROM = 25.0  # Z of the foot of the hedge
HEDGE_HEIGHT = 1.6
TILE = 0.9  # side of a paving stone in metres


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without tilt whose sensor is shifted down, so that upright things stay upright.

    u = W/2 + f X / Z and v = v0 + f (h - Y) / Z, in pixels, (0, 0) the outer corner of the first pixel.
    """

    size: tuple[int, int]

    @property
    def focal(self) -> float:
        """Focal length f in pixels."""
        return FOCAL * self.size[0]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels ``float64 (N, 2)`` as (u, v) of ``(N, 3)`` points in metres with Z > 0."""
        height, width = self.size
        depth = points[:, 2]
        u = width / 2 + self.focal * points[:, 0] / depth
        v = HORIZON * height + self.focal * (CAMERA_HEIGHT - points[:, 1]) / depth
        return np.stack([u, v], axis=1)

    def scale(self, depth: float) -> float:
        """Pixels a metre at a distance of ``depth`` metres."""
        return self.focal / depth

    def half_width(self, depth: float) -> float:
        """Metres from the middle of the picture to its edge at ``depth``."""
        return self.size[1] / 2 / self.scale(depth)

    def ground(self, supersample: int) -> tuple[np.ndarray, np.ndarray]:
        """(X, Z) of the ground at every pixel centre, each ``float32 (H*s, W*s)``; infinitely far above the horizon."""
        height, width = self.size
        v = (np.arange(height * supersample, dtype=np.float64) + 0.5) / supersample
        u = (np.arange(width * supersample, dtype=np.float64) + 0.5) / supersample
        below = np.maximum(v - HORIZON * height, 1e-3)
        z = self.focal * CAMERA_HEIGHT / below
        x = (u[None, :] - width / 2) * z[:, None] / self.focal
        return x.astype(np.float32), np.broadcast_to(z[:, None], x.shape).astype(np.float32)


def _texture(rng: np.random.Generator, x: np.ndarray, z: np.ndarray, period: float) -> np.ndarray:
    """Smooth noise in [-1, 1] over ground coordinates, with features of about ``period`` metres; repeats every 64."""
    grid = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    at_x, at_z = np.mod(x / period, 64), np.mod(z / period, 64)
    return cv2.remap(
        grid, at_x.astype(np.float32), at_z.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )


def _paving(rng: np.random.Generator, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Grey stones in staggered rows, each of its own shade, with dark joints, stains and grain."""
    row = np.floor(z / TILE)
    along = x / TILE + 0.5 * np.mod(row, 2)
    column = np.floor(along)
    shades = rng.normal(0, 6, (97, 89)).astype(np.float32)
    stone = shades[np.mod(row, 97).astype(np.intp), np.mod(column, 89).astype(np.intp)]
    joint_z = np.abs(z / TILE - row - 0.5) > 0.5 - 0.03
    joint_x = np.abs(along - column - 0.5) > 0.5 - 0.03
    grey = 142 + stone + 7 * _texture(rng, x, z, 1.7) + 5 * _texture(rng, x, z, 0.11)
    grey = grey - 26 * (joint_z | joint_x)
    stones: np.ndarray = grey[..., None] * np.array([1.0, 0.97, 0.91], np.float32)
    return stones


def _grass(rng: np.random.Generator, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    value = 96 + 14 * _texture(rng, x, z, 0.9) + 10 * _texture(rng, x, z, 0.15)
    grass: np.ndarray = value[..., None] * np.array([0.78, 1.0, 0.55], np.float32)
    return grass


def _backdrop(rng: np.random.Generator, camera: Camera, fine: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a hedge with a house front above it: the picture ``(H*s, W*s, 3)``, and where it hides the ground."""
    height, width = camera.size
    scale = camera.scale(HEDGE_FROM)
    foot = HORIZON * height + CAMERA_HEIGHT * scale
    top = foot - HEDGE_HEIGHT * scale
    v, u = np.mgrid[0 : height * fine, 0 : width * fine].astype(np.float32) / fine
    x, y = (u - width / 2) / scale, (foot - v) / scale
    ragged = 0.16 * _texture(rng, x, np.zeros_like(x), 0.35)
    leaves = 62 + 15 * _texture(rng, x, y, 0.3) + 12 * _texture(rng, x, y, 0.13)
    hedge = leaves[..., None] * np.array([0.62, 1.0, 0.5], np.float32)
    bricks = 128 + 6 * _texture(rng, x, y * 3, 0.5)
    window = (np.mod(x + 1.1, 3.1) < 1.3) & (y > HEDGE_HEIGHT + 0.45)
    wall = bricks[..., None] * np.array([1.0, 0.82, 0.7], np.float32)
    wall = np.where(window[..., None], np.array([58, 66, 78], np.float32), wall)
    picture = np.where((v > top - ragged * scale)[..., None], hedge, wall)
    return picture, v < foot


def background(rng: np.random.Generator, camera: Camera) -> np.ndarray:
    """Return the empty square as ``float32 (H, W, 3)`` RGB in grey levels; its textures come from ``rng``."""
    fine = SUPERSAMPLE
    x, z = camera.ground(fine)
    edge = GRASS_FROM + 0.25 * _texture(rng, x, z, 2.3)
    picture = np.where((z > edge)[..., None], _grass(rng, x, z), _paving(rng, x, z))
    kerb = np.abs(z - edge) < 0.16
    picture = np.where(kerb[..., None], np.array([172, 168, 158], np.float32), picture)
    far, hidden = _backdrop(rng, camera, fine)
    picture = np.where(hidden[..., None], far, picture)
    height, width = camera.size
    small = cv2.resize(picture.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    # A lens is a little darker towards its corners.
    v, u = np.mgrid[0:height, 0:width]
    radius = ((u - width / 2) / width) ** 2 + ((v - height / 2) / height) ** 2
    seen: np.ndarray = (small * (1 - 0.25 * radius)[..., None]).astype(np.float32)
    return seen
