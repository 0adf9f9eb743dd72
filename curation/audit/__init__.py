"""Label accuracy against truth."""
