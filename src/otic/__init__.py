"""Otic: passive security monitoring for OT and IoT networks."""

__version__ = "0.1.0"
