import pytest

from headtail.training import load_recipe, recipe_names

OWN = """
title = "Mine"
source = "https://example.org"

[protocol]
name = "cifar10-lt"

[backbone]
name = "resnet20"

[head]
kind = "linear"

[preprocessing]

[augmentation]
flip = true

[optimization]
learning_rate = 0.5

[schedule]
n_epochs = 3
"""


@pytest.fixture
def write(tmp_path):
    def written(text, name="mine.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_names_are_sorted_and_can_be_read():
    names = recipe_names()
    assert names == sorted(names)
    assert {"cifar100-lt/ce", "imagenet-lt/ckt"} <= set(names)
    assert load_recipe("cifar100-lt/ce").name == "cifar100-lt/ce"


def test_a_file_of_ones_own(write):
    path = write(OWN)
    recipe = load_recipe(path)
    assert recipe.name == str(path)
    assert recipe.title == "Mine"
    assert recipe.backbone == {"name": "resnet20"}
    assert (recipe.augmentation.flip, recipe.augmentation.crop) == (True, "none")
    assert (recipe.optimization.learning_rate, recipe.schedule.n_epochs) == (0.5, 3)
    assert recipe.training == recipe.method == {}


def test_lists_become_tuples():
    recipe = load_recipe("cifar100-lt/ce")
    assert recipe.schedule.milestones == (160, 180)
    assert recipe.preprocessing["mean"] == [0.4914, 0.4822, 0.4465]


def test_tables_change_those_of_the_extended_recipe_key_by_key(write):
    path = write(
        'extends = "cifar100-lt/ckt"\n[optimization]\nlearning_rate = 0.5\n'
        '[method]\nname = "ncm"\nparameters = { metric = "centered" }\n'
    )
    recipe, below = load_recipe(path), load_recipe("cifar100-lt/ckt")
    assert recipe.optimization.learning_rate == 0.5
    assert recipe.optimization.batch_size == below.optimization.batch_size == 128
    assert recipe.method == {"name": "ncm", "parameters": {"metric": "centered"}}
    assert (recipe.title, recipe.head) == (below.title, below.head)


def test_a_file_beside_it_is_extended_over_several_levels(write):
    write(OWN)
    write(
        'extends = "mine.toml"\ntitle = "Longer"\n[schedule]\nn_epochs = 9\n', "b.toml"
    )
    path = write('extends = "b.toml"\n[head]\nkind = "cosine"\n', "c.toml")
    recipe = load_recipe(path)
    assert (recipe.title, recipe.schedule.n_epochs) == ("Longer", 9)
    assert (recipe.head["kind"], recipe.backbone["name"]) == ("cosine", "resnet20")


def test_changes_take_the_place_of_values():
    recipe = load_recipe(
        "cifar100-lt/ckt",
        {
            "protocol.imbalance_ratio": 10,
            "training.loss": "focal",
            "method.parameters.temperature": 5.0,
            "backbone.weights": None,
        },
    )
    assert recipe.protocol == {"name": "cifar100-lt", "imbalance_ratio": 10}
    assert recipe.training == {"sampling": "sqrt", "loss": "focal"}
    assert recipe.method["parameters"] == {"donors": [0, 20, 100], "temperature": 5.0}
    assert recipe.backbone == {"name": "resnet32", "weights": None}


def test_changes_can_add_a_method():
    changes = {"method.name": "crt", "method.parameters.epochs": 2}
    recipe = load_recipe("cifar100-lt/ce", changes)
    assert recipe.method == {"name": "crt", "parameters": {"epochs": 2}}


def test_changes_leave_the_published_recipe_as_it_was():
    before = load_recipe("cifar100-lt/ckt")
    load_recipe("cifar100-lt/ckt", {"method.parameters.donors": [5]})
    assert load_recipe("cifar100-lt/ckt") == before


@pytest.mark.parametrize("path", ["title", "title.x", "schedule.n_epochs.x", "seed"])
def test_a_change_must_name_a_table_and_a_key(path):
    with pytest.raises(ValueError, match=f"of table.key; got '{path}'"):
        load_recipe("cifar100-lt/ce", {path: 1})


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "cifar100-lt",
            r"recipe must be a \.toml file or one of .*; got 'cifar100-lt'\. Near it",
        ),
        ("cifar-100/ckt", r"got 'cifar-100/ckt'\. Near it: .*'cifar100-lt/ckt'"),
        ("../recipe", r"got '\.\./recipe'"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(name, match):
    with pytest.raises(ValueError, match=match):
        load_recipe(name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.toml"):
        load_recipe(tmp_path / "no.toml")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("title =", r"mine\.toml must be a TOML file; "),
        (
            OWN + "[optimisation]\n",
            r"has no key .*optimisation.*; its keys are \['name'",
        ),
        (OWN + "seed = 1", r"\[schedule\] has no key .*seed.*; its keys are \['n_epo"),
        (
            OWN + "[training]\nlr = 1",
            r"\[training\] has no key .*lr.*'sampling', 'loss'",
        ),
        (
            'title = "a"',
            r"must have \['backbone', 'head', .*\] too",
        ),
        ('extends = "x/y"', r"recipe must be .*; got 'x/y'"),
        (
            OWN + 'decay = "steps"',
            r"mine\.toml, \[schedule\]: milestones must be given",
        ),
        (OWN.replace("= 0.5", "= -1.0"), r"\[optimization\]: learning_rate must be"),
        (OWN.replace("n_epochs = 3", ""), r"\[schedule\]: .*n_epochs"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(write, text, match):
    with pytest.raises((ValueError, TypeError), match=match):
        load_recipe(write(text))
