"""How istiod writes its log: a line per event for people, or JSON for machines."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

SCOPE = "default"  # the only one: Istio has one for each of its packages
LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50, "none": 100}
_SYNONYMS = {"warning": "warn"}
_now = LEVELS["info"]


def level_of(text: str) -> int:
    """The number of the level in Istio's `scope:level,...`: that of `default`, or without a scope."""
    found = LEVELS["info"]
    for part in text.split(","):
        scope, _, level = part.rpartition(":")
        if scope in ("", SCOPE, "all"):
            found = _number(level) or found
    return found


def _number(level: str) -> int | None:
    name = level.strip().lower()
    return LEVELS.get(_SYNONYMS.get(name, name))


def level() -> str:
    """The level from which on events are logged now."""
    return next(name for name, number in LEVELS.items() if number == _now)


def set_level(name: str) -> bool:
    """Log from another level on; False if there is no level of that name."""
    global _now
    number = _number(name)
    if number is not None:
        _now = number
    return number is not None


def _from_level(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Drop what is below the level; the level may change, so that this is not the logger's own business."""
    if (_number(method) or LEVELS["error"]) < _now:
        raise structlog.DropEvent
    return event


def configure(level: str, *, as_json: bool) -> None:
    """Log to standard output from this level on."""
    global _now
    _now = level_of(level)
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), sort_keys=False)
    )
    structlog.configure(
        processors=[
            _from_level,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(_now, logging.WARNING), format="%(levelname)s %(name)s %(message)s")
