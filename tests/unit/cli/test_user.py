"""`otic user`: people of a replay's database and of a sensor's data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from otic.cli.user import add, reset
from otic.errors import OticError
from otic.folder import DataFolder
from otic.settings import Settings
from otic.store.database import Database
from otic.store.queries import people
from otic.store.queries.common import Store


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A sensor that has seen nothing yet."""
    made = DataFolder(tmp_path / "sensor")
    made.create()
    Database(made.database, Settings()).close()
    return made


def test_a_user_of_a_sensor_may_log_in(
    folder: DataFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The console of the sensor knows who was added on the command line."""
    assert add("ada", None, folder.path, "analyst") == 0
    assert reset("ada", None, folder.path) == 0
    assert capsys.readouterr().out.count("password") == 2
    store = Store(folder.database, scope=Settings().scope(), people=folder.people, live=folder)
    (user,) = people.users(store)
    assert ("ada", "analyst") == (user.name, user.role)
    store.close()


def test_which_store_is_meant_is_said_once(folder: DataFolder) -> None:
    """Neither or both is refused in one line, and so are strange and taken names."""
    for database, data in ((None, None), (folder.database, folder.path)):
        with pytest.raises(OticError, match="either --database FILE or --data FOLDER"):
            add("ada", database, data, "viewer")
    with pytest.raises(OticError, match="small letters"):
        add("Ada L", None, folder.path, "viewer")
    add("ada", None, folder.path, "viewer")
    with pytest.raises(OticError, match="there is a user ada"):
        add("ada", None, folder.path, "viewer")
    with pytest.raises(OticError, match="there is no user bob"):
        reset("bob", None, folder.path)
