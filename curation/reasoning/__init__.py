"""Spatio-temporal chains of thought over measured facts, and the reward that scores them."""
