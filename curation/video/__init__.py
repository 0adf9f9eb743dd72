"""Find, probe, decode; stereo layouts; shots and clips; sampling; quality gates."""
