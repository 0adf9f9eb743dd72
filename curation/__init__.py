"""The rooms through which a clip flows, in one direction. Nothing here imports ray or pipelines."""
