"""One file a noun; the list of all handlers is in `otic.api.app`."""
