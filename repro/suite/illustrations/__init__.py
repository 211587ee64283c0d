"""Figures that are made of pictures: what the method does to real frames, step by step.

`illustration` runs them as the tables are run, `videos` finds what they show, `page` lays them out; the others are one
figure each.
"""
