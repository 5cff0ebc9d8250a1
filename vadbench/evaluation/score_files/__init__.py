"""Third-party score files: reading, aligning with labels."""
