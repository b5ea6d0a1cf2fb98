"""Published methods as courses of a training: what each does at the loop's joints."""

from optuna_layerwise.training.methods.course import Course, Joint, course_of

__all__ = ["Course", "Joint", "course_of"]
