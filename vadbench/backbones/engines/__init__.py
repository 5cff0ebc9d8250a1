"""What runs a network: PyTorch as it is, PyTorch compiled, or OpenVINO. All give the same features up to rounding."""
