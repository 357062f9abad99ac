"""What goes wrong with the store. Messages are for the user; none holds a password or a key.

StoreError              something about the request or the set-up is wrong: trying again does not help
├── SealError           upstream keys cannot be sealed or opened with the keys that this replica has
StoreLost               the database does not answer: the gateway goes on with what it knows, and tries again
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class StoreError(Exception):
    """The store refuses this, and always will."""


class SealError(StoreError):
    """A key for upstream keys is malformed, or is not the one that they were sealed with."""


class StoreLost(Exception):
    """The database does not answer, or not in time. What was being done may have happened or not."""


# Classes of SQLSTATE that speak of the statement and its data: bad values, integrity, syntax and privileges.
_OUR_FAULT = ("22", "23", "42")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns the errors of drivers into the two kinds above; their own text may quote data, so it stays out.

    Args:
        what: What is being done, for the message: `reading the ledger`.
    """
    try:
        yield
    except DBAPIError as error:
        name = type(error.orig).__name__
        if isinstance(error.orig, sqlite3.DatabaseError):
            # Such as "database or disk is full" or "file is not a database".
            name = str(error.orig)
        if _is_our_fault(error):
            raise StoreError(f"{what}: the database refuses it ({type(error.orig).__name__})") from None
        raise StoreLost(f"{what}: the database does not answer ({name})") from None
    except (OSError, TimeoutError, PoolTimeoutError) as error:
        raise StoreLost(f"{what}: the database does not answer ({type(error).__name__})") from None
    except SQLAlchemyError as error:
        raise StoreError(f"{what}: {type(error).__name__}") from None
    except Exception as error:
        # asyncpg's own errors while it connects do not come through SQLAlchemy.
        if type(error).__module__.partition(".")[0] != "asyncpg":
            raise
        raise StoreLost(f"{what}: the database does not answer ({type(error).__name__})") from None


def _is_our_fault(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return False
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_OUR_FAULT)
    return isinstance(error.orig, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError)
