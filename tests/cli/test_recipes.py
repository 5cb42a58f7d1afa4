import json

from headtail.training import load_recipe, recipe_names, recipe_text


def test_recipes_are_listed_with_their_titles(run):
    code, out, err = run("recipes")
    assert (code, err) == (0, "")
    lines = [line.split("  ", 1) for line in out.splitlines()]
    assert [name.strip() for name, _ in lines] == recipe_names()
    assert "cifar100-lt/ckt" in recipe_names()
    for name, title in lines:
        assert title.strip() == load_recipe(name.strip()).title


def test_recipes_are_listed_as_json(run):
    code, out, err = run("recipes", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {n: load_recipe(n).title for n in recipe_names()}


def test_one_recipe_is_shown_as_its_file(run):
    code, out, err = run("recipes", "cifar100-lt/ckt")
    assert (code, out, err) == (0, recipe_text("cifar100-lt/ckt").rstrip() + "\n", "")
    assert "sampling" in out
    code, out, err = run("recipes", "nope")
    assert (code, out) == (2, "")
    assert "got 'nope'" in err
    assert err.count("\n") == 1
