"""ScienceWorld (Wang et al., 2203.07540): elementary science experiments in a text world."""

from agentkd_envs.scienceworld.environment import ScienceWorldEnv
from agentkd_envs.scienceworld.eto import ETO_STEP_LIMITS
from agentkd_envs.scienceworld.expert import GoldExpert

__all__ = ["ETO_STEP_LIMITS", "GoldExpert", "ScienceWorldEnv"]
