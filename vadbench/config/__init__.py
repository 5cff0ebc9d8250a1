"""Configuration: the core schema, and composing it with Hydra."""
