"""Searches: a space over an architecture, proposals, evaluation, early stopping, claims, results.

The driver's side imports no torch; the processes that evaluate do.
"""
