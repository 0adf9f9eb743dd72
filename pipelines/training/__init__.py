"""Launching trainers on a finished run: recipes, checks, commands, and our own TRL scripts."""
