"""Run folders: what a run is on disk, its state, its provenance."""
