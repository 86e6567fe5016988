"""How far the vectors of this file were copied to a vector database elsewhere."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE mirror (
            project_id TEXT NOT NULL,
            place TEXT NOT NULL,
            number INTEGER NOT NULL,
            PRIMARY KEY (project_id, place)
        )
        """
    )
