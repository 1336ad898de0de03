"""All exercises by name, as `lessons.checks.check` looks them up. The name is that of the function, with spaces."""

from collections.abc import Mapping

from lessons import lesson_1, lesson_2, lesson_3, lesson_4, lesson_5, lesson_6, lesson_7, lesson_8
from lessons.answers import Choice, Number, OwnMargin

LESSONS = (lesson_1, lesson_2, lesson_3, lesson_4, lesson_5, lesson_6, lesson_7, lesson_8)
EXERCISES: Mapping[str, Number | Choice | OwnMargin] = {
    make.__name__.replace("_", " "): make() for lesson in LESSONS for make in lesson.EXERCISES
}
