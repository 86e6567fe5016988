"""Sessions of people who signed in with an account, and so with no key."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("session", sa.Column("person", sa.Text))
