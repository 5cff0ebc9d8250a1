"""Density estimates: fit on arrays, score arrays; they know nothing of videos."""
