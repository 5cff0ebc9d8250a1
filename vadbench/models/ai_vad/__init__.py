"""AI-VAD: regions, flow, attributes and their densities."""
