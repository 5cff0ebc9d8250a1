"""Features of regions: velocity, pose, deep features, and the optical flow under them."""
