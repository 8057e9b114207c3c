"""When the first symbols came in, so that they never do again."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Keep one row from then on."""
    op.execute(
        """
        CREATE TABLE candlecast.first_symbols (
            once boolean PRIMARY KEY DEFAULT true CHECK (once),
            time timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Forget it."""
    op.execute("DROP TABLE candlecast.first_symbols")
