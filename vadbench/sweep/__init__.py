"""Many runs: what is done, what is left, and which device each takes."""
