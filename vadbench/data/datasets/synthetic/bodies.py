"""What moves through the synthetic scene: people with a gait, a cyclist, a bag, as capsules in metres.

Shape legend: N capsules.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

THIGH, SHIN = 0.245, 0.246  # segment lengths as shares of the body height (Winter, Biomechanics, table 4.1)
UPPER_ARM, FOREARM = 0.186, 0.20
SHOULDER, NECK, HEAD = 0.818, 0.87, 0.935  # heights of joints above the ground, standing


Trunk = Callable[[float, float], np.ndarray]
"""(body heights above the hips, body heights to the side) to a point in metres."""


@dataclass(frozen=True)
class Capsule:
    """A thick line with round ends from ``start`` to ``end`` (both in metres), of one colour (RGB grey levels)."""

    start: np.ndarray
    end: np.ndarray
    radius: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """How tall someone is (metres) and what they wear."""

    height: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    top: tuple[float, float, float]
    legs: tuple[float, float, float]
    shoes: tuple[float, float, float]
    coat: bool  # a coat reaches half down the thighs
    bag: bool  # a shoulder bag


@dataclass(frozen=True)
class Pose:
    """Where someone is and how they move at one moment.

    x, z: ground position in metres; heading: walking direction in radians, 0 is +X, pi/2 is +Z (away).
    phase: gait phase in radians; effort: 0 standing, 1 walking, 2 running; sway: sideways lean in radians.
    bend: forward bend of the trunk in radians, such as when putting something down.
    """

    x: float
    z: float
    heading: float
    phase: float
    effort: float
    sway: float = 0.0
    bend: float = 0.0


@dataclass(frozen=True)
class _Frame:
    """Body axes in the world: ``at(forward, side, up)`` is a point in metres."""

    origin: np.ndarray
    forward: np.ndarray
    side: np.ndarray

    def at(self, forward: float, side: float, up: float) -> np.ndarray:
        point: np.ndarray = self.origin + forward * self.forward + side * self.side + np.array([0.0, up, 0.0])
        return point


def _axes(pose: Pose) -> _Frame:
    cosine, sine = np.cos(pose.heading), np.sin(pose.heading)
    return _Frame(np.array([pose.x, 0.0, pose.z]), np.array([cosine, 0.0, sine]), np.array([-sine, 0.0, cosine]))


def stride_length(height: float, effort: float) -> float:
    """Metres covered in one gait cycle (two steps)."""
    return height * (0.82 + 0.75 * max(0.0, effort - 1.0))


def _leg_angles(phase: float, effort: float) -> tuple[float, float]:
    """(hip, knee) of one leg in radians: hip forward positive, knee flexion positive; flexed in swing."""
    walk, run = min(effort, 1.0), max(0.0, effort - 1.0)
    hip = (0.43 * walk + 0.34 * run) * np.sin(phase) + 0.12 * run
    swing = max(0.0, np.cos(phase + 0.35)) ** 2
    knee = 0.06 + (0.85 * walk + 0.85 * run) * swing + 0.12 * run
    return float(hip), float(knee)


def _dim(colour: tuple[float, float, float], share: float) -> tuple[float, float, float]:
    return (colour[0] * share, colour[1] * share, colour[2] * share)


def person(pose: Pose, look: Look) -> list[Capsule]:
    """Return the capsules of a person, far limbs first.

    The hips are as high as the lower foot allows, which makes the body bob and keeps the feet on the ground.
    """
    a, frame = look.height, _axes(pose)
    sides = (1.0, -1.0)
    angles = [_leg_angles(pose.phase + (0.0 if s > 0 else np.pi), pose.effort) for s in sides]
    reach = max(THIGH * np.cos(hip) + SHIN * np.cos(hip - knee) for hip, knee in angles)
    run = max(0.0, pose.effort - 1.0)
    flight = 0.035 * run * (1 - np.cos(2 * pose.phase)) / 2
    hips = (0.042 + reach + flight) * a
    lean = 0.03 * min(pose.effort, 1.0) + 0.2 * run + pose.bend

    def trunk(up: float, side: float) -> np.ndarray:
        """Return a point of the trunk ``up`` body heights above the hips."""
        return frame.at(np.sin(lean) * up * a, side * a + np.sin(pose.sway) * up * a, hips + np.cos(lean) * up * a)

    order = sides if frame.side[2] > 0 else sides[::-1]  # the side away from the camera is drawn first
    shares = {order[0]: 0.72, order[1]: 1.0}
    parts: list[Capsule] = []
    arms = {s: _arm(pose, look, trunk, s, angles[0 if s < 0 else 1][0], lean, frame, shares[s]) for s in sides}
    parts += arms[order[0]]
    for s in order:
        parts += _leg(frame, look, hips, s, *angles[0 if s > 0 else 1], shares[s])
    parts += _torso(look, trunk)
    if look.bag:
        parts.append(
            Capsule(trunk(0.0, order[1] * 0.13), trunk(0.09, order[1] * 0.13), 0.075 * a, _dim(look.shoes, 0.9))
        )
    parts += arms[order[1]]
    return parts


def _leg(frame: _Frame, look: Look, hips: float, side: float, hip: float, knee: float, share: float) -> list[Capsule]:
    a = look.height
    top = frame.at(0, side * 0.05 * a, hips)
    joint = frame.at(THIGH * a * np.sin(hip), side * 0.05 * a, hips - THIGH * a * np.cos(hip))
    ankle = joint + frame.at(SHIN * a * np.sin(hip - knee), 0, -SHIN * a * np.cos(hip - knee)) - frame.origin
    toe = ankle + 0.1 * a * frame.forward - np.array([0, 0.018 * a, 0])
    colour = _dim(look.legs, share)
    return [
        Capsule(top, joint, 0.046 * a, colour),
        Capsule(joint, ankle, 0.033 * a, colour),
        Capsule(ankle, toe, 0.022 * a, _dim(look.shoes, share)),
    ]


def _arm(
    pose: Pose, look: Look, trunk: Trunk, side: float, opposite_hip: float, lean: float, frame: _Frame, share: float
) -> list[Capsule]:
    a, run = look.height, max(0.0, pose.effort - 1.0)
    swing = (0.75 + 0.25 * run) * opposite_hip + 0.4 * pose.bend
    elbow = 0.2 + 1.4 * run + 0.1 * np.sin(pose.phase)
    shoulder = trunk(SHOULDER - 0.53, side * 0.115)
    upper = frame.at(UPPER_ARM * a * np.sin(swing), 0, -UPPER_ARM * a * np.cos(swing)) - frame.origin
    fore = frame.at(FOREARM * a * np.sin(swing + elbow), 0, -FOREARM * a * np.cos(swing + elbow)) - frame.origin
    return [
        Capsule(shoulder, shoulder + upper, 0.03 * a, _dim(look.top, 0.92 * share)),
        Capsule(shoulder + upper, shoulder + upper + fore * 0.8, 0.024 * a, _dim(look.top, 0.92 * share)),
        Capsule(shoulder + upper + fore * 0.8, shoulder + upper + fore, 0.022 * a, _dim(look.skin, share)),
    ]


def _torso(look: Look, point: Trunk) -> list[Capsule]:
    a = look.height
    parts = []
    for side, share in ((-1.0, 0.9), (1.0, 1.0), (0.0, 1.0)):
        parts.append(
            Capsule(point(0.02, side * 0.04), point(SHOULDER - 0.55, side * 0.075), 0.06 * a, _dim(look.top, share))
        )
    if look.coat:
        parts.append(Capsule(point(-0.13, 0), point(0.1, 0), 0.085 * a, _dim(look.top, 0.95)))
    head = point(HEAD - 0.53, 0)
    parts.append(Capsule(point(NECK - 0.56, 0), head, 0.03 * a, look.skin))
    parts.append(Capsule(head, head, 0.062 * a, look.skin))
    crown = point(HEAD - 0.51, 0)
    parts.append(Capsule(crown, crown, 0.056 * a, look.hair))
    return parts


def bag(x: float, z: float, colour: tuple[float, float, float]) -> list[Capsule]:
    """Return a sports bag standing on the ground."""
    left, right = np.array([x - 0.2, 0.17, z]), np.array([x + 0.2, 0.17, z])
    grip = np.array([x, 0.36, z])
    return [
        Capsule(left, grip, 0.02, _dim(colour, 0.7)),
        Capsule(grip, right, 0.02, _dim(colour, 0.7)),
        Capsule(left, right, 0.17, colour),
    ]


WHEEL, WHEELBASE, SADDLE = 0.34, 1.02, 0.95


def cyclist(pose: Pose, look: Look, metal: tuple[float, float, float]) -> list[Capsule]:
    """Return a rider on a bicycle; ``pose.phase`` is the angle of the cranks."""
    frame, a = _axes(pose), look.height
    hub = np.array([0.0, 0.27])
    hips, hands = np.array([-0.2, SADDLE]), np.array([0.36, 1.0])
    shoulders = hips + np.array([0.36, 0.42]) * a / 1.75
    order = (1.0, -1.0) if frame.side[2] > 0 else (-1.0, 1.0)

    def at(point: np.ndarray, side: float = 0.0) -> np.ndarray:
        return frame.at(float(point[0]), side, float(point[1]))

    def limb(
        points: list[np.ndarray], side: float, radii: list[float], colours: list[tuple[float, float, float]]
    ) -> list[Capsule]:
        pairs = zip(points[:-1], points[1:], radii, colours, strict=True)
        return [Capsule(at(p, side), at(q, side), r, c) for p, q, r, c in pairs]

    parts: list[Capsule] = []
    for number, s in enumerate(order):
        share = 0.72 if number == 0 else 1.0
        if number == 1:
            parts += _bicycle(at, hub, metal)
        crank = pose.phase + (0.0 if s > 0 else np.pi)
        pedal = hub + 0.17 * np.array([np.cos(-crank), np.sin(-crank)])
        knee = _knee(hips, pedal, THIGH * a, SHIN * a)
        legs, shoes, top = _dim(look.legs, share), _dim(look.shoes, share), _dim(look.top, 0.92 * share)
        parts += limb(
            [hips, knee, pedal, pedal + np.array([0.14, 0.0])], 0.09 * s, [0.08, 0.058, 0.04], [legs, legs, shoes]
        )
        elbow = (shoulders + hands) / 2 + np.array([-0.04, -0.1])
        parts += limb([shoulders, elbow, hands], 0.17 * s, [0.05, 0.042], [top, _dim(look.skin, share)])
        if number == 0:
            parts += [Capsule(at(hips, o), at(shoulders, o * 1.6), 0.105, look.top) for o in (-0.07, 0.07)]
    head = shoulders + np.array([0.12, 0.22]) * a / 1.75
    parts.append(Capsule(at(head), at(head), 0.108, look.skin))
    parts.append(Capsule(at(head + np.array([-0.01, 0.035])), at(head + np.array([-0.01, 0.035])), 0.1, look.hair))
    return parts


def _bicycle(
    at: Callable[[np.ndarray], np.ndarray], hub: np.ndarray, metal: tuple[float, float, float]
) -> list[Capsule]:
    tyre = (34.0, 34.0, 36.0)
    rear, front = np.array([-WHEELBASE / 2, WHEEL]), np.array([WHEELBASE / 2, WHEEL])
    angle = np.linspace(0, 2 * np.pi, 17)
    ring = WHEEL * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    parts = [
        Capsule(at(centre + p), at(centre + q), 0.028, tyre)
        for centre in (rear, front)
        for p, q in itertools.pairwise(ring)
    ]
    saddle, bar = np.array([-0.22, SADDLE - 0.08]), np.array([0.34, 0.98])
    tubes = [(rear, hub), (rear, saddle), (hub, saddle), (hub, bar), (saddle, bar), (front, bar)]
    return parts + [Capsule(at(p), at(q), 0.025, metal) for p, q in tubes]


def _knee(hip: np.ndarray, foot: np.ndarray, thigh: float, shin: float) -> np.ndarray:
    """Return where the knee is if hip and foot are given: two circles meet, the point in front of the leg is taken."""
    line = foot - hip
    length = min(float(np.hypot(*line)), thigh + shin - 1e-6)
    along = (thigh**2 - shin**2 + length**2) / (2 * length)
    out = np.sqrt(max(thigh**2 - along**2, 0.0))
    unit = line / np.hypot(*line)
    knee: np.ndarray = hip + along * unit + out * np.array([-unit[1], unit[0]])
    return knee
