"""Frame, pixel, region and event metrics."""
