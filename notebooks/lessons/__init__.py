"""Exercises of the notebooks and the checks of their answers: one module per lesson.

answers: types of exercises; lesson_1 to lesson_8: the exercises; exercises: all by name; checks: `check`, `expect`.
"""
