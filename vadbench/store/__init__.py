"""The feature store: what an extractor made of a video is made once, and found again by everything it depends on."""

from vadbench.store.features import Counts, FeatureStore, MemoryStore, Store

__all__ = ["Counts", "FeatureStore", "MemoryStore", "Store"]
