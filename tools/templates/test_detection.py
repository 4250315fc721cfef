"""The detection `template`: it fires where it should and is quiet where it should not."""

from builders import Source, batch, connection, endpoint, operation
from otic.detect.rules import load
from otic.sensor.pipeline import analyse
from otic.settings import Settings

CLIENT, SERVER = "10.0.0.2", "10.0.0.1"


def fired(action: str) -> bool:
    """Whether the rule fires for an operation of this kind."""
    talk = connection(CLIENT, SERVER)
    done = operation(talk, code=8, name="example", action=action)
    facts = (endpoint(CLIENT), endpoint(SERVER), talk, done)
    result = analyse(Source([batch(0, *facts)]), settings=Settings(), rules=load())
    return "template" in {alert.rule for alert in result.alerts}


def test_it_fires() -> None:
    """A change of the operating mode is reported."""
    assert fired("mode")


def test_it_is_quiet() -> None:
    """Reading is not reported."""
    assert not fired("read")
