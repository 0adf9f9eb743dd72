"""Triangle meshes of simple bodies. Axes as everywhere: +Y points down, so that a body that stands on the ground has y <= 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from curation.geometry import transform
from schemas.camera import Array

Vector = Sequence[float] | Array


@dataclass(frozen=True)
class Mesh:
    """Triangles with what shading needs. No vertices are shared: every triangle carries its own corners.

    Attributes:
        corners_m: (n, 3, 3) corner positions, metres, in the frame of whoever owns the mesh.
        normals: (n, 3, 3) unit normals at the corners (smooth bodies) or of the face.
        uv_m: (n, 3, 2) texture coordinates in metres on the surface.
        material: (n,) index into the world's materials.
    """

    corners_m: Float[Array, "n 3 3"]
    normals: Float[Array, "n 3 3"]
    uv_m: Float[Array, "n 3 2"]
    material: Int[Array, "n"]

    def moved(self, target_from_mesh: Float[Array, "4 4"]) -> Mesh:
        """The same mesh expressed in another frame."""
        rotation = target_from_mesh[:3, :3]
        return Mesh(transform(target_from_mesh, self.corners_m), self.normals @ rotation.T, self.uv_m, self.material)


def join(*meshes: Mesh) -> Mesh:
    """One mesh of several that live in the same frame."""
    return Mesh(
        np.concatenate([m.corners_m for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uv_m for m in meshes]),
        np.concatenate([m.material for m in meshes]),
    )


def _faces(corners: Array, uv: Array, material: int, normals: Array | None = None) -> Mesh:
    edge = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    keep = np.linalg.norm(edge, axis=1) > 1e-12  # poles of spheres give triangles without area
    if normals is None:
        face = edge / np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-15)
        normals = np.repeat(face[:, None], 3, 1)
    return Mesh(corners[keep], normals[keep], uv[keep], np.full(int(keep.sum()), material))


def sheet(origin: Vector, along_u: Vector, along_v: Vector, material: int, cell_m: float = 2.0) -> Mesh:
    """A parallelogram, cut into cells of at most ``cell_m``: float32 barycentric coordinates stay exact to micrometres."""
    start, side_u, side_v = (np.asarray(v, float) for v in (origin, along_u, along_v))
    size_u, size_v = float(np.linalg.norm(side_u)), float(np.linalg.norm(side_v))
    nu, nv = max(1, int(np.ceil(size_u / cell_m))), max(1, int(np.ceil(size_v / cell_m)))
    a, b = np.meshgrid(np.arange(nu), np.arange(nv), indexing="ij")
    low = np.stack([a.ravel(), b.ravel()], -1).astype(float)
    quads = low[:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    grid = quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 2) / [nu, nv]
    corners = start + grid[..., :1] * side_u + grid[..., 1:] * side_v
    return _faces(corners, grid * [size_u, size_v], material)


def box(size_m: tuple[float, float, float], material: int, centre: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    """An axis-aligned box of size (x, y, z). The texture runs on from face to face without repeating the same patch."""
    half = np.asarray(size_m, float) / 2
    parts = []
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            o, u, v = np.zeros(3), np.zeros(3), np.zeros(3)
            o[axis], o[i], o[j] = sign * half[axis], -half[i] * sign, -half[j]
            u[i], v[j] = 2 * half[i] * sign, 2 * half[j]
            face = sheet(o + np.asarray(centre, float), u, v, material)
            parts.append(Mesh(face.corners_m, face.normals, face.uv_m + [axis * 3.1 + sign, axis * 1.7], face.material))
    return join(*parts)


def _revolve(radius: Array, height: Array, normal_rh: Array, material: int, segments: int) -> Mesh:
    """Turn a profile (radius against y) about the Y axis; ``normal_rh`` holds its normals (radial, y)."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    ring = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    up = np.array([0.0, 1.0, 0.0])
    points = radius[:, None, None] * ring[None] + height[:, None, None] * up
    normals = normal_rh[:, :1, None] * ring[None] + normal_rh[:, 1:, None] * up
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
    u = np.broadcast_to(angle[None] * max(radius.max(), 1e-3), points.shape[:2])
    uv = np.stack([u, np.broadcast_to(length[:, None], u.shape)], -1)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(len(radius) - 1), np.arange(segments), indexing="ij"))
    quad = np.stack([np.stack([i, j], -1), np.stack([i, j + 1], -1), np.stack([i + 1, j + 1], -1), np.stack([i + 1, j], -1)], 1)
    corner = quad[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 2)
    rows, columns = corner[..., 0], corner[..., 1]
    return _faces(points[rows, columns], uv[rows, columns], material, normals[rows, columns])


def ellipsoid(radii_m: tuple[float, float, float], material: int, segments: int = 24) -> Mesh:
    """An ellipsoid about the origin with smooth normals."""
    polar = np.linspace(0, np.pi, segments // 2 + 1)
    mesh = _revolve(np.sin(polar), -np.cos(polar), np.stack([np.sin(polar), -np.cos(polar)], -1), material, segments)
    scale = np.asarray(radii_m, float)
    normals = mesh.normals / scale
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return Mesh(mesh.corners_m * scale, normals, mesh.uv_m * scale.mean(), mesh.material)


def cylinder(radius_m: float, height_m: float, material: int, segments: int = 20, top_radius_m: float | None = None) -> Mesh:
    """A closed cylinder (or cone frustum) that stands on y = 0 and reaches up to y = -height."""
    top = radius_m if top_radius_m is None else top_radius_m
    wall = _revolve(np.array([radius_m, top]), np.array([0, -height_m]), np.array([[1.0, 0], [1.0, 0]]), material, segments)
    lids = [
        _revolve(np.array([0, r]), np.array([y, y]), np.array([[0, s], [0, s]]), material, segments)
        for r, y, s in ((radius_m, 0.0, 1.0), (top, -height_m, -1.0))
    ]
    return join(wall, *lids)


def capsule(radius_m: float, length_m: float, material: int, segments: int = 14) -> Mesh:
    """A limb that hangs down from the origin: from y = 0 to y = length, with round ends."""
    polar = np.linspace(0, np.pi / 2, segments // 4 + 1)
    radius = np.concatenate([np.sin(polar), np.cos(polar)]) * radius_m
    y = np.concatenate([-np.cos(polar) * radius_m, np.sin(polar) * radius_m + length_m])
    normal = np.stack([np.concatenate([np.sin(polar), np.cos(polar)]), np.concatenate([-np.cos(polar), np.sin(polar)])], -1)
    return _revolve(radius, y, normal, material, segments)


def surface_points(mesh: Mesh, count: int, rng: np.random.Generator) -> Float[Array, "count 3"]:
    """Points spread over the surface by area, metres, in the mesh's frame."""
    a, b, c = mesh.corners_m[:, 0], mesh.corners_m[:, 1], mesh.corners_m[:, 2]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    pick = rng.choice(len(area), count, p=area / area.sum())
    r1, r2 = np.sqrt(rng.random(count))[:, None], rng.random(count)[:, None]
    return np.asarray(a[pick] * (1 - r1) + b[pick] * (r1 * (1 - r2)) + c[pick] * (r1 * r2))
