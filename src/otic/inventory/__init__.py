"""Endpoints to devices: merged by proof, with attributes resolved from claims."""
