"""Labels and tracks of videos: reading, naming, bringing to one length."""
