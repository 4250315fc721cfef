"""Runs the analysis: batches in, state, devices and alerts out."""
