"""Logs: one JSON object a line on standard error."""

from __future__ import annotations

import sys

import structlog


def configure_logs() -> None:
    """Makes structlog write so; called once at the start of a process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
