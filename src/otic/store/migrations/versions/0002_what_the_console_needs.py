"""What the console needs: people, sessions, audit, search texts, who takes part in alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _scope() -> list[sa.Column[str]]:
    return [
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sensor", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
    ]


def _number(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=null)


def upgrade() -> None:
    """Applies this step."""
    op.create_table(
        "alert_parties",
        *_scope(),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("alert", sa.LargeBinary(length=16), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sensor", "address", "alert", "role"),
        sqlite_with_rowid=False,
    )
    op.create_index("alert_parties_alert", "alert_parties", ["alert"])
    op.create_table(
        "users",
        *_scope(),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        _number("created_ns"),
        _number("failures"),
        _number("locked_until_ns"),
        sa.PrimaryKeyConstraint("tenant", "sensor", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sessions",
        *_scope(),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("csrf", sa.String(), nullable=False),
        _number("created_ns"),
        _number("last_ns"),
        sa.PrimaryKeyConstraint("tenant", "sensor", "token"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        *_scope(),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        _number("ts_ns"),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sensor", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("audit_time", "audit", ["ts_ns"])
    op.create_index("endpoints_address", "endpoints", ["address"])
    with op.batch_alter_table("captures") as batch_op:
        batch_op.add_column(sa.Column("path", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("devices") as batch_op:
        batch_op.add_column(sa.Column("search", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("address", sa.String(), nullable=False, server_default=""))
        batch_op.create_index("devices_parent", ["parent"])
    with op.batch_alter_table("alerts") as batch_op:
        batch_op.add_column(sa.Column("search", sa.String(), nullable=False, server_default=""))
        batch_op.create_index("alerts_order", ["policy", "severity", "engine", "last_ns"])


def downgrade() -> None:
    """Undoes this step."""
    with op.batch_alter_table("alerts") as batch_op:
        batch_op.drop_index("alerts_order")
        batch_op.drop_column("search")
    with op.batch_alter_table("devices") as batch_op:
        batch_op.drop_index("devices_parent")
        batch_op.drop_column("address")
        batch_op.drop_column("search")
    with op.batch_alter_table("captures") as batch_op:
        batch_op.drop_column("path")
    op.drop_index("endpoints_address", "endpoints")
    for name in ("audit", "sessions", "users", "alert_parties"):
        op.drop_table(name)
