"""Pages that show a run: what was measured, drawn over the video, and how far it is from the truth."""
