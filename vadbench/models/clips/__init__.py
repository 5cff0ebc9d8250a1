"""Methods on clip features: extractor, clips to frames, detectors."""
