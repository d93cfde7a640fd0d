"""Tasks for tests: one that costs nothing, one that fails in a chosen way, one that takes its time.

None of them imports torch.
"""
