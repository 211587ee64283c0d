"""``name=value`` becomes a hyper-parameter of the right type, or an error that tells what would do."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest

from baselines import METHODS
from repro.learning.augmentation import Augmentation
from repro.learning.pretext import PretextTask
from repro.suite.settings import configure, settings_of


@dataclass(frozen=True)
class Task(PretextTask):
    name: ClassVar[str] = "task"
    version: ClassVar[int] = 1

    count: int = 3
    rate: float = 0.5
    grey: bool = True
    kind: Literal["a", "b"] = "a"
    word: str = "x"
    clusters: int | None = None
    sizes: tuple[int, ...] = (1, 2)
    span: tuple[float, float] = (0.0, 1.0)
    augmentation: Augmentation = field(default_factory=Augmentation)
    table: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"count {self.count} must be positive")

    network = loss = evaluate = None


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("count=7", "count", 7),
        ("rate=2", "rate", 2.0),
        ("rate=1e-3", "rate", 0.001),
        ("grey=false", "grey", False),
        ("grey=True", "grey", True),
        ("kind=b", "kind", "b"),
        ("word=a=b", "word", "a=b"),
        ("clusters=12", "clusters", 12),
        ("clusters=none", "clusters", None),
        ("sizes=4", "sizes", (4,)),
        ("sizes=4,5,6", "sizes", (4, 5, 6)),
        ("span=0.2,1", "span", (0.2, 1.0)),
        ("augmentation.flip=false", "augmentation", Augmentation(flip=False)),
        ("augmentation.area=0.5,0.9", "augmentation", Augmentation(area=(0.5, 0.9))),
    ],
)
def test_values_have_the_types_of_their_fields(assignment, name, value):
    found = getattr(configure(Task, {"clusters": 5}, [assignment]), name)
    assert found == value and type(found) is type(value)


def test_assignments_come_after_the_options_one_after_the_other():
    given = ["augmentation.flip=false", "count=4", "augmentation.aspect=2", "count=5"]
    task = configure(Task, {"count": 9, "rate": 0.1, "augmentation": Augmentation(area=(0.5, 1.0))}, given)
    assert task == Task(count=5, rate=0.1, augmentation=Augmentation((0.5, 1.0), 2.0, False))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("count", "'count' is not NAME=VALUE, such as count="),
        ("counts=3", "no hyper-parameter 'counts'; there are count, rate, .*augmentation.area"),
        ("name=x", "no hyper-parameter 'name'"),
        ("count=2.5", "count=2.5: expected a whole number"),
        ("rate=fast", "rate=fast: expected a number"),
        ("rate=nan", "rate=nan: expected a number"),
        ("grey=1", "grey=1: expected true or false"),
        ("kind=c", "kind=c: expected one of a, b"),
        ("clusters=many", "clusters=many: expected a whole number or none"),
        ("sizes=1,b", "sizes=1,b: expected a whole number, separated by commas"),
        ("span=1", "span=1: expected 2 values separated by commas: a number, a number"),
        ("augmentation=none", "set them one by one: augmentation.area, augmentation.aspect, augmentation.flip"),
        ("augmentation.blur=1", "no hyper-parameter 'augmentation.blur'; there are augmentation.area, "),
        ("count.x=1", "count has no fields of its own"),
        ("table=1", "cannot be set from the command line"),
        ("count=0", "count 0 must be positive"),
        ("augmentation.aspect=0.5", "aspect 0.5 is below 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(assignment, message):
    with pytest.raises(ValueError, match=message):
        configure(Task, {}, [assignment])


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.kind == "self-supervised"])
def test_all_that_is_listed_can_be_set_to_what_it_is(name):
    task = METHODS[name].load()
    listed = settings_of(task)
    assert listed and configure(task, {}, [f"{setting}={value}" for setting, value in listed.items()]) == task()


def test_types_that_cannot_be_looked_up_are_told():
    with pytest.raises(ValueError, match="import the types of Unknown's fields in full"):
        configure(Unknown, {}, ["value=1"])


@dataclass(frozen=True)
class Unknown(Task):
    value: "NotImported" = 1  # noqa: F821
