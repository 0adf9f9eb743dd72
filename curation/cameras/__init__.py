"""Camera paths: stereo odometry with bundle adjustment (metric), COLMAP (up to scale)."""
