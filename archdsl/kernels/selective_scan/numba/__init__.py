"""The selective scan on the CPU: compiled by Numba, with explicit vectors of 16 channels."""
