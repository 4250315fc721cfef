"""The store that a command's options name."""

from __future__ import annotations

from pathlib import Path

from otic.errors import OticError
from otic.folder import DataFolder
from otic.settings import load
from otic.store.queries.common import Store


def open_store(database: Path | None, data: Path | None) -> Store:
    """The store that these options name.

    Raises:
        OticError: they name none or two.
        StoreError: it cannot be read.
    """
    if (database is None) == (data is None):
        raise OticError("name either --database FILE or --data FOLDER")
    if database is not None:
        return Store(database)
    folder = DataFolder(data or Path())
    settings = load(folder.settings_if_there())
    return Store(folder.database, scope=settings.scope(), people=folder.people, live=folder)
