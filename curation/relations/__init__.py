"""Facts over time: value, unit, sigma, margin. Closed-form geometry only."""
