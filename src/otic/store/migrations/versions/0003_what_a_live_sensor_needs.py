"""What a live sensor needs: interfaces with their rates, times without sight."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _scope() -> list[sa.Column[str]]:
    return [
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sensor", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
    ]


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)


def _packed(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def upgrade() -> None:
    """Applies this step."""
    op.create_table(
        "interfaces",
        *_scope(),
        sa.Column("name", sa.String(), nullable=False),
        _number("first_ns"),
        _number("last_ns"),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("up_ns", sa.BigInteger(), nullable=True, autoincrement=False),
        _number("frames"),
        _number("bytes"),
        _packed("drops"),
        _packed("last"),
        sa.PrimaryKeyConstraint("tenant", "sensor", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "minutes",
        *_scope(),
        sa.Column("interface", sa.String(), nullable=False),
        _number("start_ns"),
        _number("frames"),
        _number("bytes"),
        _packed("drops"),
        sa.PrimaryKeyConstraint("tenant", "sensor", "interface", "start_ns"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "blinds",
        *_scope(),
        sa.Column("interface", sa.String(), nullable=False),
        _number("start_ns"),
        _number("end_ns"),
        sa.Column("cause", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sensor", "interface", "start_ns"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "marks",
        *_scope(),
        sa.Column("name", sa.String(), nullable=False),
        _packed("value"),
        sa.PrimaryKeyConstraint("tenant", "sensor", "name"),
        sqlite_with_rowid=False,
    )
    op.create_index("violations_connection", "violations", ["connection"])
    with op.batch_alter_table("positions") as batch_op:
        batch_op.add_column(
            sa.Column(
                "segment", sa.BigInteger(), autoincrement=False, nullable=False, server_default="0"
            )
        )


def downgrade() -> None:
    """Undoes this step."""
    with op.batch_alter_table("positions") as batch_op:
        batch_op.drop_column("segment")
    op.drop_index("violations_connection", "violations")
    for name in ("marks", "blinds", "minutes", "interfaces"):
        op.drop_table(name)
