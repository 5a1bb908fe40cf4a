"""Marks of a chart: points in the shape and colour of a role, and whiskers."""

from markupsafe import Markup

from agentkd.report.roles import Role
from agentkd.report.svg import element, line


def role_mark(role: Role, x: float, y: float) -> Markup:
    """Draw the point of a role."""
    match role.shape:
        case "circle":
            return dot(x, y, 4.5, role.style)
        case "ring":
            return element("circle", cx=x, cy=y, r=3.8, class_=f"hollow {role.style}")
        case "diamond":
            return diamond(x, y, 5, role.style)
        case "square":
            return element("rect", x=x - 4, y=y - 4, width=8, height=8, class_=f"mark {role.style}")
        case "cross":
            strokes = f"M{x - 3.5:.2f},{y - 3.5:.2f}l7,7m0,-7l-7,7"
            return element("path", d=strokes, class_=f"hollow {role.style}")


def dot(x: float, y: float, radius: float, style: str) -> Markup:
    """Draw a filled circle."""
    return element("circle", cx=x, cy=y, r=radius, class_=f"mark {style}")


def diamond(x: float, y: float, radius: float, style: str) -> Markup:
    """Draw a filled diamond."""
    corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
    points = " ".join(f"{a:.2f},{b:.2f}" for a, b in corners)
    return element("polygon", points=points, class_=f"mark {style}")


def whisker(low: float, high: float, y: float, cap: float) -> list[Markup]:
    """Draw an interval with caps at both ends."""
    return [
        line(low, y, high, y, "whisker"),
        line(low, y - cap, low, y + cap, "whisker"),
        line(high, y - cap, high, y + cap, "whisker"),
    ]
