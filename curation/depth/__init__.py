"""Stereo matching: metres and their per-pixel sigma."""
