"""Generated videos in the layout of UCSD Ped2, which both vadbench and other programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_SIZE = (240, 360)


def write(root: Path, frames: int, videos: int = 2) -> Path:
    """Write ``videos`` training and test videos of ``frames`` frames; returns the folder that holds ``UCSDped2``.

    Noise on a still background with dark figures that walk; in the second half of a test video a bright one that runs,
    which the masks mark. The same bytes at every call.
    """
    from PIL import Image

    base = np.kron(np.random.default_rng(0).normal(120, 25, (12, 18)), np.ones((20, 20)))
    for split in ("Train", "Test"):
        for number in range(1, videos + 1):
            draw = np.random.default_rng([number, split == "Test"])
            folder = root / "UCSDped2" / split / f"{split}{number:03d}"
            masks = folder.with_name(f"{folder.name}_gt")
            for made in (folder, masks) if split == "Test" else (folder,):
                made.mkdir(parents=True)
            walkers = [(draw.uniform(40, 200), draw.uniform(0, 360), draw.normal(0, 1)) for _ in range(6)]
            for t in range(frames):
                image = base + draw.normal(0, 4, _SIZE)
                for y, x, speed in walkers:
                    image[_box(y, x + speed * t, 12, 6)] -= 60
                mask = np.zeros(_SIZE, np.uint8)
                if split == "Test" and t >= frames // 2:
                    runner = _box(132, 40 + 6 * (t - frames // 2), 14, 16)
                    image[runner] += 90
                    mask[runner] = 255
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{t + 1:03d}.tif")
                if split == "Test":
                    Image.fromarray(mask).save(masks / f"{t + 1:03d}.bmp")
    return root


def _box(y: float, x: float, half_height: int, half_width: int) -> tuple[slice, np.ndarray]:
    rows = slice(max(int(y) - half_height, 0), int(y) + half_height)
    return rows, np.arange(int(x) - half_width, int(x) + half_width) % _SIZE[1]
