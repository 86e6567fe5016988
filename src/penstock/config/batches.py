"""`[batches]`: many requests as one job, and the files they come in."""

from __future__ import annotations

from pydantic import Field

from penstock.config.table import Table, Texts


class BatchSettings(Table):
    """Many requests as one job, and the files they come in."""

    concurrency: int = Field(
        8,
        ge=1,
        le=1024,
        description="Lines of batches that are answered at the same time, of all batches together.",
    )
    max_file_mb: float = Field(200.0, gt=0, description="Largest file that is taken at /v1/files, in MB.")
    max_project_mb: float = Field(
        10_240.0, gt=0, description="What all files of a project may take on disk, in MB; the next are refused."
    )
    max_lines: int = Field(50_000, ge=1, le=1_000_000, description="Most requests of one batch.")
    native: Texts = Field(
        (),
        description="Models whose provider works on batches itself, later and at a lower price, as patterns such "
        "as `gpt-*`. They need a single target with OpenAI's `/batches`.",
    )
    keep_days: int = Field(
        30, ge=1, description="How long batches that are over, and the files they wrote, are kept, in days."
    )
