"""The errors Otic raises on purpose; each message is one clear line for a person."""


class OticError(Exception):
    """Something the user can act on: a wrong file, a wrong setting, a wrong rule."""


class CaptureError(OticError):
    """A capture is missing, a folder, empty, or no capture."""


class SettingsError(OticError):
    """`otic.toml` holds something Otic does not understand."""


class StoreError(OticError):
    """The database is damaged, newer than this program, or of other captures."""


class RuleError(OticError):
    """A detection rule is not valid."""


class ProtocolError(OticError):
    """A protocol definition is not valid."""


class PluginError(OticError):
    """A plug-in is not valid, or failed."""


class BaselineError(OticError):
    """A baseline file cannot be read."""


class EvidenceError(OticError):
    """Evidence names frame bytes that are not there."""


class ServeError(OticError):
    """The console cannot be served: the port is taken, or its files are not built."""


class JournalError(OticError):
    """A journal that cannot be read or written, or that is damaged."""
