"""Videos and data sets: what is loaded, frame by frame, and what is known exactly about it."""
