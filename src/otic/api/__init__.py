"""HTTP: Otic's own API and the console's files."""
