"""Tasks for tests: one that takes its time, one that fails in a chosen way. Neither imports torch."""
