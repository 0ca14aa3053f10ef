"""The objects of the sample data. Classes share colours and forms: only both together tell them."""

from common.sample.things import COLOURS, Thing, ball, crate, fish, flower, mushroom, scrap, wheel

THINGS: dict[str, Thing] = {
    "ball": Thing(ball, ("red", "yellow", "blue", "white")),
    "crate": Thing(crate, ("brown", "ochre", "grey")),
    "flower": Thing(flower, ("pink", "violet", "white", "yellow")),
    "mushroom": Thing(mushroom, ("red", "brown", "orange", "pink")),
    "fish": Thing(fish, ("blue", "orange", "teal", "violet")),
    "wheel": Thing(wheel, ("grey", "ochre", "teal", "red")),
}
"""The classes, in the order of their labels, which begin with 1; each colour is another's too."""

SCRAP = Thing(scrap, tuple(COLOURS))
"""What belongs to the background although it was laid on it."""
