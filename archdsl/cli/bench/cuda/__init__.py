"""`archdsl bench --device cuda --all`: every kernel on a CUDA device, right first, then timed."""
