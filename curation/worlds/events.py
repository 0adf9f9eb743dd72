"""Put bodies into a world: at random places where they are seen and collide with nothing, or in the situations that are hard.

Hard situations: crossing behind a pillar, two bodies in contact that move as one, leaving or entering the view, far, small, thin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from curation.geometry import inverse, pose
from curation.worlds.bodies import BUILDERS, COLOURS, Body, Built, paint
from curation.worlds.meshes import Mesh, box
from curation.worlds.motion import CameraMotion, Motion, yaw
from curation.worlds.scenery import Scenery
from curation.worlds.textures import Material
from schemas.camera import Array, Intrinsics

EVENTS = ("free", "crossing", "touching", "leaving", "far", "small", "thin")
_KINDS = {"ball": 0.7, "rolling_ball": 0.4, "crate": 1.2, "barrel": 1.0, "cone": 0.8, "car": 1.6, "van": 1.0, "person": 2.0,
          "board": 0.4, "pole": 0.3}  # fmt: skip
_MOVES = {"steady": 0.35, "accelerate": 0.15, "brake": 0.12, "stop_and_go": 0.15, "there_and_back": 0.13, "turn": 0.1}


@dataclass
class Draft:
    """A world while bodies are being put into it."""

    rng: np.random.Generator
    camera: CameraMotion
    view: Intrinsics
    place: Scenery
    materials: list[Material]
    bodies: list[Body]
    texture: str
    outdoors: bool
    duration: float

    def target(self, when: float, u: float, range_m: float) -> Float[Array, "3"]:
        """Ground point at a horizontal range in the direction of image column ``u`` (0..1), scene frame."""
        scene_from_camera = self.camera.at(when)
        sight = scene_from_camera[:3, :3] @ [(u * self.view.width - self.view.cx) / self.view.fx, 0, 1]
        return np.asarray(scene_from_camera[:3, 3] * [1, 0, 1] + sight * [1, 0, 1] / np.hypot(sight[0], sight[2]) * range_m)

    def fits(self, body: Body, least_seen: float = 0.5, most_seen: float = 1.0, touching: bool = False) -> bool:
        """Whether a body keeps clear of everything at all times and is in view for the wanted share of them."""
        seen, reach = 0, body.radius_m
        times = np.linspace(0, self.duration, 25)
        x_low, x_high, z_low, z_high = self.place.bounds
        for t in times:
            at = body.motion.at(t)[:3, 3]
            if not (x_low + reach < at[0] < x_high - reach and z_low + reach < at[2] < z_high - reach):
                return False
            if any(np.hypot(at[0] - x, at[2] - z) < reach + radius + 0.05 for x, z, radius in self.place.obstacles):
                return False
            others = [] if touching else self.bodies
            if any(np.hypot(*(at - o.motion.at(t)[:3, 3])[[0, 2]]) < reach + o.radius_m + 0.1 for o in others):
                return False
            camera_from_scene = inverse(self.camera.at(t))
            q = camera_from_scene[:3, :3] @ (at - [0, body.size_m[1] / 2, 0]) + camera_from_scene[:3, 3]
            if np.hypot(q[0], q[2]) < reach + 0.9:
                return False
            u, v = (self.view.fx * q[k] / max(q[2], 0.1) + c for k, c in ((0, self.view.cx), (1, self.view.cy)))
            seen += bool(q[2] > 0.5 and 0.04 * self.view.width < u < 0.96 * self.view.width and 0 < v < self.view.height)
        return least_seen <= seen / len(times) <= most_seen

    def shape(self, kind: str, colour: str, scale: float = 1.0) -> Built:
        """Pieces, bounding box and stride of a new body; its paint, trim and skin join the materials."""
        rng = self.rng
        build, (low, high) = BUILDERS[kind]
        if kind in ("car", "van"):
            low, high = (2.2, high) if self.outdoors else (low, 1.6)
        first = len(self.materials)
        built = build(float(rng.uniform(low, high)) * scale, first, first + 1, first + 2)
        tint = float(rng.uniform(0.03, 0.1)) * np.array([1, rng.uniform(0.8, 1), rng.uniform(0.7, 1.1)])
        self.materials += [
            paint(colour, self.texture, rng),
            Material((float(tint[0]), float(tint[1]), float(tint[2])), "fbm", 0.6, 0.8),
            Material((0.5, 0.3, 0.2), "fbm", 0.4, 0.4),
        ]
        return built

    def motion(self, kind: str, profile: str, when: float, target: Float[Array, "3"], heading: float, curved: bool) -> Motion:
        """A motion that passes ``target`` at time ``when``."""
        rng = self.rng
        low, high = (0.3, 1.8)
        if kind in ("car", "van"):
            low, high = (0.6, 5.0) if self.outdoors else (0.4, 1.4)
        elif kind == "person":
            low, high = (0.5, 1.6)
        length = max(float(rng.uniform(low, high)) * self.duration, 0.6)
        bend = float(rng.uniform(-0.35, 0.35)) if curved else 0.0
        spin = float(rng.uniform(0.4, 1.2) * rng.choice([-1, 1])) if profile == "turn" else 0.0
        facing = float(rng.uniform(-np.pi, np.pi)) if kind in ("crate", "board", "cone", "pole", "barrel") else 0.0
        trial = Motion(
            (0.0, 0.0), heading, profile, length, self.duration,
            curvature=bend, spin_rad_s=spin, facing_rad=facing, phase=float(rng.uniform(0.25, 0.45)),
        )  # fmt: skip
        start = target - trial.at(when)[:3, 3]
        return replace(trial, start_xz=(float(start[0]), float(start[2])))


def _free(draft: Draft, name: str, kind: str, colour: str, profile: str, event: str) -> Body | None:
    """A body at a random place; ``event`` says how far, how large and how long in view."""
    rng = draft.rng
    limits = {"far": (12.0, 26.0), "small": (2.0, 4.5)}.get(event, (2.2, 12.0 if draft.outdoors else 6.0))
    scale = {"small": 0.5}.get(event, 1.0)
    for attempt in range(120):
        kept = len(draft.materials)
        pieces, size, stride = draft.shape(kind, colour, scale)
        when = float(rng.uniform(0.15, 0.85)) * draft.duration
        u = float(rng.uniform(0.1, 0.9))
        near, far = limits
        far = far if attempt < 60 or event == "far" else (near + far) / 2
        at = draft.target(when, u, float(rng.uniform(near, far)) + size[2] / 2)
        motion = draft.motion(kind, profile, when, at, float(rng.uniform(-np.pi, np.pi)), bool(rng.random() < 0.5))
        body = Body(name, kind, colour, pieces, motion, size, profile != "stand", stride)
        if draft.fits(body, *((0.25, 0.7) if event == "leaving" else (0.5, 1.0))):
            return body
        del draft.materials[kept:]
    return None


def _crossing(draft: Draft, name: str, kind: str, colour: str) -> tuple[Body, Mesh, tuple[float, float, float]] | None:
    """A body that walks across the view behind a pillar, the pillar, and the circle that it stands on."""
    rng = draft.rng
    for _ in range(60):
        kept = len(draft.materials)
        pieces, size, stride = draft.shape(kind, colour)
        when = float(rng.uniform(0.4, 0.6)) * draft.duration
        u, range_m = float(rng.uniform(0.35, 0.65)), float(rng.uniform(4.0, 6.5))
        at, stand = draft.target(when, u, range_m), draft.target(when, u, range_m * float(rng.uniform(0.5, 0.7)))
        sight = at - draft.camera.at(when)[:3, 3]
        side = float(rng.choice([-1, 1])) * np.pi / 2 + float(rng.uniform(-0.3, 0.3))
        motion = draft.motion(kind, "steady", when, at, float(np.arctan2(sight[0], sight[2])) + side, False)
        body = Body(name, kind, colour, pieces, motion, size, True, stride)
        width = float(rng.uniform(0.35, 0.8))
        circle = (float(stand[0]), float(stand[2]), width * 0.72)
        path = [draft.camera.at(t)[:3, 3] for t in np.linspace(0, draft.duration, 15)]
        clear = all(np.hypot(p[0] - circle[0], p[2] - circle[1]) > circle[2] + 0.9 for p in path)
        clear = clear and all(np.hypot(x - circle[0], z - circle[1]) > r + circle[2] for x, z, r in draft.place.obstacles)
        draft.place.obstacles.append(circle)
        if clear and draft.fits(body):
            tall = draft.place.ceiling_m or float(rng.uniform(1.8, 3.5))
            draft.materials.append(Material((0.32, 0.3, 0.27), "bricks", 1.6, 0.9, 0.5, 0.6))
            pillar = box((width, tall, width), len(draft.materials) - 1, (0, -tall / 2, 0))
            return body, pillar.moved(pose(yaw(float(rng.uniform(0, 1.5))), stand)), circle
        draft.place.obstacles.pop()
        del draft.materials[kept:]
    return None


def _touching(draft: Draft, names: tuple[str, str], kind: str, colours: tuple[str, str], profile: str) -> list[Body]:
    """Two bodies in contact that move as one, the second right behind the first; empty where there was no room."""
    for _ in range(60):
        kept = len(draft.materials)
        first = _free(draft, names[0], kind, colours[0], profile, "free")
        if first is None:
            return []
        pieces, size, stride = draft.shape("crate", colours[1])
        gap = (size[2] + first.size_m[2]) / 2 + 0.01
        shift = -gap * np.array([np.sin(first.motion.heading_rad), np.cos(first.motion.heading_rad)])
        straight = replace(first.motion, curvature=0.0, facing_rad=0.0)
        leader = replace(first, motion=straight)
        start = (float(straight.start_xz[0] + shift[0]), float(straight.start_xz[1] + shift[1]))
        follower = Body(names[1], "crate", colours[1], pieces, replace(straight, start_xz=start), size, True, stride)
        apart = all(
            np.hypot(*(follower.motion.at(t) - o.motion.at(t))[[0, 2], 3]) > follower.radius_m + o.radius_m
            for o in draft.bodies
            for t in np.linspace(0, draft.duration, 12)
        )
        if apart and draft.fits(leader) and draft.fits(follower, touching=True):
            return [leader, follower]
        del draft.materials[kept:]
    return []


def populate(
    draft: Draft, movers: int, parked: int, profile: str | None, category: str | None, event: str | None
) -> tuple[list[Mesh], list[str]]:
    """Fill ``draft.bodies``; returns extra scenery (pillars) and the events that came about."""
    rng = draft.rng
    colours = [str(c) for c in rng.permutation(list(COLOURS))]
    kinds, weights = list(_KINDS), np.array(list(_KINDS.values()))
    moves, odds = list(_MOVES), np.array(list(_MOVES.values()))
    extra: list[Mesh] = []
    happened: list[str] = []
    index = 0
    while index < movers:
        kind = category or str(rng.choice(kinds, p=weights / weights.sum()))
        colour, move = colours[index % len(colours)], profile or str(rng.choice(moves, p=odds / odds.sum()))
        wish = event or str(rng.choice(EVENTS, p=[0.5, 0.12, 0.08, 0.12, 0.06, 0.06, 0.06]))
        name = f"{colour}_{kind}_{index}"
        added: list[Body] = []
        if wish == "crossing":
            found = _crossing(draft, name, kind, colour)
            if found:
                added = [found[0]]
                extra.append(found[1])
                draft.place.obstacles.append(found[2]) if found[2] not in draft.place.obstacles else None
        elif wish == "touching" and index + 1 < movers:
            other = colours[(index + 1) % len(colours)]
            pair = kind if kind in ("crate", "car", "van", "barrel") else "crate"
            names = (f"{colour}_{pair}_{index}", f"{other}_crate_{index + 1}")
            added = _touching(draft, names, pair, (colour, other), move if move not in ("turn",) else "steady")
        else:
            if wish == "thin" and not category:
                kind = str(rng.choice(["board", "pole"]))
                name = f"{colour}_{kind}_{index}"
            body = _free(draft, name, kind, colour, move, wish if wish in ("leaving", "far", "small") else "free")
            added = [body] if body else []
        if not added and event is None:
            body = _free(draft, name, kind, colour, move, "free")
            added = [body] if body else []
        draft.bodies += added
        happened += [wish] if added else []
        index += max(1, len(added))
    moving = list(draft.bodies)
    for number in range(parked):
        if moving and rng.random() < 0.7:  # a look-alike of a mover
            twin = moving[int(rng.integers(0, len(moving)))]
            kind, colour = twin.category, twin.colour
        else:
            kind = category or str(rng.choice(kinds, p=weights / weights.sum()))
            colour = colours[(movers + number) % len(colours)]
        body = _free(draft, f"{colour}_{kind}_{movers + number}", kind, colour, "stand", "free")
        draft.bodies += [body] if body else []
    return extra, happened
