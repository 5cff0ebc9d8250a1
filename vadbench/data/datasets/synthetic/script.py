"""Who is where and when in a synthetic video: the flow of walkers, and the anomalies put into it.

Everybody walks towards +X along one of two paths, at 1.0 to 1.7 metres a second. Shape legend: T frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from vadbench.data.datasets.synthetic.bodies import Look, Pose, stride_length
from vadbench.data.datasets.synthetic.scene import Camera

FRAME_RATE = 12.0  # frames a second

KINDS = ("runner", "cyclist", "wrong_way", "left_object", "loiterer")

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Path:
    """A footpath Z(X) = z + slope X + bend sin(X / 3), ``width`` metres wide."""

    z: float
    slope: float
    bend: float
    width: float

    def at(self, x: np.ndarray, offset: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Z, and the heading in radians of someone who walks towards +X."""
        z = self.z + self.slope * x + self.bend * np.sin(x / 3) + offset
        return z, np.arctan(self.slope + self.bend / 3 * np.cos(x / 3))


PATHS = (Path(10.0, 0.07, 0.15, 2.2), Path(16.2, -0.08, 0.3, 4.0))


@dataclass
class Agent:
    """One moving thing: its pose in every frame, None where it is absent."""

    track: int
    kind: str  # walker, or one of KINDS
    shape: Literal["person", "cyclist", "bag"]
    look: Look
    poses: list[Pose | None]
    accent: Colour = (120.0, 120.0, 120.0)  # bicycle or bag
    anomalous: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # (T,)
    why: str = ""
    drops_bag_at: int | None = None  # from this frame the shoulder bag is gone

    def look_at(self, frame: int) -> Look:
        """Return what the agent looks like in ``frame``."""
        gone = self.drops_bag_at is not None and frame >= self.drops_bag_at
        return replace(self.look, bag=False) if gone else self.look


def draw_look(rng: np.random.Generator) -> Look:
    """Return a person: height about 1.72 m, clothes and skin from a palette."""
    tops = [(168, 44, 46), (44, 72, 140), (226, 222, 214), (38, 40, 46), (66, 112, 76), (196, 150, 60), (120, 120, 128)]
    legs = [(38, 44, 66), (30, 30, 32), (92, 84, 70), (70, 88, 124), (150, 140, 122)]
    skins = [(224, 184, 158), (198, 150, 118), (148, 104, 78), (96, 66, 50)]
    hairs = [(40, 28, 22), (84, 58, 36), (168, 132, 84), (24, 24, 26), (150, 146, 142)]

    def pick(palette: list[tuple[int, int, int]]) -> Colour:
        colour = np.array(palette[rng.integers(len(palette))]) + rng.normal(0, 7, 3)
        red, green, blue = np.clip(colour, 8, 240)
        return float(red), float(green), float(blue)

    height = float(np.clip(rng.normal(1.72, 0.08), 1.5, 1.95))
    return Look(
        height, pick(skins), pick(hairs), pick(tops), pick(legs), pick([(34, 30, 28), (190, 188, 184)]),
        coat=bool(rng.random() < 0.3), bag=bool(rng.random() < 0.35),
    )  # fmt: skip


def _poses(
    path: Path,
    offset: float,
    x0: float,
    velocity: np.ndarray,
    height: float,
    effort: np.ndarray | float,
    edge: float,
    sway: np.ndarray | float = 0.0,
    bend: np.ndarray | float = 0.0,
    stride: float | None = None,
    phase0: float = 0.0,
) -> list[Pose | None]:
    """Follow ``path`` from ``x0`` with ``velocity`` (T,) in metres a second along X; absent beyond ``edge``."""
    count = len(velocity)
    x = x0 + np.concatenate([[0.0], np.cumsum(velocity[:-1])]) / FRAME_RATE
    wander = 0.12 * np.sin(x / 1.9 + offset * 7)
    z, heading = path.at(x, offset + wander)
    facing = np.where(velocity < -1e-6, -1.0, np.where(velocity > 1e-6, 1.0, np.nan))
    facing = _hold(facing)
    facing = np.convolve(np.pad(facing, 3, mode="edge"), np.ones(7) / 7, mode="valid")  # nobody turns in one frame
    heading = heading + (1 - facing) / 2 * np.pi
    cycle = stride_length(height, float(np.max(effort))) if stride is None else stride
    phase = phase0 + 2 * np.pi * np.concatenate([[0.0], np.cumsum(np.abs(velocity[:-1]))]) / FRAME_RATE / cycle
    columns = [np.broadcast_to(np.asarray(c, float), (count,)) for c in (effort, sway, bend)]
    rows = np.stack([x, z, heading, phase, *columns], axis=1)
    return [Pose(*map(float, row)) if abs(row[0]) <= edge else None for row in rows]


