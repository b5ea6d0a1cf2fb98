"""Published methods as courses of a training: what each does at the loop's joints."""

from optuna_layerwise.training.methods.course import Course, Joint
from optuna_layerwise.training.methods.method_registry import COURSES, course_of

__all__ = ["COURSES", "Course", "Joint", "course_of"]
