"""What moves in the world: instances, masks over time, 3D points, tracks, descriptions."""
