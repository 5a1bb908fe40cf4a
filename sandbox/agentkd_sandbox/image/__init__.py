"""Images for the Docker backend: from a registry's Python, or from the running one."""

from agentkd_sandbox.image.build import BuiltImage, build_image, image_name

__all__ = ["BuiltImage", "build_image", "image_name"]
