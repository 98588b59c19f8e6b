"""What is said of a failure where admins read it: a sentence of ours, since an error's own words
may tell of people."""

from pymongo.errors import PyMongoError

from app.errors import Problem
from models.unreadable import Unreadable


class Telling(Exception):
    """An error whose own words are for admins to read: they tell of nobody."""


def sentence_of(error: BaseException) -> str:
    """Why a job failed, in a sentence, with the class of the error for those who look it up in the
    log.

    Only of our own errors are the words kept, and of the operating system's what it says of a file,
    not which.
    """
    name = type(error).__name__
    if isinstance(error, Problem):
        return f"{error.detail or error.code.value} ({name})"
    if isinstance(error, Telling | Unreadable):
        return f"{error} ({name})"
    if isinstance(error, PyMongoError):
        return f"the database did not do what it was asked to ({name})"
    if isinstance(error, TimeoutError):
        return f"it took too long ({name})"
    if isinstance(error, OSError):
        return f"a file or a connection failed: {error.strerror or 'no reason was given'} ({name})"
    return f"it failed in a way that was not foreseen; the worker's log says where ({name})"
