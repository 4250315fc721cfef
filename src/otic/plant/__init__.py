"""A plant that exists only as frames: what `otic demo` shows and tests read."""
