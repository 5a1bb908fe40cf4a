"""Shopping tasks in WebShop's protocol: native engine, generated shop, scripted expert."""

from agentkd_envs.shop.environment import ShopEnv
from agentkd_envs.shop.expert import ShopExpert

__all__ = ["ShopEnv", "ShopExpert"]
