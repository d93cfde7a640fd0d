"""The selective scan in Triton: for CUDA devices, and for tests on the CPU under TRITON_INTERPRET=1.

Triton is imported at the first call.
"""
