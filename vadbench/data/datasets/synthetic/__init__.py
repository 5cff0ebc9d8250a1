"""The synthetic dataset: scene, people, anomalies, rendering."""
