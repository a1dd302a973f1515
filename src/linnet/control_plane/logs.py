"""How istiod writes its log: a line per event for people, or JSON for machines."""

import logging
import sys

import structlog

_LEVELS = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "none": 100, "fatal": 50}


def level_of(text: str) -> int:
    """The number of the level in Istio's `scope:level,...`: that of `default`, or without a scope."""
    found = _LEVELS["info"]
    for part in text.split(","):
        scope, _, level = part.rpartition(":")
        if scope in ("", "default", "all"):
            found = _LEVELS.get(level.strip().lower(), found)
    return found


def configure(level: str, *, as_json: bool) -> None:
    """Log to standard output from this level on."""
    number = level_of(level)
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), sort_keys=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), format="%(levelname)s %(name)s %(message)s")
