"""TOML files that people write: the tables in one, or what is wrong with it in words for them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from libs.errors import UserError


def read_toml(path: Path, remedy: str, called: str = "") -> dict[str, Any]:
    """The tables in the file `path`, which people know as `called`.

    Raises:
        UserError: it cannot be read, with `remedy`; or it is no TOML.
    """
    called = called or str(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{called} cannot be read ({error.strerror})", remedy) from None
    except UnicodeDecodeError:
        raise UserError(f"{called} is not UTF-8", "save it as UTF-8") from None
    except RecursionError:
        raise UserError(f"{called} is not TOML", "its values lie too deep in one another") from None
    except ValueError as error:  # a number of thousands of digits is another than TOMLDecodeError
        raise UserError(f"{called} is not TOML", str(error)) from None
