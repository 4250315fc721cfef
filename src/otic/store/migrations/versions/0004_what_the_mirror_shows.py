"""What the mirror shows: counts of lanes, and of each connection what was not seen."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNSEEN = ("missing", "truncated", "one_way")


def upgrade() -> None:
    """Applies this step."""
    op.create_table(
        "lanes",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sensor", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("interface", sa.String(), nullable=False),
        sa.Column("vlans", sa.LargeBinary(), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sensor", "interface", "vlans", "start_ns"),
        sqlite_with_rowid=False,
    )
    for name in UNSEEN:
        op.add_column(
            "connections",
            sa.Column(
                name, sa.BigInteger(), autoincrement=False, nullable=False, server_default="0"
            ),
        )


def downgrade() -> None:
    """Undoes this step."""
    with op.batch_alter_table("connections") as batch_op:
        for name in UNSEEN:
            batch_op.drop_column(name)
    op.drop_table("lanes")
