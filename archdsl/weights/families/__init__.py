"""Layouts of published checkpoints, one file a family: what stands in a file here is known by it."""
