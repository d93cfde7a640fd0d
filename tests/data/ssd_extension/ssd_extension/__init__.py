"""Mamba-2's state-space duality as an extension of archdsl."""
