"""Batches of facts folded into what is known: the same facts in any order give the same state."""
