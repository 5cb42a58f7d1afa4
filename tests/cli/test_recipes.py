import json

from headtail.training import load_recipe, recipe_names


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
