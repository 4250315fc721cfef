"""`otic.toml`: what it may say, how it is refused, how it is shown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from otic.errors import SettingsError
from otic.sensor.settings_file import as_toml
from otic.settings import Settings, load

EVERYTHING = """
site = "brewery \\"north\\""
rules = ["a.toml", "b"]

[[interface]]
name = "eth1"
filter = "vlan 7"
fanout = 2

[[interface]]
name = "plant"
pipe = "/run/plant"

[[device]]
address = "10.0.0.1"
flags = ["safety", "important"]

[[subnet]]
cidr = "10.0.0.0/8"

[[space]]
kind = "vlan"
match = "10"
space = "cell"

[rule.port-scan]
enabled = false
count = 3

[ring]
bytes = 0

[console]
tls = false
"""


def test_what_is_shown_says_the_same(tmp_path: Path) -> None:
    """The printed settings read back are the settings, defaults or not."""
    path = tmp_path / "otic.toml"
    for text in ("", EVERYTHING):
        path.write_text(text)
        settings = load(path)
        path.write_text("\n".join(as_toml(settings)))

        assert settings == load(path)
    assert Settings() != settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("speed = 1", "speed: is not a setting"),
        ("[ring]\nsize = 1", "ring.size: is not a setting"),
        ('[[interface]]\nname = "a"\n[[interface]]\nnam = "b"', "interface[1].nam"),
        ("[[interface]]\nfanout = 1", "interface[0].name: is missing"),
        ('[[interface]]\nname = "a"\nfanout = 17', "interface[0].fanout: Expected `int` <= 16"),
        ('[console]\nport = "x"', "console.port: Expected `int`, got `str`"),
        ('[rule.port-scan]\ncount = "x"', "rule[...].count: Expected"),
        ("[[subnet]]\ncidr = '10.0.0.1/8'", "subnet[0].cidr: 10.0.0.1/8 has host bits set"),
        ("[[device]]\naddress = 'a'\nflags = ['x']", "device[0].flags[0]: Invalid enum value"),
        ("ring = 3", "ring: Expected `object`, got `int`"),
        ("interface = 3", "interface: Expected `array`, got `int`"),
    ],
)
def test_a_wrong_key_is_named_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    """In one line, behind the file's name."""
    path = tmp_path / "plant.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load(path)

    assert str(refused.value).startswith("plant.toml: ")
    assert said in str(refused.value)
    assert 1 == len(str(refused.value).splitlines())


def test_all_wrong_keys_are_named_at_once(tmp_path: Path) -> None:
    """Nobody has to try again for each."""
    path = tmp_path / "otic.toml"
    path.write_text("speed = 1\nthreads = 0\n[ring]\nhours = -1\n")
    with pytest.raises(SettingsError) as refused:
        load(path)

    for key in ("speed", "threads", "ring.hours"):
        assert f"{key}: " in str(refused.value)


def test_the_page_of_settings_holds_every_key() -> None:
    """Each field of each struct has its row."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    for field in msgspec.structs.fields(Settings):
        assert f"| `{field.encode_name}` |" in page
    assert "| `fanout` | whole number | `1` | from 1 to 16 |" in page