def _hold(values: np.ndarray) -> np.ndarray:
    """NaN replaced by the value before it, leading NaN by the first value, all NaN by 1."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return np.ones_like(values)
    at = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    return values[known[np.maximum(at, 0)]]


def _edge(camera: Camera, path: Path) -> float:
    """Return how far out (metres from the middle) someone on ``path`` is out of the picture, shadow included."""
    return camera.half_width(path.z + path.width) + 2.5


def walkers(rng: np.random.Generator, camera: Camera, n_frames: int) -> list[Agent]:
    """Return the normal flow, already under way at frame 0: singles and pairs that arrive at random on both paths."""
    agents: list[Agent] = []
    for path in PATHS:
        edge = _edge(camera, path)
        start, end = -2 * edge / 1.0, n_frames / FRAME_RATE
        moment = start + rng.exponential(3.0)
        while moment < end:
            speed = float(np.clip(rng.normal(1.32, 0.13), 1.0, 1.7))
            offset = float(rng.uniform(-0.5, 0.5) * (path.width - 0.8))
            for friend in range(2 if rng.random() < 0.25 else 1):
                look = draw_look(rng)
                phase = float(rng.uniform(0, 2 * np.pi))
                beside = offset + 0.65 * friend
                x0 = -edge - speed * moment + float(rng.uniform(-0.2, 0.2)) * friend
                velocity = _walking(rng, n_frames, speed)
                poses = _poses(path, beside, x0, velocity, look.height, speed / 1.32, edge, phase0=phase)
                agents.append(Agent(0, "walker", "person", look, poses))
            moment += 1.2 + rng.exponential(2.2)
    present = [agent for agent in agents if any(pose is not None for pose in agent.poses)]
    for agent in present:
        agent.anomalous = np.zeros(n_frames, bool)
    return present


def _walking(rng: np.random.Generator, n_frames: int, speed: float) -> np.ndarray:
    """Return a steady speed that wavers by a few per cent; the seconds before frame 0 are not simulated."""
    time = np.arange(n_frames) / FRAME_RATE
    return speed * (1 + 0.04 * np.sin(2 * np.pi * time / rng.uniform(2, 5) + rng.uniform(0, 6.3)))


def _crossing(rng: np.random.Generator, camera: Camera, n_frames: int, kind: str, share: float) -> list[Agent]:
    """Return a runner, cyclist or wrong-way walker who crosses the picture, entering at ``share`` of the video."""
    path = PATHS[rng.integers(len(PATHS))]
    look = replace(draw_look(rng), coat=False, bag=False) if kind != "wrong_way" else draw_look(rng)
    edge = _edge(camera, path)
    offset = float(rng.uniform(-0.4, 0.4) * (path.width - 0.8))
    speed = float({"runner": rng.uniform(3.2, 4.0), "cyclist": rng.uniform(3.8, 4.8)}.get(kind, rng.uniform(1.15, 1.5)))
    sign = -1.0 if kind == "wrong_way" else 1.0
    # Where the picture begins at this depth, so that the agent is seen from the chosen frame on.
    rim = camera.half_width(path.z + offset - sign * path.slope * path.z / 2)
    entry = round(share * n_frames)
    x0 = -sign * (rim + speed * entry / FRAME_RATE)
    effort = {"runner": 2.0, "cyclist": 1.0}.get(kind, speed / 1.32)
    stride = 5.2 if kind == "cyclist" else None  # metres a turn of the cranks
    poses = _poses(path, offset, x0, np.full(n_frames, sign * speed), look.height, effort, edge, stride=stride)
    why = {
        "runner": f"runs at {speed:.1f} m/s where people walk at 1.0 to 1.7 m/s",
        "cyclist": f"rides a bicycle on a footpath at {speed:.1f} m/s",
        "wrong_way": "walks against the direction in which all others walk",
    }[kind]
    shape: Literal["person", "cyclist"] = "cyclist" if kind == "cyclist" else "person"
    accent = [(150.0, 38.0, 40.0), (40.0, 80.0, 130.0), (60.0, 60.0, 64.0)][rng.integers(3)]
    return [Agent(0, kind, shape, look, poses, accent, np.ones(n_frames, bool), why)]


def _stop(rng: np.random.Generator, camera: Camera, first: int, speed: float) -> tuple[Path, float, float]:
    """Return where someone stops at frame ``first``: path, offset, and the X at frame 0."""
    path = PATHS[rng.integers(len(PATHS))]
    offset = float(path.width / 2 * rng.choice([-1.0, 1.0]))
    x_stop = float(rng.uniform(-0.45, 0.45) * camera.half_width(path.z))
    return path, offset, x_stop - speed * first / FRAME_RATE


def _left_object(rng: np.random.Generator, camera: Camera, n_frames: int, share: float) -> list[Agent]:
    """Return the agents of one who stops, stoops, and walks on without the bag; the bag is anomalous from the moment
    it stands there."""
    speed, pause = float(rng.uniform(1.1, 1.4)), 12
    down = round(share * n_frames)
    first = max(0, down - pause // 2)
    path, offset, x0 = _stop(rng, camera, first, speed)
    look = replace(draw_look(rng), bag=True, coat=False)
    velocity, stoop = np.full(n_frames, speed), np.zeros(n_frames)
    velocity[first : first + pause] = 0
    frames = np.arange(first, min(first + pause, n_frames))
    stoop[frames] = 0.9 * np.sin(np.pi * (frames - first + 0.5) / pause)
    effort = np.where(velocity > 0, speed / 1.32, 0.0)
    poses = _poses(path, offset, x0, velocity, look.height, effort, _edge(camera, path), bend=stoop)
    owner = Agent(0, "walker", "person", look, poses, anomalous=np.zeros(n_frames, bool), drops_bag_at=down)
    stand = poses[min(down, n_frames - 1)]
    assert stand is not None, "the owner stops inside the picture"
    spot = Pose(stand.x + 0.3, stand.z - 0.25, 0.0, 0.0, 0.0)
    bag_poses = [spot if frame >= down else None for frame in range(n_frames)]
    accent = [(30.0, 34.0, 44.0), (120.0, 34.0, 34.0), (52.0, 70.0, 50.0)][rng.integers(3)]
    why = "a bag left on the ground, its owner walks away"
    return [owner, Agent(0, "left_object", "bag", look, bag_poses, accent, np.arange(n_frames) >= down, why)]


def _loiterer(rng: np.random.Generator, camera: Camera, n_frames: int, share: float) -> list[Agent]:
    """Return the agents of one who stops, stands about, paces to and fro and walks on; anomalous from the stop until
    walking on."""
    speed = float(rng.uniform(1.1, 1.4))
    first, last = round(share * n_frames), round(min(0.95, share + 0.4) * n_frames)
    path, offset, x0 = _stop(rng, camera, first, speed)
    look = draw_look(rng)
    velocity = np.full(n_frames, speed)
    cycle = (np.arange(n_frames) - first) / FRAME_RATE % 6.0
    pacing = np.where((cycle > 1.2) & (cycle < 2.7), -0.55, np.where((cycle > 4.0) & (cycle < 5.5), 0.55, 0.0))
    velocity[first:last] = pacing[first:last]
    effort = np.abs(velocity) / 1.32
    sway = 0.05 * np.sin(2 * np.pi * np.arange(n_frames) / FRAME_RATE / 2.6)
    sway[:first], sway[last:] = 0.0, 0.0
    poses = _poses(path, offset, x0, velocity, look.height, effort, _edge(camera, path), sway=sway)
    frames = np.arange(n_frames)
    why = f"stands and paces for {(last - first) / FRAME_RATE:.0f} s where people pass through"
    return [Agent(0, "loiterer", "person", look, poses, anomalous=(frames >= first) & (frames < last), why=why)]


def anomaly(rng: np.random.Generator, camera: Camera, n_frames: int, kind: str, share: float) -> list[Agent]:
    """Return the agents of one anomaly of ``kind`` (one of :data:`KINDS`) that begins at about ``share`` of the
    video."""
    if kind == "left_object":
        return _left_object(rng, camera, n_frames, share)
    if kind == "loiterer":
        return _loiterer(rng, camera, n_frames, share)
    return _crossing(rng, camera, n_frames, kind, share)


def plan(index: int) -> list[tuple[str, float]]:
    """Return the anomalies of test video ``index`` (from 0) as (kind, share of the video at which it begins).

    Six plans repeat: one for each kind, then a video in which nothing happens.
    """
    plans: list[list[tuple[str, float]]] = [
        [("runner", 0.12), ("runner", 0.62)],
        [("cyclist", 0.2), ("cyclist", 0.55)],
        [("wrong_way", 0.22)],
        [("left_object", 0.66), ("cyclist", 0.1)],
        [("loiterer", 0.3), ("runner", 0.74)],
        [],
    ]
    return plans[index % len(plans)]


def script(rng: np.random.Generator, camera: Camera, n_frames: int, events: list[tuple[str, float]]) -> list[Agent]:
    """Everyone in one video, numbered from 1 (``track``)."""
    agents = walkers(rng, camera, n_frames)
    for kind, share in events:
        agents += anomaly(rng, camera, n_frames, kind, share)
    for number, agent in enumerate(agents, start=1):
        agent.track = number
    return agents
