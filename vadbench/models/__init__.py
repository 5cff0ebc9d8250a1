"""Methods: they fit on features of normal videos and score features of any video."""
