"""LiteLLM's database as its schema.prisma makes it: the tables that are read, and rows for them."""

import hashlib
import json
from typing import Any

import psycopg

SCHEMA = """
CREATE TABLE "LiteLLM_BudgetTable" (budget_id TEXT PRIMARY KEY, max_budget DOUBLE PRECISION,
  soft_budget DOUBLE PRECISION, max_parallel_requests INTEGER, tpm_limit BIGINT, rpm_limit BIGINT, tpd_limit BIGINT,
  model_max_budget JSONB, budget_duration TEXT, budget_reset_at TIMESTAMP(3), allowed_models TEXT[] DEFAULT '{}',
  temp_budget_increase DOUBLE PRECISION, temp_budget_expiry TIMESTAMP(3), created_at TIMESTAMP(3) DEFAULT now(),
  created_by TEXT, updated_at TIMESTAMP(3) DEFAULT now(), updated_by TEXT);
CREATE TABLE "LiteLLM_ProxyModelTable" (model_id TEXT PRIMARY KEY, model_name TEXT NOT NULL,
  litellm_params JSONB NOT NULL, model_info JSONB, blocked BOOLEAN DEFAULT false,
  created_at TIMESTAMP(3) DEFAULT now(),
  created_by TEXT, updated_at TIMESTAMP(3) DEFAULT now(), updated_by TEXT);
CREATE TABLE "LiteLLM_TeamTable" (team_id TEXT PRIMARY KEY, team_alias TEXT, organization_id TEXT,
  object_permission_id TEXT, admins TEXT[] DEFAULT '{}', members TEXT[] DEFAULT '{}',
  members_with_roles JSONB DEFAULT '{}', metadata JSONB DEFAULT '{}', max_budget DOUBLE PRECISION,
  soft_budget DOUBLE PRECISION, spend DOUBLE PRECISION DEFAULT 0, models TEXT[] DEFAULT '{}',
  max_parallel_requests INTEGER, tpm_limit BIGINT, rpm_limit BIGINT, tpd_limit BIGINT, budget_duration TEXT,
  budget_reset_at TIMESTAMP(3), blocked BOOLEAN DEFAULT false, created_at TIMESTAMP(3) DEFAULT now(),
  updated_at TIMESTAMP(3) DEFAULT now(), model_spend JSONB DEFAULT '{}', model_max_budget JSONB DEFAULT '{}',
  router_settings JSONB DEFAULT '{}', team_member_permissions TEXT[] DEFAULT '{}',
  access_group_ids TEXT[] DEFAULT '{}',
  policies TEXT[] DEFAULT '{}', default_team_member_models TEXT[] DEFAULT '{}', budget_limits JSONB,
  model_id INTEGER,
  allow_team_guardrail_config BOOLEAN DEFAULT false);
CREATE TABLE "LiteLLM_UserTable" (user_id TEXT PRIMARY KEY, max_budget DOUBLE PRECISION);
CREATE TABLE "LiteLLM_VerificationToken" (token TEXT PRIMARY KEY, key_name TEXT, key_alias TEXT,
  soft_budget_cooldown BOOLEAN DEFAULT false, spend DOUBLE PRECISION DEFAULT 0,
  total_spend DOUBLE PRECISION DEFAULT 0, expires TIMESTAMP(3), models TEXT[] DEFAULT '{}',
  aliases JSONB DEFAULT '{}',
  config JSONB DEFAULT '{}', router_settings JSONB DEFAULT '{}', user_id TEXT, team_id TEXT, agent_id TEXT,
  project_id TEXT, permissions JSONB DEFAULT '{}', max_parallel_requests INTEGER, metadata JSONB DEFAULT '{}',
  blocked BOOLEAN, tpm_limit BIGINT, rpm_limit BIGINT, tpd_limit BIGINT, max_budget DOUBLE PRECISION,
  budget_duration TEXT, budget_reset_at TIMESTAMP(3), allowed_cache_controls TEXT[] DEFAULT '{}',
  allowed_routes TEXT[] DEFAULT '{}', key_type TEXT, policies TEXT[] DEFAULT '{}',
  access_group_ids TEXT[] DEFAULT '{}', model_spend JSONB DEFAULT '{}', model_max_budget JSONB DEFAULT '{}',
  budget_fallbacks JSONB DEFAULT '{}', budget_id TEXT, organization_id TEXT, object_permission_id TEXT,
  created_at TIMESTAMP(3) DEFAULT now(), created_by TEXT, updated_at TIMESTAMP(3) DEFAULT now(), updated_by TEXT,
  settings_updated_at TIMESTAMP(3), last_active TIMESTAMP(3), rotation_count INTEGER DEFAULT 0,
  auto_rotate BOOLEAN DEFAULT false, rotation_interval TEXT, last_rotation_at TIMESTAMP(3),
  key_rotation_at TIMESTAMP(3), budget_limits JSONB);
"""


def litellm_hash(key: str) -> str:
    """What `litellm.proxy.utils.hash_token` makes of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class LiteLlmDatabase:
    def __init__(self, url: str) -> None:
        self.url = url
        self.run(SCHEMA)

    def run(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def add(self, table: str, **columns: Any) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join(["%s"] * len(columns))
        values = [json.dumps(each) if isinstance(each, dict) else each for each in columns.values()]
        self.run(f'INSERT INTO "LiteLLM_{table}" ({names}) VALUES ({marks})', *values)

    def key(self, secret: str, **columns: Any) -> None:
        self.add("VerificationToken", token=litellm_hash(secret), key_name=f"sk-...{secret[-4:]}", **columns)

    def team(self, team_id: str, **columns: Any) -> None:
        self.add("TeamTable", team_id=team_id, **columns)
