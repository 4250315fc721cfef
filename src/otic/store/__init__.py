"""Tables, migrations and queries: SQLite on a sensor, PostgreSQL on a hub."""
