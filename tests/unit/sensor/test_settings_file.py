"""Setting a sensor up changes what was chosen in `otic.toml`, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otic.errors import SettingsError
from otic.sensor.settings_file import Chosen, Staged, as_toml, changed
from otic.settings import Interface, Known, RuleSetting, Settings, Subnet, parse

WRITTEN = """\
# Line 3, the sensor in the cabinet by the gate.
site = "brewery"
learning_s = 3_600  # one shift

# The mirror port of switch 1.
[[interface]]
name = "eth1"
filter = "not port 22"  # our own log-ins

# The mirror port of switch 2.
[[interface]]
name = "eth2"

# Ask Ada before changing this.
[ring]
bytes = 1_000_000

[[subnet]]
cidr = "10.20.1.0/24"
zone = "cell"
"""


def chosen(*interfaces: str, learning_s: int = 3600, subnets: list[Subnet] | None = None) -> Chosen:
    if subnets is None:
        subnets = [Subnet(cidr="10.20.1.0/24")]
    return Chosen(interfaces=list(interfaces), subnets=subnets, learning_s=learning_s)


def test_what_was_chosen_already_changes_no_byte() -> None:
    """Pressing the button twice is as good as once."""
    assert changed(WRITTEN, chosen("eth1", "eth2")) == WRITTEN


def test_comments_and_other_settings_stay() -> None:
    """One interface goes, one comes, the learning time changes: other lines are as they were."""
    new = changed(WRITTEN, chosen("eth3", "eth1", learning_s=7200))

    settings = parse(new.encode(), "otic.toml")
    assert settings.interface == [
        Interface(name="eth1", filter="not port 22"),
        Interface(name="eth3"),
    ]
    assert (settings.learning_s, settings.site, settings.ring.bytes) == (7200, "brewery", 1_000_000)
    assert settings.subnet == [Subnet(cidr="10.20.1.0/24", zone="cell")]
    gone = {'name = "eth2"\n', "learning_s = 3_600  # one shift\n"}
    lines = new.splitlines(keepends=True)
    for line in WRITTEN.splitlines(keepends=True):
        assert (line in lines) == (line not in gone), line
    assert "learning_s = 7200  # one shift\n" in lines


def test_a_subnet_keeps_its_zone_when_its_name_changes() -> None:
    """What the wizard does not ask for is not lost."""
    subnets = [Subnet(cidr="10.20.1.0/24", name="Cell 1"), Subnet(cidr="10.9.0.0/16")]
    settings = parse(changed(WRITTEN, chosen("eth1", subnets=subnets)).encode(), "otic.toml")

    assert settings.subnet == [
        Subnet(cidr="10.20.1.0/24", zone="cell", name="Cell 1"),
        Subnet(cidr="10.9.0.0/16"),
    ]


def test_a_new_file_says_what_was_chosen_and_no_more() -> None:
    """Defaults stay defaults: a later version may know better ones."""
    learning_s = Settings().learning_s
    assert (
        changed("", chosen("eth1", learning_s=learning_s, subnets=[]))
        == '[[interface]]\nname = "eth1"\n'
    )
    headed = "# Of the file.\n\n# Of the ring.\n[ring]\nbytes = 0\n"
    new = changed(headed, chosen("eth1", learning_s=60, subnets=[]))
    assert new == (
        "# Of the file.\n\nlearning_s = 60\n\n# Of the ring.\n[ring]\nbytes = 0\n"
        '\n[[interface]]\nname = "eth1"\n'
    )
    commented = '# Nothing yet.\n# [[interface]]\n# name = "eth1"\n'
    new = changed(commented, chosen("eth1", learning_s=60, subnets=[]))
    assert new == commented + 'learning_s = 60\n\n[[interface]]\nname = "eth1"\n'


@pytest.mark.parametrize(
    "text",
    [
        'interface = [{name = "eth1"}, {name = "eth2", fanout = 2}]\n',
        '[[ "interface" ]]\nname = "eth2"\nfanout = 2\n',
        'site = """\n[[interface]]\nname = "eth9"\n"""\n[[interface]]\nname = "eth2"\nfanout = 2\n',
        'site = """\nlearning_s = 5\n"""\n[[interface]]\nname = "eth2"\nfanout = 2\n',
    ],
)
def test_settings_written_in_other_ways_are_right_even_if_comments_go(text: str) -> None:
    """Tables in a line, quoted names, tables in strings: what the file says is what was chosen."""
    before = parse(text.encode(), "otic.toml")
    settings = parse(changed(text, chosen("eth2", "eth3", learning_s=60)).encode(), "otic.toml")

    assert settings.interface == [Interface(name="eth2", fanout=2), Interface(name="eth3")]
    assert settings == msgspec.structs.replace(
        before,
        interface=settings.interface,
        subnet=[Subnet(cidr="10.20.1.0/24")],
        learning_s=60,
    )


words = st.text(max_size=20)
names = st.sampled_from(["eth0", "eth1", "eth2", "br-lan", 'q"uoted'])
written = st.builds(
    Settings,
    site=words,
    interface=st.lists(
        st.builds(Interface, name=names, filter=words), unique_by=lambda one: one.name
    ),
    subnet=st.lists(
        st.builds(Subnet, cidr=st.sampled_from(["10.0.0.0/8", "fd00::/8"]), zone=words),
        unique_by=lambda one: one.cidr,
    ),
    device=st.lists(st.builds(Known, address=words, name=words), max_size=2),
    rule=st.dictionaries(words, st.builds(RuleSetting, enabled=st.booleans()), max_size=2),
    learning_s=st.integers(0, 10**9),
)
wishes = st.builds(
    Chosen,
    interfaces=st.lists(names, unique=True),
    subnets=st.lists(
        st.builds(Subnet, cidr=st.sampled_from(["10.0.0.0/8", "10.1.0.0/16"]), name=words),
        unique_by=lambda one: one.cidr,
    ),
    learning_s=st.integers(60, 10**7),
)


@given(written, wishes, st.booleans())
def test_any_settings_take_any_choice(before: Settings, wish: Chosen, defaults: bool) -> None:
    """The chosen parts are what was chosen; every other part is what it was."""
    text = "\n".join(as_toml(before, defaults=defaults))
    after = parse(changed(text, wish).encode(), "otic.toml")

    assert sorted(one.name for one in after.interface) == sorted(wish.interfaces)
    assert {one.cidr: one.name for one in after.subnet} == {
        one.cidr: one.name for one in wish.subnets
    }
    assert after.learning_s == wish.learning_s
    for one in after.interface:
        assert one in before.interface or one == Interface(name=one.name)
    rest = {"interface": [], "subnet": [], "learning_s": 0}
    assert msgspec.structs.replace(after, **rest) == msgspec.structs.replace(before, **rest)


def test_a_file_that_means_nothing_is_not_touched() -> None:
    """The reason is the one that every other command gives."""
    with pytest.raises(SettingsError, match="colour: is not a setting"):
        changed("colour = 1\n", chosen("eth1"))


def test_the_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    """Until the commit nothing changed; then all did, through a link too, and nothing is left."""
    path = tmp_path / "etc" / "otic.toml"
    path.parent.mkdir()
    path.write_text("old\n")
    path.chmod(0o604)
    link = tmp_path / "otic.toml"
    link.symlink_to(path)
    staged = Staged(link, "new\n")
    assert path.read_text() == "old\n"
    staged.commit()

    assert path.read_text() == "new\n"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o604
    Staged(path, "newer\n").discard()
    assert os.listdir(path.parent) == ["otic.toml"]
    assert path.read_text() == "new\n"


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """Nobody has to read a traceback to learn why the settings stay as they are."""
    with pytest.raises(SettingsError, match=r"^otic.toml cannot be written: No such file"):
        Staged(tmp_path / "gone" / "otic.toml", "new\n")
