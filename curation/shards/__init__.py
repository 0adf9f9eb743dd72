"""Per-clip tables -> the published dataset folder.

``publish`` writes it, ``load`` reads it; ``products`` reads and writes what a stage measured of one clip, ``rows`` turns
values into rows.
"""
