"""What moves in the world: instances, masks over time, 3D points, tracks, descriptions."""

from curation.objects.find import find_moving_objects

__all__ = ["find_moving_objects"]
