"""The command line: parse, call, print."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

DONE = 0
DEVIATIONS = 1
REFUSED = 2

NEW_OBJECTS = 50_000
"""New objects after which Python looks for unused cycles; its own 700 are for smaller programs:
facts come by thousands, stay, and form no cycles."""


def main() -> NoReturn:
    """Runs `otic`; every refusal is one clear line on stderr and exit code 2."""
    from otic.errors import OticError

    gc.set_threshold(NEW_OBJECTS)
    try:
        from otic.cli.app import app

        code = app(result_action="return_value", exit_on_error=False)
    except OticError as error:
        refuse(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(DONE) from None
    except KeyboardInterrupt:
        refuse("stopped")
    except (OSError, MemoryError) as error:
        refuse(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    except Exception as error:
        from cyclopts import CycloptsError

        if isinstance(error, CycloptsError):
            raise SystemExit(REFUSED) from None  # cyclopts has said why
        if os.environ.get("OTIC_DEBUG"):
            raise
        refuse(f"internal error, please report it: {type(error).__name__}: {error}")
    raise SystemExit(code if isinstance(code, int) else DONE)


def refuse(reason: str) -> NoReturn:
    """Says why in one line and ends with exit code 2."""
    print(f"otic: {' '.join(reason.split())}", file=sys.stderr)
    raise SystemExit(REFUSED)
