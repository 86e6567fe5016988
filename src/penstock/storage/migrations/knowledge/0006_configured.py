"""The generation that the configuration keeps readers at, whatever runs make; NULL where it says none."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE published ADD COLUMN configured INTEGER")
