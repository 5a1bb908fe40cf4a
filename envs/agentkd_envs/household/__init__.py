"""Household tasks in ALFWorld's format: native engine, game generator and scripted expert."""

from agentkd_envs.household.environment import HouseholdEnv
from agentkd_envs.household.expert import HouseholdExpert
from agentkd_envs.household.export import write_game

__all__ = ["HouseholdEnv", "HouseholdExpert", "write_game"]
